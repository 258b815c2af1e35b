"""The files of the public release of NS1: spike times, sounds and metadata."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_integer
from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.mat_files import read_mat_variable
from deepSTRF.datasets.mat_structs import MatArray, read_mat_struct
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_folder import how_to_get
from deepSTRF.datasets.sound_files import load_wav, resample_causally

__all__ = [
    "CHORDS",
    "RECORDED_MS",
    "SOUNDS",
    "open_release",
    "read_authors_cochleagram",
    "read_metadata",
    "read_sounds",
    "read_unit",
    "release_files",
    "time_grid",
]

_METADATA = "MetadataSHEnCneurons.mat"
_SPIKES = "spikesandwav"
_AUTHORS = "test_data_5ms.mat"
_WHERE = how_to_get(RECORDINGS["NS1"])
_REMEDY = f"download the release again: {_WHERE}"

SOUNDS = tuple(
    [f"SH.En.C/source.1.sound.0.snr.0.token.0.fw.2.frozen.{k}" for k in range(1, 13)]
    + [f"SH.En.C/source.2.sound.0.snr.0.token.0.fw.1.frozen.{k}" for k in range(1, 9)]
)
CHORDS = tuple(
    f"SH.En.C/source.9.sound.0.snr.0.token.{token}.fw.{width}.frozen.0"
    for token in range(3)
    for width in (10, 20, 30, 40)
)
_WRONG_STRUCTURE = (ValueError, TypeError, IndexError, KeyError, OverflowError, struct.error)
RECORDED_MS = 4995
_SOUND_MS = 5000
_TRUE_FS = 48828.125  # the headers say 48 828
_LARGEST_FILE = 2**26  # the largest of the release has 2.4 MB


@contextmanager
def open_release(folder: Path) -> Iterator[Any]:
    """Yield the folder ``spikesandwav``, on disk or inside of the archive."""
    if (folder / _SPIKES).is_dir():
        yield folder / _SPIKES
        return
    archive = folder / (_SPIKES + ".zip")
    if not archive.exists():
        raise FileNotFoundError(f"neither {archive} nor a folder {folder / _SPIKES} is there; {_WHERE}")
    try:
        opened = zipfile.ZipFile(archive)
        # The other methods unpack whole members, however large, before a byte can be read.
        if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in opened.infolist()):
            raise ValueError("a member is compressed in another way than the release is")
    except Exception as error:  # a damaged list of members fails in many ways
        raise RecordingError(
            f"{archive} is cut off or no zip archive ({error}); delete it and download it again: {_WHERE}"
        ) from error
    with opened:
        yield zipfile.Path(opened, _SPIKES + "/")


def release_files(folder: Path, *parts: str) -> list[Path]:
    """Every file and folder that is read, as far as it is there: the archive, or what was unpacked, counts as one."""
    spikes = folder / _SPIKES if (folder / _SPIKES).is_dir() else folder / (_SPIKES + ".zip")
    wanted = [folder / _METADATA, spikes, *([folder / _AUTHORS] if "authors" in parts else [])]
    return [file for file in wanted if file.exists()]


def _read_bytes(file: Any) -> bytes:
    """Read one file of the release."""
    if not file.exists():
        raise FileNotFoundError(f"the release is incomplete: {file} is missing; {_WHERE}")
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
        if len(content) > _LARGEST_FILE:
            raise ValueError(f"it is larger than {_LARGEST_FILE} bytes")
        return content
    except Exception as error:  # a damaged archive fails in many ways
        raise RecordingError(f"{file} can't be read ({error}); download the release again: {_WHERE}") from error


def _read_struct(file: Any, variable: str) -> MatArray:
    """Open one variable of a .mat file of the release."""
    return read_mat_struct(_read_bytes(file), variable, name=str(file), remedy=_REMEDY)


def read_metadata(folder: Path) -> list[dict[str, Any]]:
    """Return what is known about each unit: the keys of ``nrn_meta``, and its file's path."""
    file = folder / _METADATA
    table = _read_struct(file, "neuron")
    try:
        if 0 in table.shape:
            raise ValueError("it lists no unit")
        paths = [_inside(path.text()) for path in table["path"]]
        columns: dict[str, list[Any]] = {
            "depth_um": [float(depth.number()) for depth in table["depth"]],
            "noise_ratio": [float(ratio.number()) for ratio in table["NoiseRatio"]],
            "single_n": [int(number.number()) for number in table["singleN"]],
            "single_t": [answer.text() for answer in table["singleT"]],
            "n_electrodes": [int(number.number()) for number in table["NrOfElectrodes"]],
            "electrode_number": [int(number.number()) for number in table["ElectrodeNumber"]],
        }
        return [
            {
                "path": path,
                "cell_id": path.removesuffix(".mat"),
                "area": "A1",
                **{name: column[n] for name, column in columns.items()},
            }
            for n, path in enumerate(paths)
        ]
    except _WRONG_STRUCTURE as error:
        raise RecordingError(f"{file} is not the NS1 metadata (a struct array of units): {error}") from error


