"""SincNet: band-pass filters whose cutoffs are learned."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from deepSTRF.checks import check_choice, check_integer
from deepSTRF.models.bin_by_bin import State, with_past
from deepSTRF.models.wav2spec.base import WaveformFrontEnd, frequency_range
from deepSTRF.scales import Hz_to_mel, mel_to_Hz

__all__ = ["SincNet"]


class SincNet(WaveformFrontEnd):
    r"""Band-pass filters of which only the two cutoffs are learned.

    .. math:: g[n] = w[n] \left(2 f_2\, \mathrm{sinc}(2 f_2 n) - 2 f_1\, \mathrm{sinc}(2 f_1 n)\right)

    with a Hamming window w of `kernel_size` taps and f in cycles per sample: the difference of two ideal low-passes.
    The kernel is centred, so the output lags by half of it.

    With ``envelope=False`` a band is the filtered sound at the end of each bin, signed, which depends on its phase;
    with ``envelope=True`` it is the mean of the filtered sound's magnitude over a window that ends with the bin.

    Parameters
    ----------
    n_filters : int
        Number of bands F.
    kernel_size : int
        Taps of the filters.
    f_min, f_max : float
        Lower cutoff of the first and upper cutoff of the last filter in Hz, before learning; `f_max` is half the
        sampling rate by default, and at most that.
    init : {'mel', 'linear'}
        Spacing of the cutoffs before learning.
    activation : {'logabs', 'symlog', 'none'}
        ``log(1 + |x|)``, ``sign(x) log(1 + |x|)``, or nothing.
    envelope : bool
        Whether to take the envelope.
    env_window_ms : float, optional
        Window of the envelope; 2 `hop_ms` by default, and at least `hop_ms`.
    audio_fs, hop_ms
        See :class:`~deepSTRF.models.wav2spec.base.WaveformFrontEnd`.

    Attributes
    ----------
    low_hz_, band_hz_ : Parameter
        Lower cutoff and width in Hz, ``(F, 1)``; see :meth:`cutoffs_hz`. Adam moves a parameter by about its learning
        rate in a step: give these a parameter group with a rate of some Hz, or they stay where they are.

    References
    ----------
    Ravanelli & Bengio (2018), Speaker recognition from raw waveform with SincNet,
    https://doi.org/10.1109/SLT.2018.8639585

    Examples
    --------
    >>> import torch
    >>> front_end = SincNet(audio_fs=48000, envelope=True)
    >>> front_end(torch.randn(2, 1, 48000)).shape
    torch.Size([2, 1, 34, 200])
    """

    def __init__(
        self,
        audio_fs: float,
        n_filters: int = 34,
        kernel_size: int = 251,
        hop_ms: float = 5.0,
        f_min: float = 300.0,
        f_max: float | None = None,
        init: str = "mel",
        activation: str = "logabs",
        envelope: bool = False,
        env_window_ms: float | None = None,
    ) -> None:
        super().__init__(audio_fs, hop_ms, n_filters)
        self.kernel_size = check_integer("kernel_size", kernel_size)
        check_choice("init", init, ("mel", "linear"))
        self.activation = check_choice("activation", activation, ("logabs", "symlog", "none"))
        self.envelope = envelope
        self.env_window = (
            2 * self.hop if env_window_ms is None else self._window_samples("env_window_ms", env_window_ms)
        )
        low, high = frequency_range(f_min, f_max, audio_fs)
        if init == "mel":
            low, high = Hz_to_mel(low), Hz_to_mel(high)
        edges = torch.linspace(low, high, self.out_channels + 1, dtype=torch.float64)
        edges = (mel_to_Hz(edges) if init == "mel" else edges).unsqueeze(1).to(torch.get_default_dtype())
        self.low_hz_ = nn.Parameter(edges[:-1].clone())
        self.band_hz_ = nn.Parameter(edges.diff(dim=0))

    def cutoffs_hz(self) -> tuple[Float[Tensor, "F 1"], Float[Tensor, "F 1"]]:
        """Lower and upper cutoff of every filter in Hz: ``|low_hz_|`` and that plus ``|band_hz_|``, within 1 … fs/2."""
        nyquist = float(self.audio_fs) / 2
        lower = self.low_hz_.abs().clamp(1.0, nyquist - 1.0)
        return lower, (lower + self.band_hz_.abs()).clamp(max=nyquist)

    @property
    def centres_hz(self) -> Float[Tensor, " F"]:
        """Centre frequencies of the bands in Hz, as they are learned so far."""
        lower, upper = self.cutoffs_hz()
        return ((lower + upper) / 2).detach().squeeze(1)

    def kernels(self) -> Float[Tensor, "F taps"]:
        """Impulse responses; they are symmetric."""
        n = torch.arange(self.kernel_size, dtype=self.low_hz_.dtype, device=self.low_hz_.device)
        n = n - (self.kernel_size - 1) / 2
        # Twice the cutoffs in cycles per sample
        lower, upper = (2 * cutoff / float(self.audio_fs) for cutoff in self.cutoffs_hz())
        # Hamming's; torch.hamming_window cannot be exported to ONNX.
        window = 0.54 + 0.46 * torch.cos(2 * math.pi / max(1, self.kernel_size - 1) * n)
        return window * (upper * torch.sinc(upper * n) - lower * torch.sinc(lower * n))

    def _frames(self, waveform: Float[Tensor, "B 1 samples"], state: State) -> tuple[Float[Tensor, "B F t"], State]:
        samples, magnitudes = (None,) * 2 if state is None else state
        kernels = self.kernels().unsqueeze(1)
        if not self.envelope:
            n_past = self.kernel_size - self.hop
            longer, samples = with_past(waveform, samples, max(0, n_past))
            # The kernel meets the last samples of a bin, also where it is shorter than the bin.
            bands = functional.conv1d(longer[..., max(0, -n_past) :], kernels, stride=self.hop)
            return self._activated(bands), (samples, ())
        longer, samples = with_past(waveform, samples, self.kernel_size - 1)
        longer, magnitudes = with_past(functional.conv1d(longer, kernels).abs(), magnitudes, self.env_window - self.hop)
        return self._activated(functional.avg_pool1d(longer, self.env_window, self.hop)), (samples, magnitudes)

    def _activated(self, bands: Tensor) -> Tensor:
        if self.activation == "none":
            return bands
        if self.activation == "logabs":
            return bands.abs().log1p()
        # As sign(x) log(1 + |x|), but with its slope of 1 at 0, where sign and magnitude have none.
        return torch.where(bands >= 0, bands.clamp(min=0).log1p(), -(-bands).clamp(min=0).log1p())
