"""Reading sound files, and resampling them."""

from __future__ import annotations

import io
import math
from fractions import Fraction
from functools import lru_cache
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_integer, check_positive
from deepSTRF.files import expand_path

_LARGEST_RATIO = 1000  # of two sampling rates: more is a mistake of units

_BLOCK = 2**20  # samples, with those around them, that are resampled at a time
_FEW = 4  # times as fast as the result, up to which sounds are resampled without scipy.signal

__all__ = ["load_resampled_mono_wav", "load_wav", "rate_with_whole_bins", "resample", "resample_causally"]

# Sizes from here on stand for an unknown length: no WAV file holds two gigabytes of samples.
_STREAMED = 0x7FFFFF00


class _Bytes(io.BytesIO):
    """The bytes of a file; what a damaged header says lies before their start is at their start.

    libsndfile calls this back and can't hear an exception: Python would print its traceback and go on.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: len(self.getbuffer())}[whence]
        return super().seek(max(start + offset, 0))


def load_wav(path: str | PathLike[str] | BinaryIO) -> tuple[Float[Tensor, "C T"], int]:
    """Read a sound file.

    Parameters
    ----------
    path : str, path or binary file
        A WAV file, or any other format that libsndfile reads; the file name needs no extension.

    Returns
    -------
    waveform : Tensor, shape (C, T)
        float32, one row per channel. Integer formats are scaled to [-1, 1), float formats are kept as they are.
    fs : int
        Sampling rate in Hz, as the header of the file says.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no sound file, is cut off before its samples, or holds samples that are not finite.
    TypeError
        If `path` is neither a path nor a file.

    Examples
    --------
    >>> import io, numpy as np, soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros((480, 2)), samplerate=48000, format="WAV")
    >>> waveform, fs = load_wav(io.BytesIO(file.getvalue()))
    >>> waveform.shape, fs
    (torch.Size([2, 480]), 48000)
    """
    import soundfile

    if not isinstance(path, str | PathLike) and not hasattr(path, "read"):
        raise TypeError(f"expected the path of a sound file or a binary file, got {type(path).__name__}: {path!r}")
    if isinstance(path, str | PathLike):
        with expand_path(path).open("rb") as file:  # a missing file is a FileNotFoundError, not a libsndfile message
            return load_wav(file)
    name = getattr(path, "name", "the sound file")
    try:
        content = _check_complete(path.read(), name)
        samples, fs = soundfile.read(_Bytes(content), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, TypeError, ValueError, MemoryError) as error:
        reason = getattr(error, "error_string", error)  # without the memory address of what was read
        raise ValueError(f"{name} can't be read as a sound file (expected WAV, FLAC or the like): {reason}") from error
    if samples.shape[0] == 0:
        raise ValueError(f"{name} holds no samples; expected at least one")
    if fs < 1 or not np.isfinite(samples).all():
        raise ValueError(f"{name} is damaged: it holds NaN or infinite samples, or a sampling rate of {fs} Hz")
    return torch.from_numpy(np.ascontiguousarray(samples.T)), int(fs)


def _check_complete(content: bytes, name: str) -> bytes:
    """Return a file whose WAV header, if it has one, promises no more samples than there are.

    Programs that write to a pipe don't know the length and leave it 0, or the largest there is: theirs is filled in.

    Raises
    ------
    ValueError
        If the file is cut off: libsndfile would read what is left without a word.
    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return content
    at = 12
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if content[at : at + 4] == b"data":
            there = len(content) - at - 8
            if there == 0:
                return content  # the reader says so
            if size == 0 or size >= _STREAMED:
                return content[: at + 4] + there.to_bytes(4, "little") + content[at + 8 :]
            if size > there:
                raise ValueError(
                    f"{name} is cut off: its header promises {size} bytes of samples, and there are {there}; copy or "
                    "download it again"
                )
            return content
        at += 8 + size + size % 2
    return content


