"""Whole data sets of files, kept in the cache: :mod:`deepSTRF.datasets.cache` says until when."""

from __future__ import annotations

import ctypes
import gc
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from deepSTRF.datasets.block_summary import BlockSummary
from deepSTRF.datasets.cache import cached, file_digest
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.response_block import ResponseBlock
from deepSTRF.datasets.storage import RecordingStorage
from deepSTRF.files import AnyPath

__all__ = ["cached_recording", "fill_cached"]

D = TypeVar("D", bound=RecordingStorage)
T = TypeVar("T")

# Attributes that follow from the others.
_DERIVED = ("_responses", "_masks", "_masks_of", "_selection_cache")


def cached_recording(
    cls: type[D], kind: str, files: Iterable[AnyPath], options: Mapping[str, Any], make: Callable[[], D]
) -> D:
    """Return the data set that `make` reads from files, from the cache where it was read before.

    The function that a reader of files calls: it gives the files that it reads, all of them, and the options that it
    reads them with. From the cache the arrays are mapped into memory, and read from the disk when they are used.

    Parameters
    ----------
    cls : type
        Class of the data set.
    kind, files, options
        As for :func:`~deepSTRF.datasets.cache.cached`; the options with the path as the user wrote it where the data
        set keeps it.
    make : callable
        Reads the files; called where the cache has nothing.

    Returns
    -------
    NeuralDataset
        Bit by bit that of `make`, validated when it was made, with nothing selected.

    Raises
    ------
    FileNotFoundError, TypeError
        As :func:`~deepSTRF.datasets.cache.cached`.

    Warns
    -----
    UserWarning
        If the cache cannot be written, or the data set has an attribute that cannot be stored; it is returned anyway.

    Notes
    -----
    A class of the user's own counts with the code of its file, and is not kept where it has none, as in a notebook.

    Examples
    --------
    >>> from deepSTRF.datasets.audio import AudioNeuralDataset
    >>> def read(path, dt_ms, cache=True):
    ...     def make():
    ...         counts = np.load(path)
    ...         return AudioNeuralDataset.from_arrays([counts[0]], [counts], dt_ms)
    ...     return cached_recording(AudioNeuralDataset, "npy", [path], {"dt_ms": dt_ms}, make) if cache else make()
    >>> import numpy as np
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "counts.npy"
    ...     np.save(path, np.ones((2, 3, 100)))
    ...     print(read(path, 5.0, cache=False))
    AudioNeuralDataset(N_neurons=2, selected=2, N_stims=1, dt_ms=5.0)
    """
    own_code = _code_of_user(cls)
    if own_code is None:
        return _said_to_user(*_with_warnings(make))
    options = {"class": f"{cls.__module__}.{cls.__qualname__}", "code": own_code, **options}
    dataset = cls.__new__(cls)
    _restore(dataset, kind, files, options, make)
    return dataset


def fill_cached(
    dataset: RecordingStorage,
    kind: str,
    files: Iterable[AnyPath],
    options: Mapping[str, Any],
    fill: Callable[[], None],
    *,
    cache: bool = True,
) -> None:
    """Fill a data set as `fill` does, from the cache where the same was filled before.

    As :func:`cached_recording`, for a class whose constructor reads files: `dataset` is what it constructs, and `fill`
    sets its attributes and validates it. With ``cache=False``, and for a subclass of the user's own, whose arguments
    are not among the options, nothing is kept and nothing taken.

    Examples
    --------
    >>> from deepSTRF.datasets.audio import AudioNeuralDataset
    >>> class Counts(AudioNeuralDataset):
    ...     def __init__(self, path, dt_ms=5.0):
    ...         super().__init__(str(path), dt_ms)
    ...         fill_cached(self, "counts", [path], {"path": str(path), "dt_ms": dt_ms}, self._read)
    ...
    ...     def _read(self):
    ...         counts = torch.from_numpy(np.load(self.path))
    ...         self.stims, self.responses = [counts[:1].mean(1)], [counts]
    ...         self.stim_meta, self.nrn_meta, self.N_neurons = [{}], [{}] * len(counts), len(counts)
    ...         self.validate()
    """
    cls = type(dataset)
    if not cache or _code_of_user(cls) != []:
        _said_to_user(*_with_warnings(fill))
        return

    def make() -> RecordingStorage:
        fill()
        return dataset

    _restore(dataset, kind, files, {"class": f"{cls.__module__}.{cls.__qualname__}", **options}, make)


def _code_of_user(cls: type) -> list[str] | None:
    """Digests of the files of a user's own classes among the bases; None where one has no file, as in a notebook."""
    digests = []
    for base in cls.__mro__:
        if base.__module__.split(".")[0] in ("deepSTRF", "torch", "typing", "abc", "builtins"):
            continue
        file = getattr(sys.modules.get(base.__module__), "__file__", None)
        if base.__module__ == "__main__" or file is None:
            return None
        digests.append(file_digest(file))
    return digests


def _state_of(dataset: RecordingStorage) -> dict[str, Any]:
    """What a data set consists of, in parts that can be stored."""
    attributes = {name: value for name, value in vars(dataset).items() if name not in _DERIVED}
    spectrogram = attributes.get("spectrogram")
    if spectrogram is not None:
        del attributes["spectrogram"]
    return {
        "attributes": attributes,
        "blocks": [
            (block.values, block.neurons, block.repeats, block.summary.stored(block.repeats.tolist()))
            for block in dataset._packed().blocks()
        ],
        "spectrogram": None if spectrogram is None else spectrogram.as_dict(),
    }


def _restore(
    dataset: RecordingStorage,
    kind: str,
    files: Iterable[AnyPath],
    options: Mapping[str, Any],
    make: Callable[[], RecordingStorage],
) -> None:
    """Bring a data set to the state of the one that `make` reads, with arrays that are mapped from the cache."""
    from deepSTRF.datasets.spectrograms import Spectrogram

    was_read = False

    def read() -> dict[str, Any]:
        nonlocal was_read
        was_read = True
        made, said = _with_warnings(make)
        return {**_state_of(made), "warnings": said}

    state = cached(kind, files, options, read)
    attributes = state["attributes"]
    dataset._init_contract(attributes["path"], attributes["dt"])
    vars(dataset).update(attributes)
    blocks = [
        ResponseBlock(values, neurons, repeats, BlockSummary.restored(values, summary))
        for values, neurons, repeats, summary in state["blocks"]
    ]
    dataset.responses = PackedResponses(blocks, dataset.N_neurons)
    dataset._selection_cache = None  # type: ignore[attr-defined]
    if state["spectrogram"] is not None:
        dataset.spectrogram = Spectrogram.from_dict(state["spectrogram"])  # type: ignore[attr-defined]
    if was_read:
        _release_memory()
    _said_to_user(None, state["warnings"])


def _with_warnings(make: Callable[[], T]) -> tuple[T, list[str]]:
    """What `make` returns, and what it warned the user of; that is to be said from the cache too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = make()
    for warning in caught:
        if warning.category is not UserWarning:  # of other libraries
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return made, [str(warning.message) for warning in caught if warning.category is UserWarning]


def _said_to_user(made: T, messages: Iterable[str]) -> T:
    """Warn at the line that called the library, and return what was made."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("deepSTRF."):
        level, frame = level + 1, frame.f_back
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=level)
    return made


def _release_memory() -> None:
    """Give what was read back to the system, now that it is mapped: the C library would keep it for later."""
    gc.collect()  # packed responses are a circle
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
