"""ConvNet3D: convolutions over space and time shared by all neurons, read out at each neuron's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from deepSTRF.models.activations import softplus_by_default
from deepSTRF.models.from_recording import MOVIES, PLACED_SPREAD, place_neurons, shaped_model, window_bins
from deepSTRF.models.video.convolution import Conv3dCore
from deepSTRF.models.video.gaussian_readout import GaussianReadout
from deepSTRF.models.video.video_model import VideoEncodingModel
from deepSTRF.registry import ModelCard, Recipe, register_model

__all__ = ["ConvNet3D"]


def _build(train: Any, val: Any, window_ms: float, **arguments: Any) -> ConvNet3D:
    # The layers together see the window.
    n_lags = window_bins(window_ms, train.dt)
    last = min(5, n_lags)
    options = {"temporal_kernels": (n_lags - last + 1, last)}
    model = shaped_model(ConvNet3D, train, window_ms, **options | arguments)
    model.readout.place(place_neurons(train, n_lags), PLACED_SPREAD)
    return model


@register_model(
    ModelCard(
        name="convnet3d",
        summary="Causal convolutions over space and time, and a readout that learns where each neuron looks",
        paper="Höfling et al. (2024), https://doi.org/10.7554/eLife.86860",
    ),
    Recipe(replace(MOVIES, chunk_bins=50), _build),
)
class ConvNet3D(VideoEncodingModel):
    r"""Feature maps that all neurons share, computed by causal 3-D convolutions; one position per neuron.

    Layer l computes :math:`\phi^{(l)} = \mathrm{ELU}(\mathrm{BN}(w^{(l)} * \phi^{(l-1)}))` with :math:`\phi^{(0)}` the
    movie, see :class:`~deepSTRF.models.video.Conv3dCore`; neuron n reads the last one at its position,
    see :class:`~deepSTRF.models.video.GaussianReadout`. Feature maps are as large as the movie, so that positions are
    in pixels of the movie.

    Parameters
    ----------
    channels : sequence of int
        Channels of every layer.
    spatial_kernels, temporal_kernels : sequence of int
        Pixels (odd) and bins that every layer looks at. Attribute ``T`` is what the whole model sees:
        1 + Σ (temporal kernel − 1) bins.
    factorised : bool
        Each layer is a convolution over space and then one over time, which has fewer weights.
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; :class:`~deepSTRF.models.activations.ParametricSoftplus` by default.
    spatial_resol, out_neurons, in_channels
        See :class:`VideoEncodingModel`.

    Raises
    ------
    ValueError
        If the layers have sequences of different lengths, or a size is not a positive int (odd for space).

    References
    ----------
    Two or three layers of convolutions for the retina: McIntosh, Maheswaranathan, Nayebi, Ganguli & Baccus (2016),
    Deep learning models of the retinal response to natural scenes, NeurIPS 29, https://arxiv.org/abs/1702.01825

    With a shared core, ELU, batch normalisation and a Gaussian readout: Höfling et al. (2024), A chromatic feature
    detector in the retina signals visual context changes, https://doi.org/10.7554/eLife.86860

    Space and time factorised: Turishcheva et al. (2023), The dynamic Sensorium competition for predicting large-scale
    mouse visual cortex activity from videos, https://arxiv.org/abs/2305.19654

    Examples
    --------
    >>> model = ConvNet3D((12, 16), temporal_kernels=(9, 5), out_neurons=5)
    >>> model.T, model.readout.positions().shape
    (13, torch.Size([5, 2]))
    """

    def __init__(
        self,
        spatial_resol: Sequence[int],
        channels: Sequence[int] = (8, 16),
        spatial_kernels: Sequence[int] = (7, 5),
        temporal_kernels: Sequence[int] = (9, 5),
        factorised: bool = True,
        out_neurons: int = 1,
        output_activation: nn.Module | None = None,
        in_channels: int = 1,
    ) -> None:
        output_activation = softplus_by_default(output_activation, out_neurons)
        core = Conv3dCore(in_channels, channels, spatial_kernels, temporal_kernels, factorised)
        super().__init__(spatial_resol, core.T, out_neurons, output_activation, in_channels)
        self.core = core
        self.readout: GaussianReadout = GaussianReadout(
            core.out_channels, (self.H, self.W), self.O, activation=self.output_activation
        )
