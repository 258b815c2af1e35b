"""State space layers, S4 and S4D: many slow and fast linear memories of every input feature."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.checks import check_integer
from deepSTRF.devices import autocasts, computing_in

__all__ = ["S4", "S4D", "legs_modes"]

_BLOCK = 32  # bins that are computed at once; a power of two


class _StateSpace(nn.Module, ABC):
    """What S4 and S4D share: everything but the equation of the state.

    A state x holds M = d_state / 2 complex modes for each of the H features, as real and imaginary parts
    ``(..., H, 2, M)``; in a real system the other half are their conjugates. ``_system`` reads off the parameters what
    one bin needs, and ``_advance`` takes a state over one bin.

    Bin by bin this is the recursion. Longer inputs are cut into blocks, in which the outputs are matrix products with
    powers of the same linear map: exact, and causal to the bit, because the products with later bins are with zeros.
    """

    member_by_member = True  # in an ensemble: see Ensemble

    def __init__(self, d_model: int, d_state: int) -> None:
        super().__init__()
        self.d_model, self.d_state = check_integer("d_model", d_model), check_integer("d_state", d_state)
        if d_state % 2:
            raise ValueError(f"d_state must be even, for pairs of conjugate modes, got {d_state}")
        # Time steps from 0.001 to 0.1, uniform on a log scale: memories of ten to a thousand bins.
        self.log_dt = nn.Parameter(math.log(0.001) + torch.rand(d_model) * math.log(100))
        self.C = nn.Parameter(torch.randn(d_model, 2, d_state // 2) * math.sqrt(0.5))
        self.D = nn.Parameter(torch.randn(d_model))
        self.out_proj = nn.Linear(d_model, 2 * d_model)

    @abstractmethod
    def _system(self) -> tuple[Tensor, ...]:
        """What ``_advance`` needs of the parameters."""

    @abstractmethod
    def _advance(self, system: tuple[Tensor, ...], x: Tensor, u: Tensor) -> Tensor:
        """Take the state x ``(..., H, 2, M)`` over a bin with input u ``(..., H)``."""

    def forward(
        self, input: Float[Tensor, "B T H"], hx: Float[Tensor, "B H d_state"] | None = None
    ) -> tuple[Float[Tensor, "B T H"], Float[Tensor, "B H d_state"]]:
        """Run the layer from the state `hx`, zero by default; return the output and the last state."""
        if autocasts(input.device):  # rounded to half, slow modes would fade or grow
            with computing_in(input.device, None):
                return self(input.to(self.D.dtype), hx)
        system, read = self._system(), _conjugate(self.C).flatten(1) * 2  # twice the real part of C·x
        x = input.new_zeros(input.shape[0], self.d_model, self.d_state) if hx is None else hx
        u = input.transpose(1, 2)
        n_single = input.shape[1] % _BLOCK
        outputs = []
        for t in range(n_single):
            x = self._advance(system, x.unflatten(-1, (2, -1)), u[..., t]).flatten(-2)
            outputs.append((read * x).sum(-1, keepdim=True))
        if input.shape[1] >= _BLOCK:
            y, x = self._blocks(system, read, u[..., n_single:], x)
            outputs.append(y)
        y = torch.cat(outputs, -1) + self.D[:, None] * u
        return functional.glu(self.out_proj(functional.gelu(y.transpose(1, 2)))), x

    def _blocks(
        self, system: tuple[Tensor, ...], read: Tensor, u: Float[Tensor, "B H T"], x: Float[Tensor, "B H S"]
    ) -> tuple[Float[Tensor, "B H T"], Float[Tensor, "B H S"]]:
        """A whole number of blocks: outputs and last state."""
        basis = torch.eye(self.d_state, dtype=u.dtype, device=u.device).unflatten(-1, (2, -1)).unsqueeze(1)
        silence = u.new_zeros(self.d_model)
        power = self._advance(system, basis, silence).flatten(-2).transpose(0, 1)  # one bin is x @ power, (H, S, S)
        impulse = self._advance(system, torch.zeros_like(basis[0]), silence + 1).flatten(-2)
        written, reading = impulse.unsqueeze(1), power @ read.unsqueeze(-1)
        while written.shape[1] < _BLOCK:  # twice as many bins in every round
            written = torch.cat([written, written @ power], 1)  # (H, bins since, S)
            reading = torch.cat([reading, power @ reading], 2)  # (H, S, bins ahead)
            power = power @ power
        response = (written @ read.unsqueeze(-1)).squeeze(-1)
        lag = torch.arange(_BLOCK, device=u.device)
        lag = lag - lag[:, None]  # (input bin, output bin)
        within = response[:, lag.clamp(min=0)] * (lag >= 0)
        blocks = u.unflatten(-1, (-1, _BLOCK)).transpose(0, 1)  # (H, B, blocks, bins)
        n_blocks = blocks.shape[2]
        arriving = blocks.flatten(1, 2) @ written.flip(1)
        at_start, x = [], x.transpose(0, 1)
        for added in arriving.unflatten(1, (-1, n_blocks)).unbind(2):
            at_start.append(x)
            x = torch.baddbmm(added, x, power)
        y = blocks.flatten(1, 2) @ within + torch.stack(at_start, 2).flatten(1, 2) @ reading
        return y.unflatten(1, (-1, n_blocks)).flatten(2).transpose(0, 1), x.transpose(0, 1)


class S4D(_StateSpace):
    r"""A state space layer with diagonal dynamics.

    Each of the H features u drives its own modes, which are damped oscillators with complex state:

    .. math::
        \dot x_m = A_m x_m + u, \qquad y = 2 \, \mathrm{Re} \sum_m C_m x_m + D u

    with Re A < 0, discretised by holding the input for one bin of length Δ (learned per feature). They start as
    :math:`A_m = -1/2 + i \pi m` (S4D-Lin). The output is GLU(W GELU(y) + b), which mixes the features.

    Parameters
    ----------
    d_model : int
        Number of features H.
    d_state : int
        Size of the state per feature, twice the number of modes.

    Raises
    ------
    ValueError
        If `d_model` or `d_state` is not a positive int, or `d_state` is odd.

    References
    ----------
    Gu, Gupta, Goel & Ré (2022), On the parameterization and initialization of diagonal state space models,
    https://doi.org/10.48550/arXiv.2206.11893

    Examples
    --------
    >>> S4D(d_model=70, d_state=64).frequency.shape  # one mode per pair of states
    torch.Size([70, 32])
    """

    def __init__(self, d_model: int, d_state: int = 64) -> None:
        super().__init__(d_model, d_state)
        modes = torch.arange(d_state // 2)
        self.log_decay = nn.Parameter(torch.full((d_model, d_state // 2), math.log(0.5)))
        self.frequency = nn.Parameter((math.pi * modes).repeat(d_model, 1))

    def _system(self) -> tuple[Tensor, ...]:
        dt = self.log_dt.exp().unsqueeze(-1)
        decay = self.log_decay.exp()
        size, phase = torch.exp(-decay * dt), self.frequency * dt
        gain = torch.stack([size * phase.cos(), size * phase.sin()], 1)
        one = torch.eye(2, 1, dtype=gain.dtype, device=gain.device)  # a GPU would wait for numbers of Python
        return gain, _times(gain - one, _inverse(torch.stack([-decay, self.frequency], 1)))

    def _advance(self, system: tuple[Tensor, ...], x: Tensor, u: Tensor) -> Tensor:
        gain, drive = system
        return _times(gain, x) + drive * u[..., None, None]


class S4(_StateSpace):
    r"""A state space layer whose memory starts as the history of its input in Legendre polynomials.

    Each of the H features u drives a system of `d_state` coupled equations:

    .. math::
        \dot x = (\Lambda - P P^*) x + B u, \qquad y = \mathrm{Re}(C x) + D u

    with diagonal Λ, Re Λ < 0, discretised by the bilinear rule with a step Δ (learned per feature); Λ, P and B are
    learned and shared by the features. They start as the HiPPO-LegS system, see :func:`legs_modes`, which compresses
    the whole past, the recent past more sharply. The output is GLU(W GELU(y) + b), which mixes the features.

    Parameters
    ----------
    d_model, d_state : int
        Number of features H, and size of the state per feature: see :class:`S4D`.

    References
    ----------
    Gu, Goel & Ré (2022), Efficiently modeling long sequences with structured state spaces,
    https://doi.org/10.48550/arXiv.2111.00396

    Goel, Gu, Donahue & Ré (2022), It's raw! Audio generation with state-space models,
    https://doi.org/10.48550/arXiv.2202.09729 (P on both sides keeps the system stable)

    Examples
    --------
    >>> import torch
    >>> S4(d_model=70)(torch.randn(2, 50, 70))[0].shape
    torch.Size([2, 50, 70])
    """

    def __init__(self, d_model: int, d_state: int = 64) -> None:
        super().__init__(d_model, d_state)
        modes, P, B = legs_modes(d_state)
        self.log_decay = nn.Parameter((-modes[0]).log())
        self.frequency = nn.Parameter(modes[1].clone())
        self.P = nn.Parameter(P)
        self.B = nn.Parameter(B)

    def _system(self) -> tuple[Tensor, ...]:
        # With h = Δ / 2, the bilinear rule is (1 - h A) x' = (1 + h A) x + Δ B u, where A x = Λ x - P s(x) and
        # s(x) = P* x. Solved for x': x' = G v - q s(G v), where v is the right side, G = 1 / (1 - h Λ) and
        # q = h G P / (1 + s(h G P)).
        half = self.log_dt.exp()[:, None, None] / 2
        modes = torch.stack([-self.log_decay.exp(), self.frequency]) * half
        one = torch.eye(2, 1, dtype=modes.dtype, device=modes.device)  # as in S4D
        G = _inverse(one - modes)
        P = half * self.P
        feedback = _times(G, P)
        feedback = feedback / (1 + self._along(feedback))
        # G v is written out, so that a bin costs two inner products and two products.
        return _times(G, one + modes), _times(G, P), _times(G, 2 * half * self.B), feedback

    def _along(self, x: Tensor) -> Tensor:
        """P* x, over the modes and their conjugates."""
        return 2 * (self.P * x).sum((-2, -1), keepdim=True)

    def _advance(self, system: tuple[Tensor, ...], x: Tensor, u: Tensor) -> Tensor:
        gain, coupling, drive, feedback = system
        v = _times(gain, x) - coupling * self._along(x) + drive * u[..., None, None]
        return v - feedback * self._along(v)


def legs_modes(d_state: int) -> tuple[Float[Tensor, "2 M"], Float[Tensor, "2 M"], Float[Tensor, "2 M"]]:
    r"""Return the HiPPO-LegS system in the basis in which it is diagonal but for one product.

    The system :math:`A_{nk} = -\sqrt{(2n + 1)(2k + 1)}` for n > k, :math:`-(n + 1)` for n = k and 0 above, with
    :math:`B_n = \sqrt{2n + 1}`, keeps the projections of its past input on Legendre polynomials. With
    :math:`P_n = \sqrt{n + 1/2}`, the matrix :math:`A + P P^\top` is normal.

    Returns
    -------
    modes, P, B : Tensor
        Eigenvalues of :math:`A + P P^\top` with positive imaginary part, and P and B in its eigenvectors; real and
        imaginary parts ``(2, d_state / 2)``.

    References
    ----------
    Gu, Dao, Ermon, Rudra & Ré (2020), HiPPO: recurrent memory with optimal polynomial projections,
    https://doi.org/10.48550/arXiv.2008.07669

    Examples
    --------
    >>> modes, P, B = legs_modes(4)
    >>> modes
    tensor([[-0.5000, -0.5000],
            [ 0.5565,  4.6033]])
    """
    n = torch.arange(d_state, dtype=torch.float64)
    P, B = (n + 0.5).sqrt(), (2 * n + 1).sqrt()
    A = -torch.outer(B, B).tril(-1) - torch.diag(n + 1)
    # -1/2 plus an antisymmetric matrix: i times it is Hermitian.
    antisymmetric = A + torch.outer(P, P) + 0.5 * torch.eye(d_state, dtype=torch.float64)
    frequencies, vectors = torch.linalg.eigh(-1j * antisymmetric)
    positive = frequencies > 0
    vectors = vectors[:, positive].mH
    modes = torch.stack([torch.full_like(frequencies[positive], -0.5), frequencies[positive]])
    in_modes = (torch.view_as_real(vectors @ column.to(vectors.dtype)).T for column in (P, B))
    return tuple(part.to(torch.get_default_dtype()).contiguous() for part in (modes, *in_modes))  # type: ignore[return-value]


# Complex numbers as real and imaginary parts in the last axis but one: torch's own complex numbers follow neither
# Module.double() nor an export to ONNX.


def _times(a: Tensor, b: Tensor) -> Tensor:
    a_real, a_imag = a.unbind(-2)
    b_real, b_imag = b.unbind(-2)
    return torch.stack([a_real * b_real - a_imag * b_imag, a_real * b_imag + a_imag * b_real], -2)


def _conjugate(a: Tensor) -> Tensor:
    return torch.stack([a[..., 0, :], -a[..., 1, :]], -2)


def _inverse(a: Tensor) -> Tensor:
    return _conjugate(a) / a.square().sum(-2, keepdim=True)
