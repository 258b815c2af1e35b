"""LEAF: a front end whose filters, pooling and compression are all learned."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.models.bin_by_bin import State, with_past
from deepSTRF.models.wav2spec.base import WaveformFrontEnd, frequency_range
from deepSTRF.models.wav2spec.pcen import pcen
from deepSTRF.scales import ERB_bandwidth, Hz_to_mel, mel_to_Hz

__all__ = ["CausalLEAF"]

_EPS = 1e-6


class CausalLEAF(WaveformFrontEnd):
    r"""Learned filters, learned pooling and learned gain control.

    Every band convolves the waveform with a Gabor filter, a complex tone of frequency η in a Gaussian of width σ,

    .. math:: g[n] = \frac{1}{\sqrt{2\pi}\,\sigma} e^{-n^2 / 2\sigma^2} e^{i \eta n}

    takes the modulus :math:`\sqrt{\mathrm{re}^2 + \mathrm{im}^2 + 10^{-9}}`, averages it over the `pool_ms` before the
    end of the bin, with weights that fall off into the past as one half of a Gaussian, and passes it through
    :func:`~deepSTRF.models.wav2spec.pcen.pcen` with constants of its own. The Gabor filters are centred, so the output
    lags by half of `kernel_ms`. (In the original, filters and pooling look ahead; it squares the modulus.)

    Parameters
    ----------
    n_filters : int
        Number of bands F.
    f_min, f_max : float
        The range of the filters in Hz before learning: centres are evenly spaced in mel within it, as those of a mel
        filterbank, and one ERB wide. `f_max` is at most half the sampling rate, and is lowered to it.
    kernel_ms : float
        Length of the Gabor filters.
    pool_ms : float, optional
        Length of the pooling; 4 `hop_ms` by default, and at least `hop_ms`.
    learn_filters, learn_pooling, learn_pcen : bool
        What is learned; the rest keeps its first values.
    audio_fs, hop_ms
        See :class:`~deepSTRF.models.wav2spec.base.WaveformFrontEnd`.

    Attributes
    ----------
    center_freq_, bandwidth_ : Parameter or buffer
        η in radians per sample, and σ in samples before a softplus, ``(F,)``. They act within 0.01 … π and from 1 on.
    pool_width_ : Parameter or buffer
        Width of the pooling as a fraction of `pool_ms`, ``(F,)``; acts from half a sample on.
    alpha_, delta_, root_, rate_ : Parameter or buffer
        α, δ, r (before a softplus) and s (before a sigmoid) of the gain control, ``(F,)``; α and r act up to 1.

    References
    ----------
    Zeghidour, Teboul, de Chaumont Quitry & Tagliasacchi (2021), LEAF: A learnable frontend for audio classification,
    https://doi.org/10.48550/arXiv.2101.08596

    Examples
    --------
    >>> [name for name, _ in CausalLEAF(audio_fs=48000, learn_pcen=False).named_parameters()]
    ['center_freq_', 'bandwidth_', 'pool_width_']
    """

    center_freq_: Tensor
    bandwidth_: Tensor
    pool_width_: Tensor
    alpha_: Tensor
    delta_: Tensor
    root_: Tensor
    rate_: Tensor

    def __init__(
        self,
        audio_fs: float,
        n_filters: int = 34,
        hop_ms: float = 5.0,
        f_min: float = 60.0,
        f_max: float | None = 22627.0,
        kernel_ms: float = 15.0,
        pool_ms: float | None = None,
        learn_filters: bool = True,
        learn_pooling: bool = True,
        learn_pcen: bool = True,
    ) -> None:
        super().__init__(audio_fs, hop_ms, n_filters)
        self.n_taps = self._samples("kernel_ms", kernel_ms)
        self.pool = 4 * self.hop if pool_ms is None else self._window_samples("pool_ms", pool_ms)
        low, high = frequency_range(f_min, f_max, audio_fs)
        mels = torch.linspace(Hz_to_mel(low), Hz_to_mel(high), self.out_channels + 2, dtype=torch.float64)[1:-1]
        centres = mel_to_Hz(mels)
        radians = 2 * math.pi / float(audio_fs)
        self._add("center_freq_", centres * radians, learn_filters)
        self._add("bandwidth_", _inverse_softplus(1 / (ERB_bandwidth(centres) * radians)), learn_filters)
        every_band = torch.ones_like(centres)
        self._add("pool_width_", every_band / 4, learn_pooling)
        for name, value in {"alpha_": 0.96, "delta_": 2.0, "root_": 0.5}.items():
            self._add(name, _inverse_softplus(value * every_band), learn_pcen)
        self._add("rate_", torch.logit(0.04 * every_band), learn_pcen)

    def _add(self, name: str, values: Tensor, learned: bool) -> None:
        if learned:
            self.register_parameter(name, nn.Parameter(values.to(torch.get_default_dtype())))
        else:
            self.register_buffer(name, values.to(torch.get_default_dtype()))

    @property
    def centres_hz(self) -> Float[Tensor, " F"]:
        """Centre frequencies of the bands in Hz, as they are learned so far."""
        return self._centres().detach() * float(self.audio_fs) / (2 * math.pi)

    def _centres(self) -> Float[Tensor, " F"]:
        return self.center_freq_.clamp(0.01, math.pi)

    def kernels(self) -> tuple[Float[Tensor, "F taps"], Float[Tensor, "F taps"]]:
        """Real and imaginary part of the Gabor filters."""
        n = torch.arange(self.n_taps, dtype=self.center_freq_.dtype, device=self.center_freq_.device)
        n = n - (self.n_taps - 1) / 2
        width = functional.softplus(self.bandwidth_).clamp(min=1.0)[:, None]
        envelope = torch.exp(-0.5 * (n / width).square()) / (math.sqrt(2 * math.pi) * width)
        phase = self._centres()[:, None] * n
        return envelope * phase.cos(), envelope * phase.sin()

    def pooling(self) -> Float[Tensor, "F pool"]:
        """Weights of the average over the recent past, the present sample last; their sum is 1."""
        lag = torch.arange(self.pool - 1, -1, -1, dtype=self.pool_width_.dtype, device=self.pool_width_.device)
        width = (self.pool_width_ * self.pool).clamp(min=0.5)[:, None]
        return torch.softmax(-0.5 * (lag / width).square(), -1)

    def _frames(self, waveform: Float[Tensor, "B 1 samples"], state: State) -> tuple[Float[Tensor, "B F t"], State]:
        samples, moduli, level = (None,) * 3 if state is None else state
        longer, samples = with_past(waveform, samples, self.n_taps - 1)
        real, imaginary = functional.conv1d(longer, torch.cat(self.kernels()).unsqueeze(1)).chunk(2, 1)
        modulus = (real.square() + imaginary.square() + 1e-9).sqrt()
        longer, moduli = with_past(modulus, moduli, self.pool - self.hop)
        pooled = functional.conv1d(longer, self.pooling().unsqueeze(1), stride=self.hop, groups=self.out_channels)
        alpha, delta, root = (functional.softplus(raw)[:, None] for raw in (self.alpha_, self.delta_, self.root_))
        # Beyond 1, α divides by more than the level and r expands: the frames would soon be infinite.
        alpha, root = alpha.clamp(max=1.0), root.clamp(max=1.0)
        frames, level = pcen(pooled, self.rate_.sigmoid(), alpha, delta, root, _EPS, level)
        return frames, (samples, moduli, level)


def _inverse_softplus(y: Tensor) -> Tensor:
    return y + torch.log(-torch.expm1(-y))
