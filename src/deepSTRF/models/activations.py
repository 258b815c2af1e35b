"""Output nonlinearities with parameters of their own for every neuron.

They act on tensors whose last axis runs over the N neurons. All parameters have shape ``(N,)``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.checks import check_integer
from deepSTRF.models.rebuildable import Rebuildable

__all__ = ["ParametricDoubleExponential", "ParametricSigmoid", "ParametricSoftplus"]

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
                f"{type(self).__name__} is for {self.num_features} neurons on the last axis, got a tensor of shape "
                f"{tuple(x.shape)}"
            )

    def per_neuron_tensors(self) -> dict[str, int]:
        """Names of the parameters that belong to single neurons, with the axis that runs over the neurons."""
        return {name: 0 for name, _ in self.named_parameters()}

    def extra_repr(self) -> str:
        """Name the settings."""
        bias = "" if getattr(self, "has_bias", True) else ", bias=False"
        return f"{self.num_features}{bias}, non_negative_output={self.non_negative_output}"


class ParametricSigmoid(_PerNeuronActivation):
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
    Willmore, Schoppe, King, Schnupp & Harper (2016), Incorporating midbrain adaptation to mean sound level improves
    models of auditory cortical processing, https://doi.org/10.1523/JNEUROSCI.2441-15.2016

    Examples
    --------
    >>> import torch
    >>> ParametricSigmoid(3)(torch.randn(2, 10, 3)).shape
    torch.Size([2, 10, 3])
    """

    def __init__(self, num_features: int, bias: bool = True, non_negative_output: bool = True) -> None:
        super().__init__(num_features, non_negative_output)
        self.c = self._uniform(-0.5, 0.5)
        self.d = self._uniform(0.5, 1.5)
        self._raw_b = self._uniform(*(_RAW_GAIN if non_negative_output else _GAIN))
        self.has_bias = bias
        self._raw_a = self._uniform(*(_RAW_OFFSET if non_negative_output else _OFFSET)) if bias else None

    @property
    def a(self) -> Tensor | None:
        """Offset, ``(N,)``, or None."""
        return None if self._raw_a is None else self._positive_if_asked(self._raw_a)

    @property
    def b(self) -> Tensor:
        """Amplitude, ``(N,)``."""
        return self._positive_if_asked(self._raw_b)

    def forward(self, x: Float[Tensor, "... N"]) -> Float[Tensor, "... N"]:
        """Apply the function along the last axis."""
        self._check(x)
        y = self.b * torch.sigmoid((x - self.c) / self.d)
        return y if self.a is None else y + self.a


class ParametricDoubleExponential(_PerNeuronActivation):
    r"""A Gompertz function per neuron: :math:`f(x) = a\,\exp(-\exp(k x - s)) + b`.

    It rises with x where k is negative, and saturates more slowly on one side than on the other.

    Parameters
    ----------
    num_features : int
        Number of neurons N, the length of the last axis of the input.
    bias : bool
        Learn the offset b; without it b is 0.
    non_negative_output : bool
        Keep a and b positive (softplus of the learnt values), so that the output is too.

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
    >>> import torch
    >>> ParametricDoubleExponential(3)(torch.randn(2, 10, 3)).shape
    torch.Size([2, 10, 3])
    """

    def __init__(self, num_features: int, bias: bool = True, non_negative_output: bool = True) -> None:
        super().__init__(num_features, non_negative_output)
        self.k = self._uniform(-0.5, 0.5)
        self.s = self._uniform(0.5, 1.5)
        self._raw_a = self._uniform(*(_RAW_GAIN if non_negative_output else _GAIN))
        self.has_bias = bias
        self._raw_b = self._uniform(*(_RAW_OFFSET if non_negative_output else _OFFSET)) if bias else None

    @property
    def a(self) -> Tensor:
        """Amplitude, ``(N,)``."""
        return self._positive_if_asked(self._raw_a)

    @property
    def b(self) -> Tensor | None:
        """Offset, ``(N,)``, or None."""
        return None if self._raw_b is None else self._positive_if_asked(self._raw_b)

    def forward(self, x: Float[Tensor, "... N"]) -> Float[Tensor, "... N"]:
        """Apply the function along the last axis."""
        self._check(x)
        y = self.a * torch.exp(-torch.exp(self.k * x - self.s))
        return y if self.b is None else y + self.b


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
