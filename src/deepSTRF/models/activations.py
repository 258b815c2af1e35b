"""Output nonlinearities with parameters of their own for every neuron.

They act on tensors whose last axis runs over the N neurons. All parameters have shape ``(N,)``.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.checks import check_integer
from deepSTRF.models.saving.rebuildable import Rebuildable

__all__ = ["ParametricDoubleExponential", "ParametricSigmoid", "ParametricSoftplus", "softplus_by_default"]

# The ranges in which gains and offsets start: raw values that pass through a softplus, and direct ones.
_RAW_GAIN, _GAIN = (-0.43, 1.40), (0.5, 1.5)
_RAW_OFFSET, _OFFSET = (-1.43, 0.43), (0.0, 1.0)


class _PerNeuronActivation(Rebuildable):
    """What the activations share: checks, and which of their tensors belong to single neurons."""

    memoryless = True

    def __init__(self, num_features: int, non_negative_output: bool) -> None:
        super().__init__()
        self.num_features = check_integer("num_features", num_features)
        self.non_negative_output = non_negative_output

    def _uniform(self, low: float, high: float) -> nn.Parameter:
        return nn.Parameter(torch.empty(self.num_features).uniform_(low, high))

    def _positive_if_asked(self, raw: Tensor) -> Tensor:
        return functional.softplus(raw) if self.non_negative_output else raw

    def _check(self, x: Tensor) -> None:
        # one set of parameters may serve all neurons
        if self.num_features not in (1, x.shape[-1]):
            raise ValueError(
                f"{type(self).__name__} expected {self.num_features} neurons on the last axis, got a tensor of shape "
                f"{tuple(x.shape)}"
            )

    def per_neuron_tensors(self) -> dict[str, int]:
        """Return the names of the parameters that belong to single neurons, with the axis over neurons."""
        return {name: 0 for name, _ in self.named_parameters()}

    def extra_repr(self) -> str:
        """Name the settings."""
        bias = "" if getattr(self, "has_bias", True) else ", bias=False"
        return f"{self.num_features}{bias}, non_negative_output={self.non_negative_output}"


class Saturating(_PerNeuronActivation):
    """A curve between an offset and the offset plus an amplitude, with two more parameters for its place and slope."""

    _shape: ClassVar[tuple[str, str]]  # names of the parameters that start in ±0.5, and around 1
    _amplitude: ClassVar[str]
    _offset: ClassVar[str]

    def __init__(self, num_features: int, bias: bool = True, non_negative_output: bool = True) -> None:
        super().__init__(num_features, non_negative_output)
        self.has_bias = bias
        centred, around_one = self._shape
        setattr(self, centred, self._uniform(-0.5, 0.5))
        setattr(self, around_one, self._uniform(0.5, 1.5))
        setattr(self, f"_raw_{self._amplitude}", self._uniform(*(_RAW_GAIN if non_negative_output else _GAIN)))
        offset = self._uniform(*(_RAW_OFFSET if non_negative_output else _OFFSET)) if bias else None
        setattr(self, f"_raw_{self._offset}", offset)

    def _value(self, name: str) -> Tensor | None:
        raw: Tensor | None = getattr(self, f"_raw_{name}")
        return None if raw is None else self._positive_if_asked(raw)

    @property
    def a(self) -> Tensor | None:
        """The parameter a, ``(N,)``; None if it is the offset and there is none."""
        return self._value("a")

    @property
    def b(self) -> Tensor | None:
        """The parameter b, ``(N,)``; None if it is the offset and there is none."""
        return self._value("b")

    def forward(self, x: Float[Tensor, "... N"]) -> Float[Tensor, "... N"]:
        """Apply the function along the last axis."""
        self._check(x)
        amplitude, offset = self._positive_if_asked(getattr(self, f"_raw_{self._amplitude}")), self._value(self._offset)
        y = amplitude * self._curve(x)
        return y if offset is None else y + offset

    def _curve(self, x: Float[Tensor, "... N"]) -> Float[Tensor, "... N"]:
        """Return the curve between 0 and 1."""
        raise NotImplementedError


class ParametricSigmoid(Saturating):
    r"""A logistic function per neuron: :math:`f(x) = b\,\sigma((x - c) / d) + a`.

    Parameters
    ----------
    num_features : int
        Number of neurons N, the length of the last axis of the input.
    bias : bool
        Learn the offset a; without it a is 0.
    non_negative_output : bool
        Keep a and b positive (softplus of the learnt values), so that the output is too.

    Attributes
    ----------
    a, b : Tensor or None
        Offset (None without bias) and amplitude, ``(N,)``.
    c, d : Parameter
        Threshold and width, ``(N,)``.

    References
    ----------
    Willmore et al. (2016), https://doi.org/10.1523/JNEUROSCI.2441-15.2016

    Examples
    --------
    >>> import torch
    >>> ParametricSigmoid(3)(torch.randn(2, 10, 3)).shape
    torch.Size([2, 10, 3])
    """

    c: nn.Parameter
    d: nn.Parameter
    _shape, _amplitude, _offset = ("c", "d"), "b", "a"

    def _curve(self, x: Float[Tensor, "... N"]) -> Float[Tensor, "... N"]:
        return torch.sigmoid((x - self.c) / self.d)


class ParametricDoubleExponential(Saturating):
    r"""A Gompertz function per neuron: :math:`f(x) = a\,\exp(-\exp(k x - s)) + b`.

    It rises with x where k is negative, and saturates more slowly on one side than on the other.

    Parameters
    ----------
    num_features, bias, non_negative_output
        Of :class:`ParametricSigmoid`; here b is the offset.

    Attributes
    ----------
    a, b : Tensor
        Amplitude and offset (None without bias), ``(N,)``.
    k, s : Parameter
        Slope and shift, ``(N,)``.

    References
    ----------
    Thorson, Liénard & David (2015), The essential complexity of auditory receptive fields,
    https://doi.org/10.1371/journal.pcbi.1004628

    Examples
    --------
    >>> ParametricDoubleExponential(3, bias=False)
    ParametricDoubleExponential(3, bias=False, non_negative_output=True)
    """

    k: nn.Parameter
    s: nn.Parameter
    _shape, _amplitude, _offset = ("k", "s"), "a", "b"

    def _curve(self, x: Float[Tensor, "... N"]) -> Float[Tensor, "... N"]:
        return torch.exp(-torch.exp(self.k * x - self.s))


class ParametricSoftplus(_PerNeuronActivation):
    r"""A soft rectifier per neuron: :math:`f(x) = \log(1 + e^{\beta x}) / \beta + b`.

    It starts sharp, close to max(x, 0), with a small positive value at 0, so that a fit does not begin on the flat
    side and end at the mean response.

    Parameters
    ----------
    num_features : int
        Number of neurons N, the length of the last axis of the input.
    non_negative_output : bool
        Keep the offset b positive (softplus of the learnt value), so that the output is too.

    Attributes
    ----------
    beta, b : Tensor
        Sharpness and offset, ``(N,)``.

    References
    ----------
    Dugas, Bengio, Bélisle, Nadeau & Garcia (2000), Incorporating second-order functional knowledge for better option
    pricing, NeurIPS 13.

    Examples
    --------
    >>> import torch
    >>> f = ParametricSoftplus(3)
    >>> bool((f(torch.randn(2, 10, 3)) > 0).all())
    True
    """

    def __init__(self, num_features: int, non_negative_output: bool = True) -> None:
        super().__init__(num_features, non_negative_output)
        self._raw_beta = self._uniform(5.0, 6.0)
        self._raw_b = self._uniform(*((-5.0, -3.0) if non_negative_output else (-0.1, 0.1)))

    @property
    def beta(self) -> Tensor:
        """Sharpness, ``(N,)``."""
        return functional.softplus(self._raw_beta)

    @property
    def b(self) -> Tensor:
        """Offset, ``(N,)``."""
        return self._positive_if_asked(self._raw_b)

    def forward(self, x: Float[Tensor, "... N"]) -> Float[Tensor, "... N"]:
        """Apply the function along the last axis."""
        self._check(x)
        beta = self.beta
        return functional.softplus(x * beta) / beta + self.b


def softplus_by_default(activation: nn.Module | None, out_neurons: int) -> nn.Module:
    """Return `activation`, or a :class:`ParametricSoftplus` for `out_neurons` if it is None.

    Examples
    --------
    >>> softplus_by_default(None, 5)
    ParametricSoftplus(5, non_negative_output=True)
    """
    if activation is None:
        return ParametricSoftplus(check_integer("out_neurons (O)", out_neurons))
    return activation