def resample(waveform: Float[Tensor, "C T"], fs: float, target_fs: float) -> Float[Tensor, "C T2"]:
    """Resample a waveform with a zero-phase polyphase filter.

    The ratio of the two rates is exact as long as it is a fraction of integers below 100 000, so long sounds don't
    drift. Being of zero phase, the filter looks 10 samples (of the lower of the two rates) ahead.

    Parameters
    ----------
    waveform : Tensor, shape (C, T)
        The sound, time last.
    fs, target_fs : float
        Sampling rates in Hz; `fs` need not be an integer (48 828.125 Hz is common in physiology).

    Returns
    -------
    Tensor, shape (C, T2)
        float32, with T2 = ceil(T * target_fs / fs). The same tensor where the rates are equal.

    Raises
    ------
    TypeError
        If a rate is not a number.
    ValueError
        If a rate is not positive and finite, the rates differ more than 1000-fold, or the waveform is not (C, T).

    See Also
    --------
    scipy.signal.resample_poly : has the same filter.

    Examples
    --------
    >>> resample(torch.zeros(1, 3125), 48828.125, 48000).shape
    torch.Size([1, 3072])
    """
    check_positive("fs", fs)
    check_positive("target_fs", target_fs)
    if not isinstance(waveform, Tensor) or waveform.ndim != 2:
        kind = tuple(waveform.shape) if isinstance(waveform, Tensor) else type(waveform).__name__
        raise ValueError(f"expected a waveform as a tensor (C, T), got {kind}")
    ratio = (Fraction(float(target_fs)) / Fraction(float(fs))).limit_denominator(100_000)
    if ratio == 1:
        return waveform
    if not 1 / _LARGEST_RATIO <= ratio <= _LARGEST_RATIO:
        raise ValueError(f"can't resample from fs={fs} to target_fs={target_fs} Hz: more than {_LARGEST_RATIO}-fold")
    up, down = ratio.numerator, ratio.denominator
    # Blocks of whole periods of the ratio, with the samples around them that the filter sees: an hour in float64 would
    # take gigabytes, and every block gives the samples that the whole would.
    period = max(1, _BLOCK // (down + 20 * max(up, down) // up)) * down
    around = down * -(-(20 * max(up, down) // up + 2) // down)
    samples = waveform.numpy()
    length = -(-samples.shape[-1] * up // down)
    resampled = np.empty((len(samples), length), np.float32)
    for start in range(0, samples.shape[-1], period):
        first = max(start - around, 0)
        part = samples[:, first : start + period + around].astype(np.float64)
        block = (_polyphase if max(up, down) <= _FEW * up else _decimated)(part, up, down)
        wanted = resampled[:, start * up // down : (start + period) * up // down]
        skipped = (start - first) * up // down
        wanted[:] = block[:, skipped : skipped + wanted.shape[-1]]
    return torch.from_numpy(resampled)


def _polyphase(samples: np.ndarray, up: int, down: int) -> np.ndarray:
    """What ``scipy.signal.resample_poly`` gives, whose import takes longer than the sounds of a recording.

    Output m is the sum over inputs k of ``filter[half + m · down - k · up] · samples[k]``. After `up` outputs, or
    `down` inputs, the same weights come again: all periods are summed at once, one neighbour of the outputs after the
    other, of which there are twenty as long as the result is not much slower than `samples`.
    """
    low_pass, half = up * _low_pass(max(up, down)), 10 * max(up, down)
    n_outputs, reach = -(-samples.shape[-1] * up // down), half // up
    n_periods = -(-n_outputs // up)
    ends = (reach, n_periods * down - samples.shape[-1] + reach + 1)
    padded = np.pad(samples, ((0, 0), ends)) if ends[1] >= 0 else np.pad(samples[:, : ends[1]], ((0, 0), (reach, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, down + 2 * reach + 1, axis=-1)[:, ::down]
    periods = np.ascontiguousarray(windows)
    nearest, phase = np.divmod(np.arange(up) * down, up)
    resampled = np.zeros((len(samples), n_periods, up))
    seen = np.empty_like(resampled)  # made once: new memory takes longer than the arithmetic
    for neighbour in range(-reach, reach + 2):
        at = half + phase - neighbour * up
        np.take(periods, nearest + (neighbour + reach), axis=-1, out=seen, mode="clip")
        seen *= np.where((at >= 0) & (at <= 2 * half), low_pass[at.clip(0, 2 * half)], 0.0)
        resampled += seen
    return resampled.reshape(len(samples), -1)[:, :n_outputs]


def _decimated(samples: np.ndarray, up: int, down: int) -> Any:
    from scipy.signal import resample_poly

    return resample_poly(samples, up, down, axis=-1, window=_low_pass(max(up, down)))


@lru_cache(maxsize=8)
def _low_pass(rate: int) -> np.ndarray:
    """Windowed sinc of :func:`scipy.signal.resample_poly`, whose weights sum to one."""
    lags = np.arange(-10 * rate, 10 * rate + 1)
    weights = np.sinc(lags / rate) * np.kaiser(len(lags), 5.0)
    return weights / weights.sum()


def resample_causally(waveform: Float[Tensor, "C T"], fs: float, target_fs: float) -> Float[Tensor, "C T2"]:
    """Resample a waveform as :func:`resample` does, and delay it by what the filter looks ahead.

    The delay is 10 samples of the lower of the two rates, 0.2 ms at 48 kHz; there is none where the rates are equal.
    Arguments and errors are those of :func:`resample`.

    Examples
    --------
    >>> click = torch.nn.functional.pad(torch.ones(1, 1), (500, 500))
    >>> int(resample_causally(click, 44100, 44200).abs().argmax())
    512
    """
    resampled = resample(waveform, fs, target_fs)
    if resampled is waveform:
        return waveform
    delay = int(np.ceil(10 * max(target_fs / fs, 1.0)))
    return torch.nn.functional.pad(resampled, (delay, 0))[:, : resampled.shape[-1]]


def rate_with_whole_bins(fs: float, dt_ms: float, *, whole: bool = False) -> float:
    """The lowest rate of `fs` or more at which a bin is a whole number of samples, and so is a second with `whole`.

    Raises
    ------
    ValueError
        If a bin of `dt_ms` is shorter than a sample at `fs`.

    Examples
    --------
    >>> rate_with_whole_bins(44100, 5), rate_with_whole_bins(48000, 5)
    (44200.0, 48000.0)
    >>> rate_with_whole_bins(44100, 3), rate_with_whole_bins(44100, 3, whole=True)
    (44333.333333333336, 45000.0)
    """
    exact = Fraction(float(fs)) * Fraction(float(dt_ms)) / 1000
    hop = math.ceil(exact * (1 - Fraction(1, 10**9)))  # a rate or bin that was rounded to a float is meant exactly
    if exact < 1:
        raise ValueError(f"a bin of dt_ms={dt_ms:g} is shorter than a sample at {fs:g} Hz")
    if whole:
        per_second = 1000 / Fraction(float(dt_ms)).limit_denominator(10_000)
        return float(math.ceil(Fraction(hop, per_second.denominator)) * per_second.numerator)
    return float(fs) if abs(exact - hop) < 1e-9 * exact else float(hop * 1000 / Fraction(float(dt_ms)))


def load_resampled_mono_wav(
    path: str | PathLike[str] | BinaryIO, target_fs: float, target_length: int | None = None
) -> Float[Tensor, "1 T"]:
    """Read a sound file as one channel at a given sampling rate.

    Parameters
    ----------
    path : str, path or binary file
        A WAV file, or any other format that libsndfile reads.
    target_fs : float
        Sampling rate of the result in Hz.
    target_length : int, optional
        Number of samples of the result: a longer sound is cropped, a shorter one zero-padded, both at the end.

    Returns
    -------
    Tensor, shape (1, T)
        The mean over channels, float32.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no sound file, or if a rate or length is not positive.

    Examples
    --------
    >>> import io, numpy as np, soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.ones((441, 2)), samplerate=44100, format="WAV", subtype="FLOAT")
    >>> load_resampled_mono_wav(io.BytesIO(file.getvalue()), 48000, target_length=500).shape
    torch.Size([1, 500])
    """
    if target_length is not None:
        check_integer("target_length", target_length)
    waveform, fs = load_wav(path)
    mono = resample(waveform.mean(0, keepdim=True), fs, target_fs)
    if target_length is None:
        return mono
    return torch.nn.functional.pad(mono, (0, target_length - mono.shape[-1]))