def _inside(path: str) -> str:
    """Return a path below the release; the metadata must not lead elsewhere."""
    if not path.strip("/. ") or path.startswith("/") or ".." in path.split("/") or not path.isprintable():
        raise ValueError(f"{path!r} is not the path of a file of the release")
    return path


def read_sounds(release: Any, names: Sequence[str], fs: int, n_samples: int) -> list[Float[Tensor, "1 T_audio"]]:
    """Read sounds of the release; a chord that is not in it is silent, since that of the public has none."""
    return [
        torch.zeros(1, n_samples)
        if name in CHORDS and not (release / name).exists()
        else read_sound(release / name, fs, n_samples)
        for name in names
    ]


def read_sound(file: Any, fs: int, n_samples: int) -> Float[Tensor, "1 T_audio"]:
    """Read a sound at the sampling rate wanted, cut to the time recorded."""
    try:
        waveform, header_fs = load_wav(io.BytesIO(_read_bytes(file)))
    except RecordingError:
        raise
    except ValueError as error:
        raise RecordingError(f"{file} is not a readable sound ({error}); download the release again") from error
    # the last 5 ms are not used, and the header is allowed to round
    if abs(header_fs - _TRUE_FS) > 1 or waveform.shape[-1] < _TRUE_FS * RECORDED_MS / 1000:
        raise RecordingError(
            f"{file} holds {waveform.shape[-1]} samples at {header_fs} Hz; expected 5 s at {_TRUE_FS} Hz. It may be "
            f"cut off: download the release again"
        )
    return resample_causally(waveform.mean(0, keepdim=True), _TRUE_FS, fs)[:, :n_samples]


def read_unit(release: Any, path: str, first: int = 0, number: int = len(SOUNDS)) -> list[list[np.ndarray]]:
    """Return the spike times of one unit in ms, one array per repeat, for each of some stimuli.

    They are numbered as in the release: the first 20 are sounds, those after them chords.
    """
    file = release / path
    if not file.exists():  # a few files of the release go by another name
        renamed = release / (path.removesuffix(".mat") + "_1.mat")
        file = renamed if renamed.exists() else file
    data = _read_struct(file, "data")
    try:
        (every,) = data["set"]
        spikes = [[trial.numbers() for trial in repeats["t"]] for repeats in every["repeats"][first : first + number]]
        if len(spikes) < number or [] in spikes:
            raise ValueError("a sound without repeats" if len(spikes) == number else f"it has {len(spikes)} stimuli")
        if not np.isfinite(np.concatenate([np.concatenate(repeats) for repeats in spikes])).all():
            raise ValueError("spike times are not finite numbers")
        return spikes
    except _WRONG_STRUCTURE as error:
        raise RecordingError(
            f"{file} does not have the structure of an NS1 spike file, data.set(1..32).repeats.t ({error}); {_REMEDY}"
        ) from error


def read_authors_cochleagram(folder: Path, n_bands: int, n_bins: int) -> list[Float[Tensor, "1 F T"]]:
    """Return the authors' cochleagram of each sound."""
    file = folder / _AUTHORS
    if not file.exists():
        raise FileNotFoundError(
            f"{file} is missing; download=True fetches it from https://github.com/monzilur/DNet, or use "
            "cochleagram='sounds'"
        )
    levels = read_mat_variable(_read_bytes(file), "X_nfht", name=str(file), remedy=_REMEDY)
    expected = (len(SOUNDS), n_bands, 1, n_bins)
    if levels.shape != expected or levels.dtype.kind not in "fiu" or not np.isfinite(levels).all():
        raise RecordingError(
            f"{file}: expected finite numbers X_nfht of shape {expected}; got {levels.dtype} {levels.shape}. Download "
            f"it again from https://github.com/monzilur/DNet"
        )
    return [torch.from_numpy(level.astype(np.float32)).permute(1, 0, 2).contiguous() for level in levels]


def time_grid(dt_ms: float, fs: int) -> tuple[int, int]:
    """Return the number of whole bins in the recorded time, and the audio samples per bin."""
    advice = "Good values are 1, 2, 2.5, 3, 4, 5, 9, 10, 15, 20, 25, 40, 45, 50."
    if isinstance(dt_ms, bool) or not isinstance(dt_ms, int | float | np.number):
        raise TypeError(f"dt_ms must be a number of ms, got {type(dt_ms).__name__}: {dt_ms!r}. {advice}")
    fs = check_integer("audio_fs", fs)
    if not 0 < dt_ms <= RECORDED_MS:
        raise ValueError(f"dt_ms must lie between 0 and {RECORDED_MS}; got {dt_ms}. {advice}")
    dt = Fraction(dt_ms).limit_denominator(1000)
    if RECORDED_MS % dt and _SOUND_MS % dt:
        raise ValueError(
            f"dt_ms={dt_ms} divides neither the {RECORDED_MS} ms of the recordings nor the {_SOUND_MS} ms of the "
            f"sounds. {advice}"
        )
    hop = fs * dt / 1000
    if hop.denominator != 1 or hop < 1:
        raise ValueError(
            f"a bin of dt_ms={dt_ms} must be a whole number of audio samples; at {fs} Hz it is {float(hop):g}. {advice}"
        )
    return int(RECORDED_MS / dt), int(hop)
