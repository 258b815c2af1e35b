"""The network receptive field: a population of receptive fields that all neurons share."""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_choice, check_fraction, check_integer
from deepSTRF.models.activations import softplus_by_default
from deepSTRF.models.audio.audio_model import AudioEncodingModel
from deepSTRF.models.from_recording import REGULARISED
from deepSTRF.models.layers import CausalLayerNorm, CausalSTRFConv
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.registry import ModelCard, Recipe, register_model

__all__ = ["NetworkReceptiveField"]


class HiddenFields(AudioEncodingModel):
    """Base of the models whose core begins with a hidden layer of receptive fields, a :class:`CausalSTRFConv`."""

    core: nn.Sequential

    def STRFs(self, hidden_idx: int = 0, polarity: str = "ON") -> Float[Tensor, "F T"]:
        """Return the receptive field of a hidden unit, as it is stored, before the normalisation.

        Parameters
        ----------
        hidden_idx : int
            Which unit, from 0.
        polarity : {'ON', 'OFF'}
            Which channel of a prefiltering with two; ignored without one.

        Returns
        -------
        Tensor
            ``(F, T)``; the last time index is the current bin.

        Raises
        ------
        IndexError
            If there is no such unit.
        ValueError
            If `polarity` is another value.
        """
        weight = cast(CausalSTRFConv, self.core[0]).STRF_weight()
        if not 0 <= hidden_idx < len(weight):
            raise IndexError(f"hidden_idx must be from 0 to {len(weight) - 1}, got {hidden_idx}")
        check_choice("polarity", polarity, ("ON", "OFF"))
        return weight[hidden_idx, 1 if polarity == "OFF" and weight.shape[1] > 1 else 0]


@register_model(
    ModelCard(
        name="nrf",
        summary="A hidden layer of receptive fields that all neurons share",
        paper="Harper et al. (2016), https://doi.org/10.1371/journal.pcbi.1005113",
    ),
    Recipe(REGULARISED, options=lambda train, window_ms: {"n_hidden": 50}),
)
class NetworkReceptiveField(HiddenFields):
    """A feed-forward network with one hidden layer over the recent spectrogram.

    H hidden units, each with a spectro-temporal receptive field, are normalised over units at every bin and pass a
    tanh; a linear layer reads the neurons from them.

    Parameters
    ----------
    n_hidden : int
        Number of hidden units H.
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; :class:`~deepSTRF.models.activations.ParametricSoftplus` by default.
    kernel : torch.nn.Module, optional
        Receptive fields of the hidden units, see :class:`~deepSTRF.models.layers.CausalSTRFConv`.
    dropout : float
        Probability with which a hidden unit is silenced in training, per unit and bin.
    n_frequency_bands, temporal_window_size, out_neurons, prefiltering, wav2spec
        See :class:`AudioEncodingModel`.

    References
    ----------
    Harper, Schoppe, Willmore, Cui, Schnupp & King (2016), Network receptive field modeling reveals extensive
    integration and multi-feature selectivity in auditory cortical neurons,
    https://doi.org/10.1371/journal.pcbi.1005113

    Examples
    --------
    >>> NetworkReceptiveField(n_hidden=20, out_neurons=119).STRFs(hidden_idx=19).shape
    torch.Size([34, 9])
    """

    def __init__(
        self,
        n_frequency_bands: int = 34,
        temporal_window_size: int = 9,
        n_hidden: int = 20,
        out_neurons: int = 1,
        output_activation: nn.Module | None = None,
        prefiltering: nn.Module | None = None,
        kernel: nn.Module | None = None,
        wav2spec: nn.Module | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(n_frequency_bands, temporal_window_size, out_neurons, prefiltering, wav2spec)
        n_hidden = check_integer("n_hidden", n_hidden)
        self.core = nn.Sequential(
            CausalSTRFConv(self.F, self.T, self.C_in, n_hidden, kernel=kernel),
            CausalLayerNorm(n_hidden, dim=1),
            nn.Tanh(),
            nn.Dropout(check_fraction("dropout", dropout)),
        )
        self.readout: LinearReadout = LinearReadout(
            n_hidden,
            self.O,
            activation=softplus_by_default(output_activation, self.O),
        )
