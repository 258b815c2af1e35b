"""The dynamic network: shared receptive fields whose units have a memory."""

from __future__ import annotations

from typing import Any

from torch import nn

from deepSTRF.checks import check_fraction, check_integer, check_positive
from deepSTRF.models.activations import ParametricSoftplus
from deepSTRF.models.audio.nrf import HiddenFields
from deepSTRF.models.from_recording import REGULARISED
from deepSTRF.models.layers import CausalLayerNorm, CausalSTRFConv, LearnableExponentialDecay
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.registry import ModelCard, Recipe, register_model

__all__ = ["DNet"]


def _options(train: Any, window_ms: float) -> dict[str, Any]:
    return {"n_hidden": 50, "output_activation": ParametricSoftplus(train.N_neurons)}


@register_model(
    ModelCard(
        name="dnet",
        summary="A hidden layer of shared receptive fields, each with its own decaying memory",
        paper="Rahman et al. (2019), https://doi.org/10.1371/journal.pcbi.1006618",
    ),
    Recipe(REGULARISED, options=_options),
)
class DNet(HiddenFields):
    """A network with one hidden layer whose units integrate over time, each with its own learnt time constant.

    H hidden units, each with a spectro-temporal receptive field, are normalised over units at every bin and pass a
    sigmoid; what they hold decays exponentially, over at most seven times `init_tau`. A linear layer reads the neurons
    from them.

    Parameters
    ----------
    temporal_window_size : int
        Window T in bins of the receptive fields; the units remember longer.
    init_tau : float
        Time constant around which the units start, in bins, more than 1.
    decay_input : bool
        Scale the integral so that a constant stays constant, see
        :class:`~deepSTRF.models.layers.LearnableExponentialDecay`.
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; the identity by default.
    n_hidden, kernel, dropout
        See :class:`NetworkReceptiveField`.
    n_frequency_bands, out_neurons, prefiltering, wav2spec
        See :class:`AudioEncodingModel`.

    References
    ----------
    Rahman, Willmore, King & Harper (2019), A dynamic network model of temporal receptive fields in primary auditory
    cortex, https://doi.org/10.1371/journal.pcbi.1006618

    Examples
    --------
    >>> DNet(n_hidden=20, init_tau=2.0, out_neurons=119).core[3].tau().shape  # one time constant per unit, in bins
    torch.Size([20])
    """

    def __init__(
        self,
        n_frequency_bands: int = 34,
        temporal_window_size: int = 9,
        n_hidden: int = 20,
        init_tau: float = 2.0,
        decay_input: bool = True,
        out_neurons: int = 1,
        output_activation: nn.Module | None = None,
        prefiltering: nn.Module | None = None,
        kernel: nn.Module | None = None,
        wav2spec: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(n_frequency_bands, temporal_window_size, out_neurons, prefiltering, wav2spec)
        n_hidden = check_integer("n_hidden", n_hidden)
        memory = max(1, round(7 * check_positive("init_tau", init_tau)))
        self.core = nn.Sequential(
            CausalSTRFConv(self.F, self.T, self.C_in, n_hidden, kernel=kernel),
            CausalLayerNorm(n_hidden, dim=1),
            nn.Sigmoid(),
            LearnableExponentialDecay(n_hidden, memory, init_tau=init_tau, decay_input=decay_input),
            nn.Dropout(check_fraction("dropout", dropout)),
        )
        self.readout: LinearReadout = LinearReadout(n_hidden, self.O, activation=output_activation)
