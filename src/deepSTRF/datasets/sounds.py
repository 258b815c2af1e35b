"""Sounds as people have them: files of any format, arrays of any shape and number type; each becomes one channel."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_positive, describe_type
from deepSTRF.datasets.sound_files import load_wav
from deepSTRF.files import expand_path

__all__ = ["SOUND_SUFFIXES", "Sound", "are_named", "read_sound", "read_sounds", "sound_items"]

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".aif", ".aiff", ".mp3")
"""Ends of the names of the files that are taken from a folder."""

_MOST_CHANNELS = 16
_LOWEST_RATE = 1000.0  # Hz; a smaller number is one of kHz
_HEADER_ROUNDS = 1e-3  # by how much the true rate may differ from that in a header


@dataclass(frozen=True)
class Sound:
    """One sound: its `name`, waveform (1, T), sampling rate `fs` in Hz, and of how many channels it is the mean."""

    name: str
    waveform: Float[Tensor, "1 T"]
    fs: float
    channels: int = 1


def sound_items(sounds: Any) -> list[tuple[str, Any]]:
    """List what was given for sounds, each with a name.

    Parameters
    ----------
    sounds : folder, path, array, list of them, or dict
        A folder stands for the sound files in it, sorted by name. The keys of a dict are the names; otherwise a file
        is called as its file name without extension, and an array ``sound 0``, ``sound 1``, ...

    Raises
    ------
    FileNotFoundError
        If a folder holds no sound file, or a path does not exist.
    TypeError
        If it is anything else.
    ValueError
        If there is nothing in it.
    """
    if isinstance(sounds, str | os.PathLike):
        path = expand_path(sounds, "sounds")
        if not path.exists():
            raise FileNotFoundError(f"there is no sound file or folder {path}")
        files = [path]
        if path.is_dir():  # without the ._x.wav that macOS puts beside x.wav
            files = sorted(f for f in path.iterdir() if f.suffix.lower() in SOUND_SUFFIXES and f.name[0] != ".")
        if not files:
            raise FileNotFoundError(f"the folder {path} holds no sound file ({', '.join(SOUND_SUFFIXES)})")
        return _named(files)
    if isinstance(sounds, Mapping):
        items = [(str(name), sound) for name, sound in sounds.items()]
    elif hasattr(sounds, "ndim") and not _is_list_of_sounds(sounds):
        items = [("sound 0", sounds)]
    elif isinstance(sounds, Sequence) or hasattr(sounds, "ndim"):
        if len(sounds) and all(isinstance(sound, int | float) for sound in sounds):
            raise TypeError(
                "sounds is a list of numbers; give an array (numpy.array(sound)) for one sound, or a list of arrays or "
                "files for several"
            )
        items = _named(list(sounds))
    else:
        raise TypeError(
            "sounds must be a list of sound files or arrays, a dict of them with their names, or a folder; got "
            f"{describe_type(sounds)}"
        )
    if not items:
        raise ValueError("sounds is empty; expected at least one file or array")
    return items


def are_named(sounds: Any) -> bool:
    """Whether sounds come with names: as files, a folder or a dict, not as arrays only.

    Examples
    --------
    >>> are_named("sounds/"), are_named({"rain": np.zeros(9)}), are_named([np.zeros(9)])
    (True, True, False)
    """
    if isinstance(sounds, Mapping | str | os.PathLike):
        return True
    return isinstance(sounds, Sequence) and any(isinstance(sound, str | os.PathLike) for sound in sounds)


def _is_list_of_sounds(sounds: Any) -> bool:
    """Whether an array is one of objects, or stacks sounds: (S, T) with more sounds than a sound has channels."""
    return str(getattr(sounds, "dtype", "")) == "object" or (
        sounds.ndim == 3 or (sounds.ndim == 2 and _MOST_CHANNELS < sounds.shape[0] < sounds.shape[1])
    )


def _named(sounds: list[Any]) -> list[tuple[str, Any]]:
    stems = [
        Path(sound).stem if isinstance(sound, str | os.PathLike) else f"sound {k}" for k, sound in enumerate(sounds)
    ]
    # Files of one name in several folders go by their paths.
    return [
        (str(sound) if stems.count(stem) > 1 and isinstance(sound, str | os.PathLike) else stem, sound)
        for stem, sound in zip(stems, sounds, strict=True)
    ]


def read_sounds(sounds: Any, rate: float | None = None) -> list[Sound]:
    """Read sounds, all as one channel; see :func:`sound_items` and :func:`read_sound`.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(16000, 2))
    >>> [(sound.name, tuple(sound.waveform.shape), sound.channels) for sound in read_sounds({"noise": noise}, 16000)]
    [('noise', (1, 16000), 2)]
    """
    return [read_sound(name, sound, rate) for name, sound in sound_items(sounds)]


def read_sound(name: str, sound: Any, rate: float | None = None) -> Sound:
    """Read a file or an array as one channel: the mean of the channels.

    Parameters
    ----------
    name : str
        What it is called, also in messages.
    sound : path or array
        An array is (T,), (C, T) or (T, C), with at most 16 channels, fewer than samples. Integers are scaled to
        [-1, 1), as those of files.
    rate : float, optional
        Sampling rate of an array in Hz. Files say their own; it can be given more precisely here (48828.125).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If the sound is neither a path nor an array of real numbers, or the rate no number.
    ValueError
        If the file can't be read, the array is empty, not finite or of another shape, or the rate is missing, in kHz or
        not that of the file.
    """
    if rate is not None and check_positive("rate", rate) < _LOWEST_RATE:
        raise ValueError(f"rate must be in Hz, got {rate}; was it given in kHz? {rate} kHz are {1000 * rate:g} Hz")
    if isinstance(sound, str | os.PathLike):
        path = expand_path(sound, f"sound {name!r}")
        if not path.is_file():
            raise FileNotFoundError(f"sound {name!r}: there is no file {path}")
        waveform, fs = load_wav(path)
        if rate is not None and abs(rate - fs) > _HEADER_ROUNDS * fs:
            raise ValueError(
                f"sound {name!r}: rate={rate} Hz, but the file says {fs} Hz; leave rate out, files know their own"
            )
        return Sound(name, _mean(waveform), float(rate or fs), len(waveform))
    if not hasattr(sound, "ndim"):
        raise TypeError(
            f"sound {name!r} must be the path of a sound file, or a NumPy array or tensor; got {describe_type(sound)}"
        )
    if rate is None:
        raise ValueError(f"sound {name!r} is an array, which needs its sampling rate: pass rate, in Hz")
    waveform = _channels(name, sound)
    return Sound(name, _mean(waveform), float(rate), len(waveform))


def _mean(waveform: Float[Tensor, "C T"]) -> Float[Tensor, "1 T"]:
    return waveform if len(waveform) == 1 else waveform.mean(0, keepdim=True)


def _channels(name: str, sound: Any) -> Float[Tensor, "C T"]:
    array = sound.detach().cpu().numpy() if isinstance(sound, Tensor) else np.asarray(sound)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"sound {name!r} must be an array of integers or floats, got dtype {array.dtype}")
    if array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"sound {name!r} must be a waveform of shape (T,), (C, T) or (T, C), got {array.shape}; give several "
            "sounds as a list"
        )
    if array.ndim == 2:
        channels, samples = sorted(array.shape)
        if channels > _MOST_CHANNELS or samples <= _MOST_CHANNELS:
            raise ValueError(
                f"sound {name!r} of shape {array.shape}: which axis is time? One axis must be at most {_MOST_CHANNELS} "
                "channels, the other one longer; give one channel of shape (T,), or several sounds as a list"
            )
        array = array if array.shape[0] == channels else array.T
    array = np.atleast_2d(array)
    if array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
        middle = 0 if array.dtype.kind == "i" else (info.max + 1) // 2
        return torch.from_numpy(((array.astype(np.float64) - middle) / 2.0 ** (info.bits - 1)).astype(np.float32))
    waveform = torch.from_numpy(np.ascontiguousarray(array, np.float32))
    if not bool(torch.isfinite(waveform).all()):
        at = int((~torch.isfinite(waveform)).any(0).nonzero()[0])
        raise ValueError(f"sound {name!r} holds NaN or infinite samples, the first at sample {at}; a sound is known")
    return waveform
