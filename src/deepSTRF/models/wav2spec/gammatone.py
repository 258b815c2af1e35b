"""Gammatone filters as finite impulse responses: rectified, pooled, compressed."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from deepSTRF.checks import check_choice, check_integer, check_positive
from deepSTRF.models.bin_by_bin import State, with_past
from deepSTRF.models.wav2spec.base import WaveformFrontEnd, compressed, frequency_range
from deepSTRF.models.wav2spec.pcen import pcen
from deepSTRF.scales import ERB_to_Hz, Hz_to_ERB, gammatone_kernels

__all__ = ["CausalGammatone"]


class CausalGammatone(WaveformFrontEnd):
    r"""Gammatone filterbank, the linear model of the basilar membrane, and what inner hair cells make of it.

    Every band convolves the waveform with

    .. math:: g(t) \propto t^{n-1} e^{-2\pi b t} \cos(2\pi f_c t), \qquad b = \mathrm{b\_factor} \cdot \mathrm{ERB}(f_c)

    whose envelope peaks (n − 1) / (2πb) after an impulse: 3.5 ms at 1 kHz, 0.4 ms at 10 kHz. Centres f_c are evenly
    spaced on the ERB-rate scale, and the gain at the best frequency is 1. The filtered sound is rectified, averaged
    over a window that ends with the bin, and compressed.

    Parameters
    ----------
    n_filters : int
        Number of bands F.
    f_min, f_max : float
        Centres of the first and the last band in Hz; `f_max` is at most half the sampling rate, and is lowered to it.
    order : int
        n.
    b_factor : float
        Bandwidth parameter b in ERB.
    kernel_ms : float
        Where the impulse responses are cut off. At 500 Hz the envelope has fallen to 3 % of its peak after 20 ms; lower
        bands ring longer.
    rectify : {'halfwave', 'full'}
        ``max(x, 0)`` or ``|x|``.
    env_window_ms : float, optional
        Window of the average; 2 `hop_ms` by default, and at least `hop_ms`.
    compression : {'log', 'cuberoot', 'pcen', 'none'}
        ``log(max(x, log_floor))``, cube root, per-channel energy normalisation, or nothing.
    log_floor : float
        Smallest value that the logarithm sees.
    pcen_s, pcen_alpha, pcen_delta, pcen_r, pcen_eps : float
        Of :func:`deepSTRF.models.wav2spec.pcen.pcen`.
    audio_fs, hop_ms
        See :class:`~deepSTRF.models.wav2spec.base.WaveformFrontEnd`.

    References
    ----------
    Patterson, Nimmo-Smith, Holdsworth & Rice (1987), An efficient auditory filterbank based on the gammatone function,
    APU report 2341

    Glasberg & Moore (1990), Derivation of auditory filter shapes from notched-noise data,
    https://doi.org/10.1016/0378-5955(90)90170-T

    Examples
    --------
    >>> CausalGammatone(audio_fs=48000, n_filters=4, f_min=500, f_max=16000).centres_hz.round()
    tensor([  500.,  1822.,  5540., 16000.])
    """

    _kernels: Tensor
    _pcen_rate: Tensor

    def __init__(
        self,
        audio_fs: float,
        n_filters: int = 34,
        hop_ms: float = 5.0,
        f_min: float = 500.0,
        f_max: float | None = 22627.0,
        order: int = 4,
        b_factor: float = 1.019,
        kernel_ms: float = 20.0,
        rectify: str = "halfwave",
        env_window_ms: float | None = None,
        compression: str = "log",
        log_floor: float = 1e-4,
        pcen_s: float = 0.025,
        pcen_alpha: float = 0.98,
        pcen_delta: float = 2.0,
        pcen_r: float = 0.5,
        pcen_eps: float = 1e-6,
    ) -> None:
        super().__init__(audio_fs, hop_ms, n_filters)
        self.rectify = check_choice("rectify", rectify, ("halfwave", "full"))
        self.compression = check_choice("compression", compression, ("log", "cuberoot", "pcen", "none"))
        self.log_floor = check_positive("log_floor", log_floor)
        self.env_window = (
            2 * self.hop if env_window_ms is None else self._window_samples("env_window_ms", env_window_ms)
        )
        settings = {"pcen_alpha": pcen_alpha, "pcen_delta": pcen_delta, "pcen_r": pcen_r, "pcen_eps": pcen_eps}
        self._pcen = [check_positive(name, value) for name, value in settings.items()]
        if check_positive("pcen_s", pcen_s) > 1:
            raise ValueError(f"pcen_s must be at most 1, got {pcen_s}")
        low, high = frequency_range(f_min, f_max, audio_fs)
        self._centres_hz = ERB_to_Hz(
            torch.linspace(Hz_to_ERB(low), Hz_to_ERB(high), self.out_channels, dtype=torch.float64)
        )
        kernels = gammatone_kernels(
            self._centres_hz,
            float(audio_fs),
            check_integer("order", order),
            check_positive("b_factor", b_factor),
            self._samples("kernel_ms", kernel_ms),
        )
        if not bool(kernels.isfinite().all()):  # the first tap is zero, and there is no other
            raise ValueError(f"kernel_ms={kernel_ms} is too short for a filter at audio_fs={audio_fs}")
        # Turned around, because conv1d is a correlation: its last tap meets the present sample.
        self.register_buffer("_kernels", kernels.flip(-1).unsqueeze(1).to(torch.get_default_dtype()).contiguous())
        self.register_buffer("_pcen_rate", torch.full((self.out_channels,), float(pcen_s)))

    def _frames(self, waveform: Float[Tensor, "B 1 samples"], state: State) -> tuple[Float[Tensor, "B F t"], State]:
        samples, rectified, level = (None,) * 3 if state is None else state
        longer, samples = with_past(waveform, samples, self._kernels.shape[-1] - 1)
        filtered = functional.conv1d(longer, self._kernels)
        filtered = filtered.relu() if self.rectify == "halfwave" else filtered.abs()
        longer, rectified = with_past(filtered, rectified, self.env_window - self.hop)
        bands = functional.avg_pool1d(longer, self.env_window, self.hop)
        if self.compression == "pcen":
            alpha, delta, root, eps = self._pcen
            bands, level = pcen(bands, self._pcen_rate, alpha, delta, root, eps, level)
            return bands, (samples, rectified, level)
        compression = "cubic" if self.compression == "cuberoot" else self.compression
        return compressed(bands, compression, self.log_floor), (samples, rectified, ())
