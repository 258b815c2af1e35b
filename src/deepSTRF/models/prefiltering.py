"""Prefilters: adaptation to the sound level of every frequency band, in front of a model.

Each band is compared with its own recent past, a mean with exponential weights. The time constant depends on the best
frequency of the band, as measured in the midbrain of ferrets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer, check_positive, describe_type, unknown_name
from deepSTRF.models.bin_by_bin import State, with_held_past
from deepSTRF.models.layers.decay import exponential_sums
from deepSTRF.models.saving.rebuildable import Rebuildable
from deepSTRF.models.time_constants import a_to_tau, freq_to_tau, get_CFs, tau_to_a

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "AdapTrans",
    "ICAdaptation",
    "Willmore_Adaptation",
    "a_to_tau",
    "freq_to_tau",
    "get_CFs",
    "make_prefiltering",
    "tau_to_a",
]


class _Adaptation(Rebuildable):
    """What the prefilters share: a bin is compared with the weighted mean of those before it in its band."""

    out_channels: int

    def __init__(self, kernel_size: int, **initial_values: list[float]) -> None:
        super().__init__()
        (self.F,) = {len(values) for values in initial_values.values()}
        self._initial_values: dict[str, list[float]] = initial_values
        self.kernel_size = check_integer("kernel_size", kernel_size, least=2)  # the present bin and one before it

    def _after_init(self) -> None:
        # The values may have come as tensors, which are written down as lists.
        self._init_kwargs |= self._initial_values
        self._init_unsaved = {k: v for k, v in self._init_unsaved.items() if k not in self._initial_values}

    def _decay_and_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """Decay ``(C, F)``, and weights of the present bin and of the mean of the past, which broadcast with it."""
        raise NotImplementedError

    def _past_weights(self, decay: Float[Tensor, "C F"]) -> Float[Tensor, "C F K_minus_1"]:
        """Weights of the bins before, the latest last; they sum to 1."""
        lags = torch.arange(self.kernel_size - 2, -1, -1, device=decay.device)
        weights = decay.unsqueeze(-1) ** lags
        return weights / weights.sum(-1, keepdim=True)

    def build_kernels(self) -> Float[Tensor, "C F K"]:
        """Return the kernel of every channel and band; the last index is the current bin."""
        decay, present, past = self._decay_and_weights()
        kernels = past.unsqueeze(-1) * self._past_weights(decay)
        return torch.cat([kernels, present.expand(decay.shape).unsqueeze(-1)], -1)

    def forward(self, x: Float[Tensor, "B 1 F T"]) -> Float[Tensor, "B C F T"]:
        """Filter and rectify a spectrogram.

        Raises
        ------
        ValueError
            If `x` is not ``(B, 1, F, T)``.
        """
        return self.step(x)[0]

    def step(self, x: Float[Tensor, "B 1 F t"], state: State = None) -> tuple[Float[Tensor, "B C F t"], State]:
        """Filter the next bins; the state is the K - 1 bins before, and whether there were any."""
        if x.ndim != 4 or x.shape[1] != 1 or x.shape[2] != self.F:
            raise ValueError(
                f"{type(self).__name__} expected a spectrogram (B, 1, {self.F}, T), got shape {tuple(x.shape)}"
            )
        longer, state = with_held_past(x, state, self.kernel_size - 1)
        decay, present, past = self._decay_and_weights()
        sums = exponential_sums(longer[..., :-1], decay.unsqueeze(-1), self.kernel_size - 1)
        # The latest bin has the weight a^0 = 1 in the sum.
        gain = past * self._past_weights(decay)[..., -1]
        return torch.relu(present.unsqueeze(-1) * x + gain.unsqueeze(-1) * sums), state

    def plot_kernels(self, dt: float = 1.0) -> tuple[Figure, list[Axes]]:
        """Draw the kernels, one line per band, one panel per channel.

        Parameters
        ----------
        dt : float
            Length of a bin in ms.

        Returns
        -------
        figure : matplotlib.figure.Figure
            Made without pyplot; evaluate it in a notebook, or call its ``savefig``.
        axes : list of matplotlib.axes.Axes
            One per channel.
        """
        from matplotlib import colormaps
        from matplotlib.figure import Figure

        kernels = self.build_kernels().detach().cpu()
        times = dt * torch.arange(1 - self.kernel_size, 1)
        figure = Figure(figsize=(4 * self.out_channels, 3), layout="constrained")
        panels = figure.subplots(1, self.out_channels, sharey=True, squeeze=False)[0]
        colours = colormaps["viridis"](np.linspace(0, 1, self.F))
        for panel, channel, title in zip(panels, kernels, ("ON", "OFF"), strict=False):
            for kernel, colour in zip(channel, colours, strict=True):
                panel.plot(times, kernel, color=colour, linewidth=0.8)
            panel.set(xlabel="time (ms)", title=title if self.out_channels > 1 else "")
        panels[0].set_ylabel("weight (dark: low frequencies)")
        return figure, list(panels)


class ICAdaptation(_Adaptation):
    r"""Subtract from every band the mean of its recent past, and rectify, as the inferior colliculus seems to.

    .. math:: y_f(t) = \max\Big(0,\; x_f(t) - C_f \sum_{k=1}^{K-1} a_f^{k-1} x_f(t - k)\Big)

    where C normalises the weights of the past to a sum of 1. Before the onset the first bin is held, so that a constant
    sound gives nothing. There is nothing to train.

    Parameters
    ----------
    init_a_vals : sequence of float, or Tensor
        Decay a per bin of every band, between 0 and 1; see :func:`tau_to_a`.
    kernel_size : int
        Length K of the kernel in bins, the present one included.

    Attributes
    ----------
    a : Tensor
        ``(F,)``.
    out_channels : int
        1.

    Raises
    ------
    ValueError
        If a decay is not between 0 and 1, or `kernel_size` is less than 2.

    References
    ----------
    Willmore, Schoppe, King, Schnupp & Harper (2016), Incorporating midbrain adaptation to mean sound level improves
    models of auditory cortical processing, https://doi.org/10.1523/JNEUROSCI.2441-15.2016

    Examples
    --------
    >>> import torch
    >>> prefilter = ICAdaptation(init_a_vals=[0.5], kernel_size=3)
    >>> step_up = torch.tensor([2.0, 2.0, 5.0, 5.0, 5.0]).reshape(1, 1, 1, 5)
    >>> prefilter(step_up).flatten()
    tensor([0., 0., 3., 1., 0.])
    """

    a: Tensor
    out_channels = 1

    def __init__(self, init_a_vals: Iterable[float] | Tensor, kernel_size: int = 2) -> None:
        decay = _per_band("init_a_vals", init_a_vals)
        super().__init__(kernel_size, init_a_vals=decay)
        self.register_buffer("a", torch.tensor(decay))

    def _decay_and_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        one = self.a.new_ones(1, 1)
        return self.a[None], one, -one

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"F={self.F}, kernel_size={self.kernel_size}"


Willmore_Adaptation = ICAdaptation


class AdapTrans(_Adaptation):
    r"""Split every band into ON and OFF responses, which adapt: one to rising and one to falling sound level.

    .. math::
        \mathrm{ON}_f(t) &= \max\Big(0,\; x_f(t) - w_f\, C_f \sum_{k=1}^{K-1} a_f^{k-1} x_f(t - k)\Big) \\
        \mathrm{OFF}_f(t) &= \max\Big(0,\; C'_f \sum_{k=1}^{K-1} a'^{\,k-1}_f x_f(t - k) - w_f\, x_f(t)\Big)

    where C and C' normalise the weights of the past to a sum of 1, and the decays a and a' are those of the two
    channels. With w = 1 only changes are passed on; below, something of the level is. Before the onset the first bin is
    held. Decays and w are learnt through :math:`a = 1 / (1 + d^2)` and :math:`w = 1 / (1 + p^2)`, three numbers per
    band.

    Parameters
    ----------
    init_a_vals : sequence of float, or Tensor
        Decay per bin of every band, between 0 and 1, with which both channels start; see :func:`tau_to_a`.
    init_w_vals : sequence of float, or Tensor
        Weight w with which every band starts, above 0 and up to 1. From exactly 1 it does not learn.
    kernel_size : int
        Length K of the kernels in bins, the present one included.
    learnable : bool
        Whether d and p are parameters, or buffers.

    Attributes
    ----------
    d_on, d_off, p : Tensor
        ``(F,)``; only their squares matter.
    out_channels : int
        2: channel 0 is ON, channel 1 is OFF.

    Raises
    ------
    ValueError
        If a value is out of its range, the two sequences differ in length, or `kernel_size` is less than 2.

    References
    ----------
    Rançon, Masquelier & Cottereau (2024), A general model unifying the adaptive, transient and sustained properties of
    ON and OFF auditory neural responses, https://doi.org/10.1371/journal.pcbi.1012288

    Examples
    --------
    >>> import torch
    >>> prefilter = AdapTrans(init_a_vals=[0.5], init_w_vals=[1.0], kernel_size=2)
    >>> step_up_and_down = torch.tensor([2.0, 5.0, 5.0, 2.0, 2.0]).reshape(1, 1, 1, 5)
    >>> prefilter(step_up_and_down)[0, :, 0]
    tensor([[0., 3., 0., 0., 0.],
            [0., 0., 0., 3., 0.]], grad_fn=<SelectBackward0>)
    """

    d_on: Tensor
    d_off: Tensor
    p: Tensor
    out_channels = 2

    def __init__(
        self,
        init_a_vals: Iterable[float] | Tensor,
        init_w_vals: Iterable[float] | Tensor,
        kernel_size: int = 2,
        learnable: bool = True,
    ) -> None:
        decay = _per_band("init_a_vals", init_a_vals)
        weight = _per_band("init_w_vals", init_w_vals, may_be_one=True)
        if len(decay) != len(weight):
            raise ValueError(
                f"init_a_vals and init_w_vals must have one value per band, got {len(decay)} and {len(weight)}"
            )
        super().__init__(kernel_size, init_a_vals=decay, init_w_vals=weight)
        self.learnable = learnable
        for name, values in (("d_on", decay), ("d_off", decay), ("p", weight)):
            tensor = torch.tensor([math.sqrt(1 / value - 1) for value in values])
            if learnable:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)

    def get_a(self) -> tuple[Float[Tensor, " F"], Float[Tensor, " F"]]:
        """Return the decays per bin of the ON and of the OFF channel."""
        return 1 / (1 + self.d_on.square()), 1 / (1 + self.d_off.square())

    def get_w(self) -> Float[Tensor, " F"]:
        """Return the weight w of every band."""
        return 1 / (1 + self.p.square())

    def _decay_and_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        w = self.get_w()
        one = torch.ones_like(w)
        return torch.stack(self.get_a()), torch.stack([one, -w]), torch.stack([-w, one])

    def extra_repr(self) -> str:
        """Name the settings."""
        return f"F={self.F}, kernel_size={self.kernel_size}, learnable={self.learnable}"


def make_prefiltering(
    kind: str,
    n_frequency_bands: int,
    dt: float,
    min_freq: float = 500.0,
    max_freq: float = 20_000.0,
    scale: str = "mel",
    learnable: bool = True,
    init_w: float = 0.75,
) -> AdapTrans | ICAdaptation:
    """Make a prefilter for a spectrogram, with the time constants of the midbrain.

    The kernels are three times as long as the longest time constant.

    Parameters
    ----------
    kind : {'adaptrans', 'icadaptation', 'willmore'}
        Upper or lower case; the last two are the same.
    n_frequency_bands : int
        Number of bands F.
    dt : float
        Length of a bin in ms.
    min_freq, max_freq, scale
        Of the bands, see :func:`get_CFs`.
    learnable, init_w
        Of :class:`AdapTrans`.

    Raises
    ------
    TypeError
        If `kind` is not a name.
    ValueError
        If `kind` is unknown, a number is out of range, or `max_freq` so high that there is no time constant.
    NotImplementedError
        If `scale` is unknown.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.audio import Linear
    >>> prefilter = make_prefiltering("adaptrans", n_frequency_bands=34, dt=5)
    >>> prefilter
    AdapTrans(F=34, kernel_size=131, learnable=True)
    >>> model = Linear(n_frequency_bands=34, prefiltering=prefilter)
    >>> model(torch.randn(2, 1, 34, 100)).shape
    torch.Size([2, 1, 1, 100])
    """
    kinds = ("adaptrans", "icadaptation", "willmore")
    if not isinstance(kind, str):
        raise TypeError(f"kind must be the name of a prefilter, got {describe_type(kind)}: {kind!r}")
    name = kind.lower()
    if name not in kinds:
        raise ValueError(unknown_name("prefilter", kind, kinds))
    dt = check_positive("dt", dt)
    tau = [freq_to_tau(frequency) for frequency in get_CFs(min_freq, max_freq, n_frequency_bands, scale).tolist()]
    if min(tau) <= 0:
        raise ValueError(
            f"max_freq={max_freq} Hz is too high: the time constant 500 - 105 log10(f) ms is positive below 57.8 kHz "
            "only"
        )
    kernel_size = max(2, round(3 * max(tau) / dt) + 1)
    decay = [tau_to_a(value, dt) for value in tau]
    if name == "adaptrans":
        return AdapTrans(decay, [init_w] * len(decay), kernel_size, learnable)
    return ICAdaptation(decay, kernel_size)


def _per_band(name: str, values: Iterable[float] | Tensor, may_be_one: bool = False) -> list[float]:
    """Return one number per band as a list, checked to lie between 0 and 1."""
    array = np.asarray(values.tolist() if isinstance(values, Tensor) else list(values), dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} must be a sequence of one number per band, got an array of shape {array.shape}")
    inside = (array > 0) & ((array <= 1) if may_be_one else (array < 1))
    if not inside.all():
        upper = "up to" if may_be_one else "below"
        raise ValueError(f"{name} must be above 0 and {upper} 1, got {array[~inside][0]:g} in band {inside.argmin()}")
    return array.tolist()
