"""The classical receptive field model of visual neurons: linear-nonlinear, in space and time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.models.activations import ParametricSoftplus
from deepSTRF.models.checks import positive_int
from deepSTRF.models.readouts import STRFReadout
from deepSTRF.models.streaming import State
from deepSTRF.models.video.video_model import VideoEncodingModel
from deepSTRF.registry import ModelCard, register_model

__all__ = ["SpaceTimeKernel", "VideoLinearNonlinear"]


@register_model(
    ModelCard(
        name="video-ln",
        summary="One spatio-temporal receptive field per neuron (full, or a sum of space × time) and a soft rectifier",
        paper="Chichilnisky (2001), https://doi.org/10.1088/0954-898X/12/2/306",
        stimulus="movie",
    )
)
class VideoLinearNonlinear(VideoEncodingModel):
    """One spatio-temporal receptive field per neuron, followed by a static nonlinearity.

    ``y[n, t] = f_n(g[n] · sum_{c, i, j, k} w[n, c, i, j, k] · x[c, i, j, t - (T - 1) + k] + h[n])``, where g and h are
    the batch normalisation in eval mode; grey (zeros) is assumed before the onset. With `rank` R the field is a sum of
    R products of a picture and a time course, ``w[n, c, i, j, k] = sum_r s[n, r, c, i, j] · u[n, r, k]``: R = 1 is the
    separable field, and two or three hold what most cells of retina and thalamus do (a surround that lags, for one),
    with C·H·W + T weights each instead of C·H·W·T.

    Parameters
    ----------
    spatial_resol : (int, int)
        Height H and width W of a frame in pixels.
    temporal_window_size : int
        Window T in bins.
    out_neurons : int
        Number of neurons N.
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; :class:`~deepSTRF.models.activations.ParametricSoftplus` by default, and
        ``torch.nn.Identity()`` makes the model linear.
    rank : int, optional
        Number R of products of space and time; by default the field is full.
    in_channels : int
        Channels C of the movie.

    Raises
    ------
    ValueError
        If a size is not a positive int, or `rank` is more than a full field has.

    References
    ----------
    Chichilnisky (2001), A simple white noise analysis of neuronal light responses,
    https://doi.org/10.1088/0954-898X/12/2/306

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
        in_channels: int = 1,
    ) -> None:
        if output_activation is None:
            output_activation = ParametricSoftplus(positive_int("out_neurons (O)", out_neurons))
        super().__init__(spatial_resol, temporal_window_size, out_neurons, output_activation, in_channels)
        n_pixels = self.H * self.W
        kernel = None if rank is None else SpaceTimeKernel(n_pixels, self.T, self.C_in, self.O, rank)
        self.readout: STRFReadout = STRFReadout(
            n_pixels, self.T, self.C_in, self.O, kernel=kernel, activation=self.output_activation
        )

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


class SpaceTimeKernel(nn.Module):
    """Kernel of a :class:`~deepSTRF.models.layers.CausalSTRFConv` that is a sum of R products of space and time.

    Every picture is first projected on the R·C_out spatial weights; what is convolved in time are these R·C_out
    numbers per bin, so that it costs about T times less than a full kernel.

    Parameters
    ----------
    n_pixels, T, C_in, C_out : int
        Pixels of a frame, window in bins, input channels, number of fields.
    rank : int
        R.

    Attributes
    ----------
    space : Parameter, ``(C_out, R, C_in, n_pixels)``
    time : Parameter, ``(C_out, R, T)``
        The last index is the current bin.

    Examples
    --------
    >>> kernel = SpaceTimeKernel(n_pixels=6, T=4, C_in=1, C_out=3, rank=2)
    >>> kernel.build_kernel().shape
    torch.Size([3, 1, 6, 4])
    """

    def __init__(self, n_pixels: int, T: int, C_in: int, C_out: int, rank: int) -> None:
        super().__init__()
        self.rank = positive_int("rank", rank)
        if self.rank > min(C_in * n_pixels, T):
            raise ValueError(
                f"rank={rank} is more than a field of {C_in * n_pixels} values per bin and {T} bins can have"
            )
        space_bound, time_bound = math.sqrt(3 / (C_in * n_pixels)), math.sqrt(3 / (T * self.rank))
        self.space = nn.Parameter(torch.empty(C_out, self.rank, C_in, n_pixels).uniform_(-space_bound, space_bound))
        self.time = nn.Parameter(torch.empty(C_out, self.rank, T).uniform_(-time_bound, time_bound))

    def forward(self, x: Float[Tensor, "B C_in pixels longer"]) -> Float[Tensor, "B C_out 1 t"]:
        """Convolve; the output is T − 1 bins shorter."""
        projected = self.space.flatten(0, 1).flatten(1) @ x.flatten(1, 2)
        time = self.time.flatten(0, 1).unsqueeze(1)
        filtered = functional.conv1d(projected, time, groups=len(time))
        return filtered.unflatten(1, (-1, self.rank)).sum(2).unsqueeze(2)

    def build_kernel(self) -> Float[Tensor, "C_out C_in pixels T"]:
        """Return the sum of the products."""
        return torch.einsum("nrcp,nrt->ncpt", self.space, self.time)

    def per_neuron_tensors(self) -> dict[str, int]:
        """Names of the parameters that belong to single neurons, with the axis over neurons."""
        return {"space": 0, "time": 0}

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"rank={self.rank}, space={tuple(self.space.shape)}, time={tuple(self.time.shape)}"
