"""A convolutional network over time and frequency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_fraction, check_integer, check_pair
from deepSTRF.models.activations import softplus_by_default
from deepSTRF.models.audio.audio_model import AudioEncodingModel
from deepSTRF.models.bin_by_bin import State, with_past
from deepSTRF.models.from_recording import REGULARISED, window_bins
from deepSTRF.models.layers import CausalLayerNorm
from deepSTRF.models.prefiltering import make_prefiltering
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.registry import ModelCard, Recipe, register_model

__all__ = ["ConvNet2D"]

N_CONVOLUTIONS = 3


def _options(train: Any, window_ms: float) -> dict[str, Any]:
    # The convolutions together see the window, and leave one band or more.
    K_f, K_t = ((size - 1) // N_CONVOLUTIONS + 1 for size in (train.F, window_bins(window_ms, train.dt)))
    return {"kernel_size": [min(3, K_f), K_t], "prefiltering": make_prefiltering("adaptrans", train.F, train.dt)}


@register_model(
    ModelCard(
        name="convnet2d",
        summary="Three convolutions over time and frequency, a hidden layer, all shared by the neurons",
        paper="Pennington & David (2023), https://doi.org/10.1371/journal.pcbi.1011110",
    ),
    Recipe(replace(REGULARISED, window_ms=125.0), options=_options),
)
class ConvNet2D(AudioEncodingModel):
    """Three convolutions over time and frequency, and a small fully connected network that reads the neurons.

    Each convolution has C channels, which are normalised over channels at every point and pass a leaky rectifier (slope
    0.1). Silence is assumed before the onset; frequency is not padded, so that F − 3 (Kf − 1) bands are left.

    Parameters
    ----------
    kernel_size : (int, int)
        Extent Kf, Kt of every convolution, in bands and bins.
    c_hidden : int
        Number of channels C.
    n_hidden : int
        Number of units of the fully connected hidden layer.
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; :class:`~deepSTRF.models.activations.ParametricSoftplus` by default.
    dropout : float
        Probability with which a feature is silenced in training, per feature and bin.
    n_frequency_bands, out_neurons, prefiltering, wav2spec
        See :class:`AudioEncodingModel`.

    Attributes
    ----------
    T : int
        Bins that a prediction depends on, 3 (Kt − 1) + 1.

    Raises
    ------
    ValueError
        If `kernel_size` is not two positive ints, or leaves no band.

    References
    ----------
    Pennington & David (2023), A convolutional neural network provides a generalizable model of natural sound coding by
    neural populations in auditory cortex, https://doi.org/10.1371/journal.pcbi.1011110

    Examples
    --------
    >>> ConvNet2D(kernel_size=(3, 9), out_neurons=119).T
    25
    """

    member_by_member = True  # in an ensemble: see Ensemble

    def __init__(
        self,
        n_frequency_bands: int = 34,
        kernel_size: Sequence[int] = (3, 9),
        c_hidden: int = 10,
        n_hidden: int = 20,
        out_neurons: int = 1,
        output_activation: nn.Module | None = None,
        prefiltering: nn.Module | None = None,
        wav2spec: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        K_f, K_t = check_pair("kernel_size", kernel_size, "bands and bins")
        super().__init__(n_frequency_bands, N_CONVOLUTIONS * (K_t - 1) + 1, out_neurons, prefiltering, wav2spec)
        n_bands = self.F - N_CONVOLUTIONS * (K_f - 1)
        if n_bands < 1:
            raise ValueError(
                f"{N_CONVOLUTIONS} convolutions over {K_f} bands each need {self.F - n_bands + 1} bands or more, got "
                f"n_frequency_bands={self.F}: give kernel_size=({(self.F - 1) // N_CONVOLUTIONS + 1}, {K_t})"
            )
        c_hidden = check_integer("c_hidden", c_hidden)
        layers: list[nn.Module] = [nn.ZeroPad2d((self.T - 1, 0, 0, 0))]
        for channels in (self.C_in, *[c_hidden] * (N_CONVOLUTIONS - 1)):
            layers += [
                nn.Conv2d(channels, c_hidden, (K_f, K_t)),
                CausalLayerNorm(c_hidden, dim=1),
                nn.LeakyReLU(0.1),
            ]
        self.core: nn.Sequential = nn.Sequential(
            *layers, nn.Flatten(1, 2), nn.Dropout(check_fraction("dropout", dropout))
        )
        self.readout: LinearReadout = LinearReadout(
            c_hidden * n_bands,
            self.O,
            hidden=check_integer("n_hidden", n_hidden),
            activation=softplus_by_default(output_activation, self.O),
        )

    def _step_features(
        self, filtered: Float[Tensor, "B C_in F t"], state: State
    ) -> tuple[Float[Tensor, "B features t"], State]:
        # The convolutions run again over the window. Keeping what each of them saw would save 15 % of a bin's time, and
        # at the onset that is not zero: offsets and normalisations act on silence too.
        longer, state = with_past(filtered, state, self.T - 1)
        return self.core[1:](longer), state
