"""What the front ends share: checks of waveforms and settings, and compressive nonlinearities."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_integer, check_number, check_positive
from deepSTRF.devices import autocasts
from deepSTRF.models.bin_by_bin import State
from deepSTRF.models.saving.rebuildable import Rebuildable

__all__ = ["WaveformFrontEnd", "check_grid", "compressed", "exact_hop", "frequency_range", "nth_root"]


class WaveformFrontEnd(Rebuildable, ABC):
    """Base of the front ends: a waveform ``(B, 1, T_audio)`` becomes a spectrogram ``(B, 1, F, T_audio / hop)``.

    Causal to the sample: frame t depends on the samples before ``(t + 1) * hop`` only, and silence precedes the sound.
    A subclass computes the next frames, given what is left of the samples before, in ``_frames``.

    Parameters
    ----------
    audio_fs : float
        Sampling rate in Hz.
    hop_ms : float
        Length of a bin in ms, which must be a whole number of samples: otherwise stimulus and response drift apart.
    out_channels : int
        Number of bands F.

    Attributes
    ----------
    out_channels : int
        Number of bands F.
    hop : int
        Samples per bin.
    audio_fs : float
        Sampling rate in Hz.

    Raises
    ------
    ValueError
        If a setting is out of range; the message names it.
    TypeError
        If a setting has the wrong type.
    """

    _centres_hz: Tensor  # of the bands, where a subclass does not learn them

    def __init__(self, audio_fs: float, hop_ms: float, out_channels: int) -> None:
        super().__init__()
        check_positive("audio_fs", audio_fs)
        self.audio_fs = audio_fs
        self.hop = exact_hop(audio_fs, hop_ms)
        self.out_channels = check_integer("the number of bands", out_channels)

    @property
    def centres_hz(self) -> Float[Tensor, " F"]:
        """Centre frequencies of the bands in Hz."""
        return self._centres_hz.float()

    @abstractmethod
    def _frames(self, waveform: Float[Tensor, "B 1 samples"], state: State) -> tuple[Float[Tensor, "B F t"], State]:
        """Compute the frames of the next samples, a multiple of ``hop``."""

    def forward(self, waveform: Float[Tensor, "B 1 samples"]) -> Float[Tensor, "B 1 F T"]:
        """Compute the spectrogram.

        Parameters
        ----------
        waveform : Tensor
            ``(B, 1, T_audio)``, T_audio a multiple of ``hop``.

        Returns
        -------
        Tensor
            ``(B, 1, F, T_audio / hop)``.

        Raises
        ------
        ValueError
            If the waveform has another shape, or is on another device than the front end.
        TypeError
            If it is no tensor, or of another dtype.
        """
        return self.step(waveform)[0]

    def step(
        self, waveform: Float[Tensor, "B 1 samples"], state: State = None
    ) -> tuple[Float[Tensor, "B 1 F t"], State]:
        """Compute the frames of the next samples, given what is left of the samples before.

        Parameters
        ----------
        waveform : Tensor
            The next samples ``(B, 1, t * hop)``.
        state : State
            What the last call returned; None at the onset.

        Raises
        ------
        ValueError, TypeError
            As for ``forward``.
        """
        self._check_waveform(waveform)
        frames, state = self._frames(waveform, state)
        return frames.unsqueeze(1), state

    def extra_repr(self) -> str:
        """Name the settings."""
        return ", ".join(f"{name}={value!r}" for name, value in self._init_kwargs.items())

    def _samples(self, name: str, milliseconds: float) -> int:
        """Round a duration to samples, at least one."""
        samples = round(float(self.audio_fs) * check_positive(name, milliseconds) / 1000)
        if samples < 1:
            raise ValueError(f"{name}={milliseconds} is less than one sample at audio_fs={self.audio_fs}")
        return samples

    def _window_samples(self, name: str, milliseconds: float) -> int:
        """Round the length of a window to samples, at least those of a bin."""
        window = self._samples(name, milliseconds)
        if window < self.hop:
            hop_ms = 1000 * self.hop / float(self.audio_fs)
            raise ValueError(
                f"{name} must be at least hop_ms, or samples are never seen; got {milliseconds} and {hop_ms:g}"
            )
        return window

    def _check_waveform(self, waveform: object) -> None:
        if not isinstance(waveform, Tensor):
            raise TypeError(
                f"expected a tensor of waveforms (B, 1, T_audio), got {type(waveform).__name__}: convert it with "
                "torch.as_tensor"
            )
        shape = tuple(waveform.shape)
        if len(shape) != 3 or shape[1] != 1:
            raise ValueError(f"expected mono waveforms of shape (B, 1, T_audio), got {shape}")
        if shape[2] == 0 or shape[2] % self.hop:
            raise ValueError(
                f"the number of samples must be a positive multiple of hop = {self.hop}, got {shape[2]}: pad the "
                "waveform with zeros on the right, or cut it"
            )
        own = next((t for t in (*self.parameters(), *self.buffers()) if t.is_floating_point()), waveform)
        if waveform.dtype != own.dtype and not autocasts(waveform.device):
            raise TypeError(
                f"the waveforms are {waveform.dtype}, but the front end computes in {own.dtype}: convert one, as "
                f"waveforms.to({own.dtype})"
            )
        if waveform.device != own.device:
            raise ValueError(
                f"the waveforms are on {waveform.device}, but the front end is on {own.device}: move one, as "
                f"waveforms.to({str(own.device)!r})"
            )


def exact_hop(audio_fs: float, hop_ms: float) -> int:
    """Return the number of samples in a bin.

    Raises
    ------
    ValueError
        If it is not a whole number; the message says which sampling rates go.

    Examples
    --------
    >>> exact_hop(48000, 5.0)
    240
    >>> exact_hop(44100, 5.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: audio_fs=44100 Hz puts 220.5 samples into a bin of 5.0 ms, and rounding ...
    """
    exact = float(audio_fs) * float(check_positive("hop_ms", hop_ms)) / 1000
    hop = round(exact)
    if exact < 1 - 1e-6:
        raise ValueError(f"hop_ms={hop_ms} is less than one sample at audio_fs={audio_fs}")
    if abs(exact - hop) > 1e-6 * exact:
        unit = 1000 / float(hop_ms)
        lower, higher = int(exact) * unit, (int(exact) + 1) * unit
        raise ValueError(
            f"audio_fs={audio_fs} Hz puts {exact:.6g} samples into a bin of {hop_ms} ms, and rounding would let "
            f"stimulus and response drift apart: resample to {lower:g} or {higher:g} Hz, or any other multiple of "
            f"{unit:g} Hz, or choose another bin"
        )
    return hop


def check_grid(front_end: object, audio_fs: float | None, dt_ms: float | None) -> None:
    """Raise ValueError if waveforms have another sampling rate, or responses other bins, than a front end.

    What is not known is not checked: a front end without ``audio_fs`` or ``hop``, a rate or bin of None.

    Examples
    --------
    >>> from deepSTRF.models.wav2spec import make_wav2spec
    >>> check_grid(make_wav2spec("mel", 48000, 5.0), 44000, 5.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: the front end (CausalMelSpectrogram) is for sounds at 48000 Hz in bins of 5 ms, and the data have ...
    """
    own_fs, hop = getattr(front_end, "audio_fs", None), getattr(front_end, "hop", None)
    if own_fs is None or hop is None:
        return
    own_dt = 1000 * hop / float(own_fs)
    fs, dt = (float(own if given is None else given) for given, own in ((audio_fs, own_fs), (dt_ms, own_dt)))
    if math.isclose(fs, own_fs, rel_tol=1e-6) and math.isclose(dt, own_dt, rel_tol=1e-6):
        return
    raise ValueError(
        f"the front end ({type(front_end).__name__}) is for sounds at {own_fs:g} Hz in bins of {own_dt:g} ms, and the "
        f"data have {fs:g} Hz in bins of {dt:g} ms: build the front end with audio_fs={fs:g} and these bins, or load "
        f"the data with audio_fs={own_fs:g} and dt_ms={own_dt:g}"
    )


def frequency_range(f_min: float, f_max: float | None, audio_fs: float) -> tuple[float, float]:
    """Return the lowest and the highest frequency in Hz, the latter at most half the sampling rate (None: that)."""
    nyquist = float(audio_fs) / 2
    high = nyquist if f_max is None else min(check_positive("f_max", f_max), nyquist)
    if check_number("f_min", f_min) < 0:
        raise ValueError(f"f_min must be a frequency in Hz, zero or more, got {f_min}")
    if f_min >= high:
        raise ValueError(
            f"f_min must be below f_max, and below half the sampling rate; got f_min={f_min}, f_max={f_max}, "
            f"audio_fs={audio_fs}"
        )
    return float(f_min), high


def compressed(bands: Tensor, compression: str, floor: float) -> Tensor:
    """Compress bands without negative values: 'log' (of `floor` at least), 'log1p', 'cubic' root, or 'none'."""
    if compression == "log":
        return bands.clamp(min=floor).log()
    if compression == "log1p":
        return bands.log1p()
    return nth_root(bands, 3) if compression == "cubic" else bands


def nth_root(x: Tensor, degree: int) -> Tensor:
    """Root of a tensor without negative values, with a slope of 0 at 0, where that of the root is infinite."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0).pow(1 / degree), 0.0)
