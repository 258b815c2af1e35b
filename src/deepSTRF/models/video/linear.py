"""The classical receptive field model of visual neurons: linear-nonlinear, in space and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.models.activations import softplus_by_default
from deepSTRF.models.bin_by_bin import State
from deepSTRF.models.from_recording import MOVIES, shaped_model, window_bins
from deepSTRF.models.layers import LowRankSTRF, RaisedCosineSTRF
from deepSTRF.models.readouts import STRFReadout
from deepSTRF.models.video.video_model import VideoEncodingModel
from deepSTRF.registry import ModelCard, Recipe, register_model

__all__ = ["SpaceTimeKernel", "VideoLinearNonlinear"]


def _build(train: Any, val: Any, window_ms: float, **arguments: Any) -> VideoLinearNonlinear:
    # Two products of space and time, where there is room for them: a centre and a surround that lags.
    rank = min(2, train.H * train.W, window_bins(window_ms, train.dt))
    return shaped_model(
        VideoLinearNonlinear, train, window_ms, **({} if "n_basis" in arguments else {"rank": rank}) | arguments
    )


@register_model(
    ModelCard(
        name="video-ln",
        summary="One spatio-temporal receptive field per neuron (full, or a sum of space × time) and a soft rectifier",
        paper="Chichilnisky (2001), https://doi.org/10.1080/713663221",
    ),
    Recipe(MOVIES, _build),
)
class VideoLinearNonlinear(VideoEncodingModel):
    """One spatio-temporal receptive field per neuron, followed by a static nonlinearity.

    ``y[n, t] = f_n(g[n] · sum_{c, i, j, k} w[n, c, i, j, k] · x[c, i, j, t - (T - 1) + k] + h[n])``, where g and h are
    the batch normalisation in eval mode; grey (zeros) is assumed before the onset. With `rank` R the field is a sum of
    R products of a picture and a time course, ``w[n, c, i, j, k] = sum_r s[n, c, r, i, j] · u[n, c, r, k]``: R = 1 is
    the separable field, and two hold a surround that lags behind the centre, or a direction of motion; there are
    R·(H·W + T) weights for a channel instead of H·W·T. With `n_basis` every pixel has a time course of that many raised
    cosines.

    Parameters
    ----------
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; :class:`~deepSTRF.models.activations.ParametricSoftplus` by default, and
        ``torch.nn.Identity()`` makes the model linear.
    rank : int, optional
        Number R of products of space and time, see :class:`~deepSTRF.models.layers.LowRankSTRF`; by default the field
        is full.
    n_basis : int, optional
        Number of bumps in time, see :class:`~deepSTRF.models.layers.RaisedCosineSTRF`; not together with `rank`.
    in_channels : int
        Channels C of the movie.
    spatial_resol, temporal_window_size, out_neurons
        See :class:`VideoEncodingModel`.

    Raises
    ------
    ValueError
        If a size is not a positive int, `rank` or `n_basis` is more than the window allows, or both are given.

    References
    ----------
    Chichilnisky (2001), A simple white noise analysis of neuronal light responses,
    https://doi.org/10.1080/713663221

    Space times time: DeAngelis, Ohzawa & Freeman (1995), Receptive-field dynamics in the central visual pathways,
    https://doi.org/10.1016/0166-2236(95)94496-R

    Examples
    --------
    >>> import torch
    >>> model = VideoLinearNonlinear((12, 16), temporal_window_size=8, out_neurons=5, rank=1)
    >>> model(torch.randn(2, 1, 12, 16, 100)).shape
    torch.Size([2, 5, 1, 100])
    >>> model.STRF_weight().shape
    torch.Size([5, 1, 12, 16, 8])
    """

    def __init__(
        self,
        spatial_resol: Sequence[int],
        temporal_window_size: int = 8,
        out_neurons: int = 1,
        output_activation: nn.Module | None = None,
        rank: int | None = None,
        n_basis: int | None = None,
        in_channels: int = 1,
    ) -> None:
        output_activation = softplus_by_default(output_activation, out_neurons)
        super().__init__(spatial_resol, temporal_window_size, out_neurons, output_activation, in_channels)
        sizes = (self.H * self.W, self.T, self.C_in, self.O)
        kernel: nn.Module | None = None
        if rank is not None and n_basis is not None:
            raise ValueError(f"give rank or n_basis, not both: got rank={rank} and n_basis={n_basis}")
        # Without an offset: the batch normalisation behind would take it away.
        if rank is not None:
            kernel = SpaceTimeKernel(*sizes, rank=rank, bias=False)
        elif n_basis is not None:
            kernel = RaisedCosineSTRF(*sizes, n_basis=n_basis, bias=False)
        self.readout: STRFReadout = STRFReadout(*sizes, kernel=kernel, activation=self.output_activation)

    def _features(self, filtered: Float[Tensor, "B C H W T"]) -> Float[Tensor, "B C pixels T"]:
        return filtered.flatten(2, 3)

    def _step_features(
        self, filtered: Float[Tensor, "B C H W t"], state: State
    ) -> tuple[Float[Tensor, "B C pixels t"], State]:
        return self._features(filtered), ()

    def STRF_weight(self) -> Float[Tensor, "N C H W T"]:
        """Return the kernels as they are stored, before the batch normalisation.

        Returns
        -------
        Tensor
            ``(N, C, H, W, T)``; the last time index is the current bin. :func:`deepSTRF.analysis.receptive_fields` has
            the batch normalisation folded in, which can change the sign.
        """
        return self.readout.STRF_weight().unflatten(2, (self.H, self.W))


class SpaceTimeKernel(LowRankSTRF):
    """:class:`~deepSTRF.models.layers.LowRankSTRF` for frames of many pixels: the same fields in another order.

    Every frame is first projected on the R pictures of each field; what is convolved in time are these few numbers per
    bin. For 2304 pixels, 20 bins and 200 neurons a training step takes an eighth of the time (one core); for the 34
    bands of a spectrogram it can take longer.

    Parameters
    ----------
    F, T, C_in, C_out, rank, bias
        As there; F is the number of pixels.

    Examples
    --------
    >>> kernel = SpaceTimeKernel(F=192, T=8, C_in=1, C_out=5, rank=2)
    >>> kernel.build_kernel().shape
    torch.Size([5, 1, 192, 8])
    """

    def forward(self, x: Float[Tensor, "B C_in F T_in_plus_T_minus_1"]) -> Float[Tensor, "B C_out 1 T_in"]:
        """Convolve; the output is T − 1 bins shorter."""
        pictures = self.weight_f.permute(1, 0, 3, 2).flatten(1, 2)
        courses = self.weight_t.transpose(0, 1).flatten(0, 2).unsqueeze(1)
        filtered = functional.conv1d((pictures @ x).flatten(1, 2), courses, groups=len(courses))
        y = filtered.unflatten(1, (self.C_in, self.C_out, self.rank)).sum((1, 3)).unsqueeze(2)
        return y if self.bias is None else y + self.bias[:, None, None]
