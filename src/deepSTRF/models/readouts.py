"""Readouts: from features to one response per neuron.

A readout says which of its tensors belong to single neurons, ``per_neuron_tensors()``: names as in its ``state_dict``,
with the axis that runs over the neurons. The Fitter uses it to bring each neuron back to its own best epoch.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer, check_module
from deepSTRF.models.bin_by_bin import State
from deepSTRF.models.layers.normalization import PaddedBatchNorm1d, valid_bins
from deepSTRF.models.layers.strf import CausalSTRFConv

__all__ = ["FactorizedReadout", "LinearReadout", "Readout", "STRFReadout"]

R = TypeVar("R", bound="STRFReadout")


class Readout(nn.Module):
    """What the readouts share: an activation behind the drive of every neuron.

    A subclass sets ``self.activation = checked_activation(...)`` behind its own parameters.
    """

    activation: nn.Module
    _last = ""  # name of the part whose bias is added in front of the activation; by default the readout itself

    def _respond(self, drive: Float[Tensor, "B T N"]) -> Float[Tensor, "B N 1 T"]:
        """Apply the activation, and bring the axes into the order of responses."""
        return self.activation(drive).transpose(1, 2).unsqueeze(2)

    def offset(self) -> nn.Parameter | None:
        """Return the parameter, one number per neuron, that is added in front of the activation; None without one."""
        return self.get_submodule(self._last).bias  # type: ignore[return-value]

    def _own_per_neuron_tensors(self) -> dict[str, int]:
        """Return :meth:`per_neuron_tensors` without those of the activation."""
        raise NotImplementedError

    def per_neuron_tensors(self) -> dict[str, int]:
        """Return the names of the tensors that belong to single neurons, with the axis over neurons.

        The parameters of an activation that serves all neurons with one set are not among them.
        """
        own, tensors = self._own_per_neuron_tensors(), self.state_dict()
        n_neurons = {tensors[name].shape[axis] for name, axis in own.items()}
        of_activation = _per_neuron_tensors_of(self.activation, "activation")
        return own | {
            name: axis for name, axis in of_activation.items() if tensors[name].shape[axis] > 1 or 1 in n_neurons
        }


class STRFReadout(Readout):
    """One spectro-temporal receptive field per neuron, batch normalisation, activation.

    ``y = activation(BatchNorm(strf * x))``. The normalisation gives every neuron the same scale before the activation,
    whatever the scale of the stimulus; in eval mode it is a fixed gain and offset, see :meth:`effective_kernel`. Bins
    at the end of a stimulus where the input of the model, or of a readout by itself, is zero are padding and do not
    enter the statistics.

    Parameters
    ----------
    F, T, C_in : int
        Bands, window in bins and channels of the input.
    out_neurons : int
        Number of neurons N.
    kernel : torch.nn.Module, optional
        Kernel of the :class:`~deepSTRF.models.layers.CausalSTRFConv`.
    activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; the identity by default.
    bias : bool
        Bias of the default kernel.

    Examples
    --------
    >>> import torch
    >>> readout = STRFReadout(F=34, T=9, C_in=1, out_neurons=5)
    >>> readout(torch.randn(2, 1, 34, 100)).shape
    torch.Size([2, 5, 1, 100])
    >>> readout.per_neuron_tensors()["strf.kernel.weight"]
    0
    """

    _last = "bn"

    def __init__(
        self,
        F: int,
        T: int,
        C_in: int,
        out_neurons: int,
        kernel: nn.Module | None = None,
        activation: nn.Module | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._normalization_is_frozen = False
        self.strf = CausalSTRFConv(F, T, C_in, out_neurons, kernel=kernel, bias=bias)
        self.bn = PaddedBatchNorm1d(out_neurons)
        self.activation = checked_activation(activation, out_neurons)
        self._own_kernel = kernel is None

    def forward(self, x: Float[Tensor, "B C_in F T"]) -> Float[Tensor, "B N 1 T"]:
        """Predict the responses."""
        return self.step(x)[0]

    def step(self, x: Float[Tensor, "B C_in F t"], state: State = None) -> tuple[Float[Tensor, "B N 1 t"], State]:
        """Predict the responses in the next bins; the state is that of ``strf``."""
        drive, state = self.strf.step(x, state)
        drive = drive.squeeze(2)
        drive = self.bn(drive, valid_bins(self.bn, x)) if self.bn.training else self.bn(drive)
        return self._respond(drive.transpose(1, 2)), state

    def freeze_normalization(self) -> None:
        """Keep the statistics of the normalisation from now on, in train mode too; its gain and offset still learn.

        For a readout that starts from known receptive fields, whose scale must not change. What is saved is the same.
        """
        self._normalization_is_frozen = True
        self.bn.eval()

    def train(self: R, mode: bool = True) -> R:
        """Set the mode of all parts, except that of a frozen normalisation."""
        super().train(mode)
        if self._normalization_is_frozen:
            self.bn.eval()
        return self

    def STRF_weight(self, polarity: str | None = None) -> Tensor:
        """Return the kernels as they are stored, before the batch normalisation.

        Parameters
        ----------
        polarity : {None, 'ON', 'OFF'}
            None: all channels. 'ON', 'OFF': channel 0 or 1.

        Returns
        -------
        Tensor
            ``(N, C_in, F, T)``, or ``(N, F, T)`` for one polarity; the last time index is the current bin.

        Raises
        ------
        ValueError
            If `polarity` is another value, or there is no such channel.
        """
        weight = self.strf.STRF_weight()
        if polarity is None:
            return weight
        channels = {"ON": 0, "OFF": 1}
        if polarity not in channels:
            raise ValueError(f"polarity must be None, 'ON' or 'OFF', got {polarity!r}")
        if channels[polarity] >= weight.shape[1]:
            raise ValueError(f"there is no {polarity} channel: the readout has {weight.shape[1]} input channel(s)")
        return weight[:, channels[polarity]]

    def effective_kernel(self) -> tuple[Float[Tensor, "N C_in F T"], Float[Tensor, " N"]]:
        """Fold the batch normalisation in: the kernel and the offset that act in eval mode.

        The input of the activation is ``kernel * x + offset``; a positive weight excites.

        Returns
        -------
        kernel : Tensor
            ``(N, C_in, F, T)``, the last time index is the current bin.
        offset : Tensor
            ``(N,)``.

        Examples
        --------
        >>> import torch
        >>> readout = STRFReadout(F=4, T=3, C_in=1, out_neurons=2).eval()
        >>> kernel, offset = readout.effective_kernel()
        >>> x = torch.randn(1, 1, 4, 3)
        >>> by_hand = (kernel * x).sum((1, 2, 3)) + offset
        >>> torch.allclose(readout(x)[0, :, 0, -1], by_hand, atol=1e-6)
        True
        """
        weight = self.strf.STRF_weight()
        bn = {name: tensor.detach().cpu() for name, tensor in self.bn.state_dict().items()}
        gain = bn["weight"] / torch.sqrt(bn["running_var"] + self.bn.eps)
        # The response to silence, because kernels keep their offset in different places.
        silence = self.bn.running_mean.new_zeros(1, *weight.shape[1:])
        with torch.no_grad():
            bias = self.strf.kernel(silence).flatten().cpu()
        offset = bn["bias"] + gain * (bias - bn["running_mean"])
        return gain[:, None, None, None] * weight, offset

    def gain(self) -> nn.Parameter:
        """Return the standard deviation per neuron that the normalisation gives to the input of the activation."""
        return self.bn.weight

    def _own_per_neuron_tensors(self) -> dict[str, int]:
        tensors = dict.fromkeys(("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"), 0)
        if self._own_kernel:
            tensors |= {f"strf.kernel.{name}": 0 for name, _ in self.strf.kernel.named_parameters()}
        else:
            tensors |= _per_neuron_tensors_of(self.strf.kernel, "strf.kernel")
        return tensors


class LinearReadout(Readout):
    """A linear layer from features to neurons, bin by bin, then the activation.

    Parameters
    ----------
    in_features : int
        Number of features C.
    hidden : int, optional
        Size of a hidden layer (LeakyReLU, slope 0.1) before.
    bias : bool
        Bias of the linear layers.
    out_neurons, activation
        As in :class:`STRFReadout`.

    Examples
    --------
    >>> LinearReadout(in_features=70, out_neurons=5).per_neuron_tensors()
    {'fc.weight': 0, 'fc.bias': 0}
    """

    memoryless = True

    def __init__(
        self,
        in_features: int,
        out_neurons: int,
        hidden: int | None = None,
        activation: nn.Module | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_integer("in_features", in_features)
        check_integer("out_neurons", out_neurons)
        if hidden is not None:
            check_integer("hidden", hidden)
        self.in_features, self.hidden = in_features, hidden
        self._last = "fc" if hidden is None else "fc.2"
        self.fc: nn.Module
        if hidden is None:
            self.fc = nn.Linear(in_features, out_neurons, bias=bias)
        else:
            self.fc = nn.Sequential(
                nn.Linear(in_features, hidden, bias=bias),
                nn.LeakyReLU(0.1),
                nn.Linear(hidden, out_neurons, bias=bias),
            )
        self.activation = checked_activation(activation, out_neurons)

    def forward(self, x: Float[Tensor, "B C *one T"]) -> Float[Tensor, "B N 1 T"]:
        """Predict the responses from ``(B, C, T)`` or ``(B, C, 1, T)``; raises ValueError for other shapes."""
        if x.ndim == 4 and x.shape[2] == 1:
            x = x.squeeze(2)
        if x.ndim != 3 or x.shape[1] != self.in_features:
            raise ValueError(
                f"expected features of shape (B, C, T) or (B, C, 1, T) with C = {self.in_features}, got "
                f"{tuple(x.shape)}"
            )
        return self._respond(self.fc(x.transpose(1, 2)))

    def _own_per_neuron_tensors(self) -> dict[str, int]:
        return {f"{self._last}.{name}": 0 for name, _ in self.get_submodule(self._last).named_parameters()}


class FactorizedReadout(Readout):
    """What a neuron responds to, times where: weights over channels and weights over positions.

    ``y[n, t] = activation(bias[n] + sum_{c, p} feature_weight[n, c] · position_weight[n, p] · x[c, p, t])``. Features
    that a core computes at every position (band or place) alike are read with C + P weights per neuron, where a full
    linear readout takes C · P.

    Parameters
    ----------
    channels : int
        Number of channels C of the features.
    positions : int
        Number of positions P: bands, or places in the picture.
    bias : bool
        One offset per neuron.
    out_neurons, activation
        As in :class:`STRFReadout`.

    Attributes
    ----------
    feature_weight : Parameter
        ``(N, C)``.
    position_weight : Parameter
        ``(N, P)``.

    References
    ----------
    Klindt, Ecker, Euler & Bethge (2017), Neural system identification for large populations separating "what" and
    "where", https://doi.org/10.48550/arXiv.1711.02653

    Examples
    --------
    >>> readout = FactorizedReadout(channels=10, positions=28, out_neurons=5)
    >>> sum(parameter.numel() for parameter in readout.parameters())  # 5 x (10 + 28 + 1)
    195
    """

    memoryless = True

    def __init__(
        self, channels: int, positions: int, out_neurons: int, activation: nn.Module | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        self.channels = check_integer("channels", channels)
        self.positions = check_integer("positions", positions)
        check_integer("out_neurons", out_neurons)
        self.feature_weight = nn.Parameter(torch.empty(out_neurons, self.channels))
        self.position_weight = nn.Parameter(torch.empty(out_neurons, self.positions))
        self.bias = nn.Parameter(torch.empty(out_neurons)) if bias else None
        # So that the products vary as the weights of a linear layer do.
        for weight in (self.feature_weight, self.position_weight):
            bound = (3 / weight.shape[1] ** 2) ** 0.25
            nn.init.uniform_(weight, -bound, bound)
        if self.bias is not None:
            bound = (self.channels * self.positions) ** -0.5
            nn.init.uniform_(self.bias, -bound, bound)
        self.activation = checked_activation(activation, out_neurons)

    def forward(self, x: Float[Tensor, "B C *positions T"]) -> Float[Tensor, "B N 1 T"]:
        """Predict from ``(B, C, P, T)``, or ``(B, C, H, W, T)`` with P = H · W; raises ValueError for other shapes."""
        if x.ndim < 4 or x.shape[1] != self.channels or x.shape[2:-1].numel() != self.positions:
            raise ValueError(
                f"expected features of shape (B, C, P, T) with C = {self.channels} and P = {self.positions}, got "
                f"{tuple(x.shape)}"
            )
        # One matrix product with the outer products: the sums over positions first would be as many operations.
        weight = (self.feature_weight[:, :, None] * self.position_weight[:, None]).flatten(1)
        drive = nn.functional.linear(x.flatten(1, -2).transpose(1, 2), weight, self.bias)
        return self._respond(drive)

    def _own_per_neuron_tensors(self) -> dict[str, int]:
        return {name: 0 for name, _ in self.named_parameters(recurse=False)}

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"channels={self.channels}, positions={self.positions}, bias={self.bias is not None}"


def checked_activation(activation: nn.Module | None, out_neurons: int) -> nn.Module:
    """Return the activation, by default the identity; raises ValueError if it is for another number of neurons."""
    activation = check_module("activation", activation, nn.Identity)
    n_features = getattr(activation, "num_features", 1)  # one set of parameters may serve all neurons
    if n_features not in (1, out_neurons):
        raise ValueError(
            f"the activation {type(activation).__name__} is for {n_features} neurons, but there are {out_neurons}"
        )
    if isinstance(activation, nn.PReLU) and activation.num_parameters > 1:
        raise ValueError(
            f"PReLU({activation.num_parameters}) has its slopes along axis 1, but an activation acts on (B, T, N), "
            "where that is time: use PReLU(), with one slope"
        )
    return activation


def _per_neuron_tensors_of(module: nn.Module, prefix: str) -> dict[str, int]:
    """Return the per-neuron tensors that a part names; nothing is assumed about modules without the method."""
    named: dict[str, int] = getattr(module, "per_neuron_tensors", dict)()
    return {f"{prefix}.{name}": axis for name, axis in named.items()}
