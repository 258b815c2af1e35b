"""The classical receptive field model: linear."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_choice
from deepSTRF.models.audio.audio_model import AudioEncodingModel
from deepSTRF.models.readouts import STRFReadout
from deepSTRF.registry import ModelCard, Recipe, Settings, register_model

__all__ = ["Linear"]


@register_model(
    ModelCard(
        name="linear",
        summary="One spectro-temporal receptive field per neuron",
        paper="Aertsen & Johannesma (1981), https://doi.org/10.1007/BF00336731",
    ),
    Recipe(Settings(epochs=100, lr=3e-3, weight_decay=0.1, batch_size=2, patience=15, noise=0.3)),
)
class Linear(AudioEncodingModel):
    """One spectro-temporal receptive field (STRF) per neuron: a convolution with the recent spectrogram.

    ``y[n, t] = g[n] · sum_{f, k} w[n, f, k] · x[f, t - (T - 1) + k] + h[n]``, where g and h are the batch normalisation
    in eval mode; silence is assumed before the onset.

    Parameters
    ----------
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; the identity by default.
    kernel : torch.nn.Module, optional
        See :class:`~deepSTRF.models.layers.CausalSTRFConv`.
    n_frequency_bands, temporal_window_size, out_neurons, prefiltering, wav2spec
        See :class:`AudioEncodingModel`.

    References
    ----------
    Aertsen & Johannesma (1981), The spectro-temporal receptive field, https://doi.org/10.1007/BF00336731

    Theunissen, Sen & Doupe (2000), Spectral-temporal receptive fields of nonlinear auditory neurons obtained using
    natural sounds, https://doi.org/10.1523/JNEUROSCI.20-06-02315.2000

    Examples
    --------
    >>> import torch
    >>> model = Linear(n_frequency_bands=34, temporal_window_size=9, out_neurons=119)
    >>> model(torch.randn(2, 1, 34, 100)).shape
    torch.Size([2, 119, 1, 100])
    >>> model.STRF_weight().shape
    torch.Size([119, 34, 9])
    """

    def __init__(
        self,
        n_frequency_bands: int = 34,
        temporal_window_size: int = 9,
        out_neurons: int = 1,
        output_activation: nn.Module | None = None,
        prefiltering: nn.Module | None = None,
        kernel: nn.Module | None = None,
        wav2spec: nn.Module | None = None,
    ) -> None:
        super().__init__(n_frequency_bands, temporal_window_size, out_neurons, prefiltering, wav2spec)
        if output_activation is None:
            output_activation = self._default_activation(self.O)
        self.readout: STRFReadout = STRFReadout(
            self.F, self.T, self.C_in, self.O, kernel=kernel, activation=output_activation
        )

    @staticmethod
    def _default_activation(n_neurons: int) -> nn.Module:
        return nn.Identity()

    def STRF_weight(self, polarity: str = "ON") -> Float[Tensor, "N F T"]:
        """Return the kernels as they are stored, before the batch normalisation.

        Parameters
        ----------
        polarity : {'ON', 'OFF'}
            Which channel of a prefiltering with two; ignored without one.

        Returns
        -------
        Tensor
            ``(N, F, T)``; the last time index is the current bin. ``model.readout.effective_kernel()`` has the batch
            normalisation folded in, which can change the sign.

        Raises
        ------
        ValueError
            If `polarity` is another value.
        """
        check_choice("polarity", polarity, ("ON", "OFF"))
        return self.readout.STRF_weight(polarity if self.C_in > 1 else "ON")
