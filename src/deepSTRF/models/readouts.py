"""Readouts: from features to one response per neuron.

A readout says which of its tensors belong to single neurons, ``per_neuron_tensors()``: names as in its ``state_dict``,
with the axis that runs over the neurons. The Fitter uses it to bring each neuron back to its own best epoch.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deepSTRF.models.checks import module_or, positive_int
from deepSTRF.models.layers.normalization import PaddedBatchNorm1d
from deepSTRF.models.layers.strf import CausalSTRFConv
from deepSTRF.models.streaming import State

__all__ = ["LinearReadout", "STRFReadout"]

R = TypeVar("R", bound="STRFReadout")


class STRFReadout(nn.Module):
    """One spectro-temporal receptive field per neuron, batch normalisation, activation.

    ``y = activation(BatchNorm(strf * x))``. The normalisation gives every neuron the same scale before the activation,
    whatever the scale of the stimulus; in eval mode it is a fixed gain and offset, see :meth:`effective_kernel`. Bins
    at the end of a stimulus where the input no longer changes are padding and do not enter the statistics.

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
        self.activation = _checked_activation(activation, out_neurons)
        self._own_kernel = kernel is None

    def forward(self, x: Float[Tensor, "B C_in F T"]) -> Float[Tensor, "B N 1 T"]:
        """Predict the responses."""
        return self.step(x)[0]

    def step(self, x: Float[Tensor, "B C_in F t"], state: State = None) -> tuple[Float[Tensor, "B N 1 t"], State]:
        """Predict the responses in the next bins; the state is that of ``strf``."""
        drive, state = self.strf.step(x, state)
        drive = drive.squeeze(2)
        drive = self.bn(drive, _not_padding(x)) if self.bn.training else self.bn(drive)
        return self.activation(drive.transpose(1, 2)).transpose(1, 2).unsqueeze(2), state

    def freeze_normalization(self) -> None:
        """Keep the normalisation as it is from now on, in train mode too; its gain and offset can still be learned.

        For a readout that starts from known receptive fields, whose scale must not change from batch to batch. What is
        saved is the same as without.
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

    def per_neuron_tensors(self) -> dict[str, int]:
        """Names of the parameters and buffers that belong to single neurons, with the axis over neurons."""
        tensors = dict.fromkeys(("bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"), 0)
        if self._own_kernel:
            tensors |= {f"strf.kernel.{name}": 0 for name, _ in self.strf.kernel.named_parameters()}
        else:
            tensors |= _offered_by(self.strf.kernel, "strf.kernel")
        return tensors | _offered_by(self.activation, "activation")


class LinearReadout(nn.Module):
    """A linear layer from features to neurons, bin by bin, then the activation.

    Parameters
    ----------
    in_features : int
        Number of features C.
    out_neurons : int
        Number of neurons N.
    hidden : int, optional
        Size of a hidden layer (LeakyReLU, slope 0.1) before.
    activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``; the identity by default.
    bias : bool
        Bias of the linear layers.

    Examples
    --------
    >>> import torch
    >>> readout = LinearReadout(in_features=70, out_neurons=5)
    >>> readout(torch.randn(2, 70, 1, 100)).shape
    torch.Size([2, 5, 1, 100])
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
        positive_int("in_features", in_features)
        positive_int("out_neurons", out_neurons)
        if hidden is not None:
            positive_int("hidden", hidden)
        self.in_features, self.hidden = in_features, hidden
        self.fc: nn.Module
        if hidden is None:
            self.fc = nn.Linear(in_features, out_neurons, bias=bias)
        else:
            self.fc = nn.Sequential(
                nn.Linear(in_features, hidden, bias=bias),
                nn.LeakyReLU(0.1),
                nn.Linear(hidden, out_neurons, bias=bias),
            )
        self.activation = _checked_activation(activation, out_neurons)

    def forward(self, x: Float[Tensor, "B C *one T"]) -> Float[Tensor, "B N 1 T"]:
        """Predict the responses from ``(B, C, T)`` or ``(B, C, 1, T)``.

        Raises
        ------
        ValueError
            If `x` has another shape.
        """
        if x.ndim == 4 and x.shape[2] == 1:
            x = x.squeeze(2)
        if x.ndim != 3 or x.shape[1] != self.in_features:
            raise ValueError(
                f"expected features of shape (B, C, T) or (B, C, 1, T) with C = {self.in_features}, got "
                f"{tuple(x.shape)}"
            )
        return self.activation(self.fc(x.transpose(1, 2))).transpose(1, 2).unsqueeze(2)

    def per_neuron_tensors(self) -> dict[str, int]:
        """Names of the parameters that belong to single neurons, with the axis over neurons."""
        last = "fc" if self.hidden is None else "fc.2"
        layer = self.get_submodule(last)
        return {f"{last}.{name}": 0 for name, _ in layer.named_parameters()} | _offered_by(
            self.activation, "activation"
        )


def _checked_activation(activation: nn.Module | None, out_neurons: int) -> nn.Module:
    """The activation, the identity by default; refuse one that has parameters for another number of neurons."""
    activation = module_or("activation", activation, nn.Identity)
    n_features = getattr(activation, "num_features", 1)  # one set of parameters may serve all neurons
    if n_features not in (1, out_neurons):
        raise ValueError(
            f"the activation {type(activation).__name__} is for {n_features} neurons, but there are {out_neurons}"
        )
    return activation


def _not_padding(x: Float[Tensor, "B C F T"]) -> Bool[Tensor, "B T"]:
    """Bins before the last run of equal ones: padding is zero, or what a front end or prefilter makes of zeros."""
    last = x[..., -1:]
    padding = (x == last).flatten(1, 2).all(1).flip(1).cumprod(1).flip(1).bool()
    # The last bin always equals itself: alone, it is padding only if it is zero.
    longer = padding[:, -2:-1].any(1)
    padding[:, -1] = longer | (last == 0).flatten(1).all(1)
    return ~padding


def _offered_by(module: nn.Module, prefix: str) -> dict[str, int]:
    """Per-neuron tensors that a part says it has; nothing is assumed about foreign modules."""
    offer = getattr(module, "per_neuron_tensors", None)
    return {} if offer is None else {f"{prefix}.{name}": axis for name, axis in offer().items()}
