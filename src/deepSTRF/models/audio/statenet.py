"""StateNet: a per-bin spectral encoder, a recurrent core, a linear readout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_fraction, check_integer
from deepSTRF.models.activations import softplus_by_default
from deepSTRF.models.audio.audio_model import AudioEncodingModel
from deepSTRF.models.bin_by_bin import State
from deepSTRF.models.layers import CausalLayerNorm, LocallyConnected1d
from deepSTRF.models.layers.gru import GRU
from deepSTRF.models.layers.lmu import LMU
from deepSTRF.models.layers.locally_connected import FullyConnected1d
from deepSTRF.models.layers.lstm import LSTM
from deepSTRF.models.layers.mamba import Mamba
from deepSTRF.models.layers.rnn import RNN
from deepSTRF.models.layers.s4 import S4, S4D
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.registry import ModelCard, Recipe, Settings, register_model

__all__ = ["StateNet"]

# By number of features, which is the number of units too. They are called as those of torch.nn: features (B, T, H) and
# a state, zero by default, to output (B, T, H) and the last state.
_RECURRENT: dict[str, Callable[[int], nn.Module]] = {
    "GRU": lambda size: GRU(size, size),
    "LSTM": lambda size: LSTM(size, size),
    "RNN": lambda size: RNN(size, size),
    "vanilla": lambda size: RNN(size, size),
    "LMU": lambda size: LMU(size, size),
    "Mamba": Mamba,
    "S4": S4,
    "S4D": S4D,
}


def _recipe(rnn_type: str, epochs: int = 60, patience: int = 20, lr: float = 3e-3) -> Recipe:
    def options(train: Any, window_ms: float) -> dict[str, Any]:
        return {"temporal_window_size": 1, "rnn_type": rnn_type, "dropout": 0.1} | _encoder_sizes(train.F)

    return Recipe(Settings(epochs=epochs, patience=patience, lr=lr), options=options)


def _encoder_sizes(n_bands: int) -> dict[str, int]:
    """Kernel, stride and channels for any number of bands: those of the paper, fitted to few and to many.

    Examples
    --------
    >>> _encoder_sizes(34)
    {'kernel_size': 7, 'stride': 3, 'hidden_channels': 7}
    >>> _encoder_sizes(1)
    {'kernel_size': 1, 'stride': 1, 'hidden_channels': 42}
    >>> _encoder_sizes(200)
    {'kernel_size': 41, 'stride': 18, 'hidden_channels': 7}
    """
    if n_bands < 16:  # every band counts, and the recurrent layer keeps some forty units
        kernel = min(3, n_bands)
        return {"kernel_size": kernel, "stride": 1, "hidden_channels": max(7, math.ceil(42 / (n_bands - kernel + 1)))}
    scale = max(1.0, n_bands / 34) if n_bands > 64 else 1.0  # as many positions, each over more bands
    return {"kernel_size": round(7 * scale), "stride": round(3 * scale), "hidden_channels": 7}


@register_model(
    ModelCard(
        name="statenet",
        summary="Locally connected spectral encoder and a recurrent core shared by all neurons",
        paper="Rançon, Masquelier & Cottereau (2025), https://doi.org/10.1038/s42003-025-08858-3",
    ),
    _recipe("GRU"),
)
class StateNet(AudioEncodingModel):
    """A stateful model: what it knows of the past is in the state of a recurrent layer, not in a window.

    Every bin of the spectrogram is encoded by itself: a layer over frequency (locally connected, fully connected or
    convolutional) gives C channels at L = (F − K) // S + 1 positions, which are normalised over channels and pass a
    sigmoid. The H = C·L features drive a recurrent layer with H units, and a linear layer reads the neurons from its
    output. The state is zero at the onset of every stimulus.

    Parameters
    ----------
    temporal_window_size : int
        Only kept as attribute ``T``, the default length of :meth:`STRF_gradmap`: the encoder sees one bin.
    kernel_size, stride : int
        K and S, in bands.
    hidden_channels : int
        C.
    connectivity : {'LC', 'FC', 'CONV'}
        The layer over frequency.
    rnn_type : {'GRU', 'LSTM', 'RNN', 'LMU', 'Mamba', 'S4', 'S4D'}
        The recurrent layer: of gated units (:class:`~deepSTRF.models.layers.gru.GRU`,
        :class:`~deepSTRF.models.layers.lstm.LSTM`), of plain ones (:class:`~deepSTRF.models.layers.rnn.RNN`, also
        called 'vanilla'), of units with a sliding window of the past (:class:`~deepSTRF.models.layers.lmu.LMU`), or a
        state space layer (:class:`~deepSTRF.models.layers.mamba.Mamba`, :class:`~deepSTRF.models.layers.s4.S4`,
        :class:`~deepSTRF.models.layers.s4.S4D`).
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; :class:`~deepSTRF.models.activations.ParametricSoftplus` by default.
    dropout : float
        Dropout of what the recurrent layer gives to the readout.
    n_frequency_bands, out_neurons, prefiltering, wav2spec
        See :class:`AudioEncodingModel`.

    Raises
    ------
    NotImplementedError
        If `connectivity` or `rnn_type` is unknown; the message lists what there is.
    ValueError
        If a number is out of range, or the kernel is longer than the spectrum.

    References
    ----------
    Rançon, Masquelier & Cottereau (2025), Temporal recurrence as a general mechanism to explain neural responses in
    the auditory system, https://doi.org/10.1038/s42003-025-08858-3

    Examples
    --------
    >>> import torch
    >>> model = StateNet(rnn_type="GRU", out_neurons=119).eval()
    >>> prediction, state = model.step(torch.randn(2, 1, 34, 1))  # bin by bin
    >>> prediction.shape, model.hidden_size
    (torch.Size([2, 119, 1, 1]), 70)
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
        dropout: float = 0.0,
    ) -> None:
        super().__init__(n_frequency_bands, temporal_window_size, out_neurons, prefiltering, wav2spec)
        if rnn_type not in list(_RECURRENT):  # a list, for values that cannot be hashed
            raise NotImplementedError(f"unknown rnn_type {rnn_type!r}; available: {', '.join(_RECURRENT)}")
        kernel_size, stride = check_integer("kernel_size", kernel_size), check_integer("stride", stride)
        hidden_channels = check_integer("hidden_channels", hidden_channels)
        if kernel_size > self.F:
            raise ValueError(
                f"kernel_size={kernel_size} is more than the {self.F} bands: give kernel_size={self.F} or less"
            )
        n_positions = (self.F - kernel_size) // stride + 1
        encoder: nn.Module
        if connectivity == "LC":
            encoder = LocallyConnected1d(self.F, self.C_in, hidden_channels, kernel_size, stride=stride)
        elif connectivity == "FC":
            encoder = FullyConnected1d(self.F, self.C_in, hidden_channels, n_positions)
        elif connectivity == "CONV":
            encoder = nn.Conv1d(self.C_in, hidden_channels, kernel_size, stride=stride)
        else:
            raise NotImplementedError(f"unknown connectivity {connectivity!r}; available: LC, FC, CONV")
        self.encoder_layers = nn.Sequential(encoder, CausalLayerNorm(hidden_channels, dim=1), nn.Sigmoid())
        self.hidden_size = hidden_channels * n_positions
        self.rnn = _RECURRENT[rnn_type](self.hidden_size)
        self.dropout = nn.Dropout(check_fraction("dropout", dropout))
        self.readout: LinearReadout = LinearReadout(
            self.hidden_size,
            self.O,
            activation=softplus_by_default(output_activation, self.O),
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
        return self.dropout(states).transpose(1, 2), state


def _register_core(rnn_type: str, paper: str, **settings: Any) -> None:
    """Register StateNet with another recurrent core under a name of its own."""
    summary = f"StateNet with {rnn_type} as its recurrent core"
    register_model(ModelCard(f"statenet-{rnn_type.lower()}", summary, paper), _recipe(rnn_type, **settings))(StateNet)


_register_core("LSTM", "Hochreiter & Schmidhuber (1997), https://doi.org/10.1162/neco.1997.9.8.1735")
# Without gates, larger steps do not settle.
_register_core("RNN", "Elman (1990), https://doi.org/10.1207/s15516709cog1402_1", epochs=150, patience=20, lr=5e-4)
_register_core("LMU", "Voelker, Kajić & Eliasmith (2019), Legendre memory units, NeurIPS 32")
_register_core("Mamba", "Gu & Dao (2023), https://doi.org/10.48550/arXiv.2312.00752")
_register_core("S4", "Gu, Goel & Ré (2022), https://doi.org/10.48550/arXiv.2111.00396")
_register_core("S4D", "Gu, Gupta, Goel & Ré (2022), https://doi.org/10.48550/arXiv.2206.11893")
