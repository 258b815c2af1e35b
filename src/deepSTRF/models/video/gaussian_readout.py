"""The readout that learns where in the visual field every neuron looks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.checks import check_integer, check_pair, check_positive
from deepSTRF.models.readouts import Readout, checked_activation

__all__ = ["GaussianReadout"]


class GaussianReadout(Readout):
    r"""Every neuron reads all channels of a feature map at one position, which it learns.

    .. math:: y_n(t) = f_n\Big(\sum_c w_{nc}\, \phi_c(\mathbf{p}_n, t) + b_n\Big)

    :math:`\phi_c(\mathbf{p}, t)` is feature map c at position p, interpolated linearly between the four pixels around
    it. In train mode the position is drawn anew for every bin,
    :math:`\mathbf{p}_n \sim \mathcal{N}(\boldsymbol\mu_n, \mathrm{diag}(\boldsymbol\sigma_n^2))`, from torch's global
    generator: far from its place a neuron then still feels in which direction it lies, and as the mean gets there the
    spread :math:`\boldsymbol\sigma_n`, which is learned too, shrinks. In eval mode :math:`\mathbf{p}_n =
    \boldsymbol\mu_n`. A neuron has C + 5 parameters, where a linear readout of the whole map has C·H·W + 1.

    Parameters
    ----------
    in_features : int
        Number of channels C.
    spatial_resol : (int, int)
        Height H and width W of the feature map.
    out_neurons : int
        Number of neurons N.
    activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; the identity by default.
    init_range : float
        Initial means are uniform in ±`init_range`, where ±1 are the centres of the outermost pixels; below 1.
    init_sigma : float
        Initial spread, in the same unit, in both directions.

    Attributes
    ----------
    raw_mean : Parameter, ``(N, 2)``
        The means (row, column) before a tanh, which keeps them inside.
    log_sigma : Parameter, ``(N, 2)``
        Logarithm of the spreads.
    features : Parameter, ``(N, C)``
    bias : Parameter, ``(N,)``

    Raises
    ------
    ValueError
        If a size is not a positive int, or `init_range` or `init_sigma` not positive.

    Notes
    -----
    If all neurons move by the same step and the features by the opposite one, the prediction is the same. So positions
    are known relative to those of other neurons that read the same features; where a receptive field lies in the
    picture is seen in :func:`deepSTRF.analysis.receptive_fields`.

    On CUDA the gradient of the sampling has no deterministic form in PyTorch: two fits differ by rounding.

    References
    ----------
    Lurz et al. (2021), Generalization in data-driven models of primary visual cortex, ICLR,
    https://doi.org/10.1101/2020.10.05.326256

    Examples
    --------
    >>> import torch
    >>> readout = GaussianReadout(in_features=16, spatial_resol=(12, 20), out_neurons=5).eval()
    >>> readout(torch.randn(2, 16, 12, 20, 100)).shape
    torch.Size([2, 5, 1, 100])
    >>> readout.positions().shape  # row and column in pixels
    torch.Size([5, 2])
    """

    memoryless = True

    def __init__(
        self,
        in_features: int,
        spatial_resol: Sequence[int],
        out_neurons: int,
        activation: nn.Module | None = None,
        init_range: float = 0.3,
        init_sigma: float = 0.3,
    ) -> None:
        super().__init__()
        self.in_features = check_integer("in_features", in_features)
        n_neurons = check_integer("out_neurons", out_neurons)
        self.H, self.W = check_pair("spatial_resol", spatial_resol, "height and width in pixels")
        if check_positive("init_range", init_range) >= 1:
            raise ValueError(f"init_range must be below 1, the centres of the outermost pixels; got {init_range}")
        check_positive("init_sigma", init_sigma)
        mean = torch.empty(n_neurons, 2).uniform_(-init_range, init_range)
        self.raw_mean = nn.Parameter(torch.atanh(mean))
        self.log_sigma = nn.Parameter(torch.full((n_neurons, 2), math.log(init_sigma)))
        # Small: the gradient of the mean points to the neuron's place only once the weights have the right sign.
        self.features = nn.Parameter(0.1 * torch.randn(n_neurons, in_features) / math.sqrt(in_features))
        self.bias = nn.Parameter(torch.zeros(n_neurons))
        self.activation = checked_activation(activation, n_neurons)

    def forward(self, x: Float[Tensor, "B C H W T"]) -> Float[Tensor, "B N 1 T"]:
        """Predict the responses; raises ValueError if `x` has another shape."""
        expected = (self.in_features, self.H, self.W)
        if x.ndim != 5 or x.shape[1:4] != expected:
            raise ValueError(f"expected features (B, {', '.join(map(str, expected))}, T), got {tuple(x.shape)}")
        n_stims, n_bins = x.shape[0], x.shape[4]
        position = torch.tanh(self.raw_mean).expand(n_stims * n_bins, -1, -1)
        if self.training:
            position = position + torch.randn_like(position) * self.log_sigma.exp()
        # Every bin of every stimulus is one picture; grid_sample calls the column x and the row y.
        maps = x.permute(0, 4, 1, 2, 3).flatten(0, 1)
        sampled = functional.grid_sample(
            maps, position.flip(-1).unsqueeze(2), padding_mode="border", align_corners=True
        ).squeeze(3)
        drive = torch.einsum("bcn,nc->bn", sampled, self.features).unflatten(0, (n_stims, n_bins)) + self.bias
        return self._respond(drive)

    def positions(self) -> Float[Tensor, "N 2"]:
        """Mean positions (row, column) in pixels of the feature map, 0 to H − 1 and 0 to W − 1; a copy."""
        size = self.raw_mean.new_tensor([self.H - 1, self.W - 1])
        return (torch.tanh(self.raw_mean.detach()) + 1) / 2 * size

    def place(self, positions: Float[Tensor, "N 2"], spread: float | None = None) -> None:
        """Let every neuron begin where its receptive field is known to lie, as from its spike-triggered average.

        Learning moves a neuron along the slope of its fit, which may end beside its place: at the ring around it, for
        cells with a surround. That can't happen to one that begins within a pixel or two.

        Parameters
        ----------
        positions : Tensor
            ``(N, 2)``: row and column in pixels of the feature map.
        spread : float, optional
            How far around its place a neuron looks for a better one while it trains, as a standard deviation in pixels;
            by default it stays as it is.

        Raises
        ------
        ValueError
            If they are not (N, 2), or not inside of the map, or `spread` is not positive.

        Examples
        --------
        >>> import torch
        >>> readout = GaussianReadout(in_features=16, spatial_resol=(12, 20), out_neurons=2)
        >>> readout.place(torch.tensor([[3.0, 4.0], [6.5, 18.0]]), spread=0.5)
        >>> readout.positions()
        tensor([[ 3.0000,  4.0000],
                [ 6.5000, 18.0000]])
        """
        size = self.raw_mean.new_tensor([self.H - 1, self.W - 1])
        places = torch.as_tensor(positions).to(self.raw_mean)
        if places.shape != self.raw_mean.shape or not bool(((places >= 0) & (places <= size)).all()):
            raise ValueError(
                f"positions must be ({len(self.raw_mean)}, 2): row and column in pixels, from 0 to {self.H - 1} and "
                f"{self.W - 1}; got {positions}"
            )
        width = None if spread is None else check_positive("spread", spread)
        with torch.no_grad():
            if width is not None:
                self.log_sigma.copy_(torch.log(2 * width / size.clamp(min=1)).expand_as(self.log_sigma))
            # The outermost pixels themselves are infinitely far; a hundredth of the way to them is left.
            self.raw_mean.copy_(torch.atanh((2 * places / size.clamp(min=1) - 1).clamp(-0.99, 0.99)))

    def _own_per_neuron_tensors(self) -> dict[str, int]:
        return dict.fromkeys(("raw_mean", "log_sigma", "features", "bias"), 0)

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"{self.in_features}, {(self.H, self.W)}, {len(self.bias)}"
