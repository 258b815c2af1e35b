"""StateNet: a per-bin spectral encoder, a recurrent core, a linear readout."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.models.activations import ParametricSoftplus
from deepSTRF.models.audio.audio_model import AudioEncodingModel
from deepSTRF.models.checks import positive_int
from deepSTRF.models.layers import CausalLayerNorm, LocallyConnected1d
from deepSTRF.models.layers.gru import GRU
from deepSTRF.models.layers.locally_connected import FullyConnected1d
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.models.streaming import State
from deepSTRF.registry import ModelCard, register_model

__all__ = ["StateNet"]

_RECURRENT: dict[str, type[nn.GRU | nn.LSTM | nn.RNN]] = {
    "GRU": nn.GRU,
    "LSTM": nn.LSTM,
    "RNN": nn.RNN,
    "vanilla": nn.RNN,
}


@register_model(
    ModelCard(
        name="statenet",
        summary="Locally connected spectral encoder and a recurrent core shared by all neurons",
        paper="Rançon, Masquelier & Cottereau (2025), https://doi.org/10.1038/s42003-025-08858-3",
    )
)
class StateNet(AudioEncodingModel):
    """A stateful model: what it knows of the past is in the state of a recurrent layer, not in a window.

    Every bin of the spectrogram is encoded by itself: a layer over frequency (locally connected, fully connected or
    convolutional) gives C channels at L = (F − K) // S + 1 positions, which are normalised over channels and pass a
    sigmoid. The H = C·L features drive a recurrent layer with H units, and a linear layer reads the neurons from its
    output. The state is zero at the onset of every stimulus.

    Parameters
    ----------
    n_frequency_bands : int
        Bands F.
    temporal_window_size : int
        Only kept as attribute ``T``, the default length of :meth:`STRF_gradmap`: the encoder sees one bin.
    kernel_size, stride : int
        K and S, in bands.
    hidden_channels : int
        C.
    connectivity : {'LC', 'FC', 'CONV'}
        The layer over frequency.
    rnn_type : {'GRU', 'LSTM', 'RNN'}
        The recurrent layer; 'vanilla' is another name of 'RNN'.
    out_neurons : int
        Number of neurons N.
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; :class:`~deepSTRF.models.activations.ParametricSoftplus` by default.
    prefiltering, wav2spec : torch.nn.Module, optional
        See :class:`AudioEncodingModel`.

    Raises
    ------
    NotImplementedError
        If `connectivity` or `rnn_type` is unknown; the message lists what there is.

    References
    ----------
    Rançon, Masquelier & Cottereau (2025), Temporal recurrence as a general mechanism to explain neural responses in
    the auditory system, https://doi.org/10.1038/s42003-025-08858-3

    Examples
    --------
    >>> import torch
    >>> model = StateNet(n_frequency_bands=34, out_neurons=119)
    >>> model(torch.randn(2, 1, 34, 100)).shape
    torch.Size([2, 119, 1, 100])
    >>> model.count_trainable_params()
    39081
    """

    def __init__(
        self,
        n_frequency_bands: int = 34,
        temporal_window_size: int = 1,
        kernel_size: int = 7,
        stride: int = 3,
        hidden_channels: int = 7,
        connectivity: str = "LC",
        rnn_type: str = "GRU",
        out_neurons: int = 1,
        output_activation: nn.Module | None = None,
        prefiltering: nn.Module | None = None,
        wav2spec: nn.Module | None = None,
    ) -> None:
        super().__init__(n_frequency_bands, temporal_window_size, out_neurons, prefiltering, wav2spec)
        if rnn_type not in list(_RECURRENT):  # a list, for values that cannot be hashed
            raise NotImplementedError(f"there is no rnn_type {rnn_type!r}; there are 'GRU', 'LSTM' and 'RNN'")
        kernel_size, stride = positive_int("kernel_size", kernel_size), positive_int("stride", stride)
        hidden_channels = positive_int("hidden_channels", hidden_channels)
        if kernel_size > self.F:
            raise ValueError(f"kernel_size={kernel_size} is more than the {self.F} bands")
        n_positions = (self.F - kernel_size) // stride + 1
        encoder: nn.Module
        if connectivity == "LC":
            encoder = LocallyConnected1d(self.F, self.C_in, hidden_channels, kernel_size, stride=stride)
        elif connectivity == "FC":
            encoder = FullyConnected1d(self.F, self.C_in, hidden_channels, n_positions)
        elif connectivity == "CONV":
            encoder = nn.Conv1d(self.C_in, hidden_channels, kernel_size, stride=stride)
        else:
            raise NotImplementedError(f"there is no connectivity {connectivity!r}; there are 'LC', 'FC' and 'CONV'")
        self.encoder_layers = nn.Sequential(encoder, CausalLayerNorm(hidden_channels, dim=1), nn.Sigmoid())
        self.hidden_size = hidden_channels * n_positions
        self.rnn: nn.RNNBase
        if rnn_type == "GRU":
            self.rnn = GRU(self.hidden_size, self.hidden_size)
        else:
            self.rnn = _RECURRENT[rnn_type](self.hidden_size, self.hidden_size, batch_first=True)
        self.readout: LinearReadout = LinearReadout(
            self.hidden_size,
            self.O,
            activation=ParametricSoftplus(self.O) if output_activation is None else output_activation,
        )

    def _features(self, filtered: Float[Tensor, "B C_in F T"]) -> Float[Tensor, "B H T"]:
        return self._step_features(filtered, None)[0]

    def _step_features(
        self, filtered: Float[Tensor, "B C_in F T"], state: State
    ) -> tuple[Float[Tensor, "B H T"], State]:
        n_stims, _, _, n_bins = filtered.shape
        # All bins of all stimuli pass the encoder as one batch; time first, as the recurrent layers read it. In another
        # order, torch picks another product, and other last bits, depending on whether the weights train.
        bins = filtered.permute(3, 0, 1, 2).flatten(0, 1)
        encoded = self.encoder_layers(bins).flatten(1).unflatten(0, (n_bins, n_stims))
        states, state = self.rnn(encoded.transpose(0, 1), state)
        return states.transpose(1, 2), state
