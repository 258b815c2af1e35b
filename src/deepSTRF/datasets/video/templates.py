"""The frames that a template holds: read block by block, cropped and averaged over squares of pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from deepSTRF.checks import check_integer, check_list
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.files import AnyPath, expand_path

__all__ = ["FrameStack", "PictureFile", "ShownFrames", "Template", "open_frames"]

_BLOCK_BYTES = 2**24
"""Of frames that are read together, and kept until others are needed."""


class FrameStack:
    """Pictures of one size, each an array of its own, as one stack (T, H, W) that is read on demand.

    Parameters
    ----------
    pictures : sequence
        What has the ``shape`` (H, W) and is read by ``[:]``: data sets of HDF5, arrays.
    """

    def __init__(self, pictures: Sequence[Any]):
        self._pictures = pictures
        self.shape = (len(pictures), *pictures[0].shape)
        self.dtype = getattr(pictures[0], "dtype", np.dtype(np.uint8))

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.stack([picture[:] for picture in self._pictures[rows]])


class PictureFile:
    """A picture in a file, as grey levels of 0 to 255; read by ``[:]``.

    Parameters
    ----------
    file : str or path
        In any format that Pillow reads.

    Raises
    ------
    RecordingError
        If it is no picture.
    """

    def __init__(self, file: AnyPath):
        self._file = file
        with self._opened() as picture:
            self.shape = picture.size[::-1]

    def _opened(self) -> Any:
        from PIL import Image

        try:
            return Image.open(self._file)
        except OSError as error:
            raise RecordingError(f"{self._file} is not a picture ({error}); download it again") from error

    def __getitem__(self, _: slice) -> np.ndarray:
        with self._opened() as picture:
            return np.asarray(picture.convert("L"))


def open_frames(template: Any) -> Any:
    """Frames (T, H, W): an array as it is, or a file that numpy saved, whatever its name, without reading it.

    Raises
    ------
    RecordingError
        If it is no such file.
    """
    if not isinstance(template, str | os.PathLike):
        return np.asarray(template)
    try:
        return np.load(expand_path(template), mmap_mode="r")
    except ValueError as error:
        raise RecordingError(f"{template} is not an array as numpy saves it ({error})") from error


class Template:
    """The frames of a movie or a set of pictures, cropped and shrunk.

    Parameters
    ----------
    stack : array, data set of HDF5 or FrameStack
        Frames (T, H, W).
    rows, columns : tuple of int, optional
        The first pixel of the part that matters, and the one after the last: ``(10, 30)`` are 20 pixels.
    downsample : int
        Length of the side of the squares of pixels whose mean becomes one pixel; what is left over at the right and at
        the bottom is left out.

    Raises
    ------
    ValueError
        If the part is empty or reaches beyond the frame, or no square fits into it.

    Examples
    --------
    >>> template = Template(np.arange(48.0).reshape(2, 4, 6), columns=(2, 6), downsample=2)
    >>> template.size, template.frame(1)
    ((2, 2), array([[29.5, 31.5],
           [41.5, 43.5]], dtype=float32))
    """

    def __init__(self, stack: Any, rows: Any = None, columns: Any = None, downsample: int = 1):
        if len(stack.shape) != 3:
            raise RecordingError(f"a template must hold frames (T, H, W), got the shape {tuple(stack.shape)}")
        self._stack = stack
        self._factor = check_integer("downsample", downsample)
        self._rows, self._columns = _part("rows", rows, stack.shape[1]), _part("columns", columns, stack.shape[2])
        self.size = tuple((part.stop - part.start) // self._factor for part in (self._rows, self._columns))
        if min(self.size) < 1:
            raise ValueError(f"downsample={downsample} is more than the frames have pixels: {tuple(stack.shape[1:])}")
        frame_bytes = int(np.prod(stack.shape[1:])) * np.dtype(stack.dtype).itemsize
        self._at_once = max(1, _BLOCK_BYTES // frame_bytes)
        self._kept: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return int(self._stack.shape[0])

    def frame(self, index: int) -> Float32[np.ndarray, "H W"]:
        """One frame."""
        block = index // self._at_once
        if self._kept is None or self._kept[0] != block:
            self._kept = block, self._read(slice(block * self._at_once, (block + 1) * self._at_once))
        return self._kept[1][index - block * self._at_once]

    def _read(self, frames: slice) -> Float32[np.ndarray, "T H W"]:
        values = np.asarray(self._stack[frames])[:, self._rows, self._columns]
        height, width = self.size
        side = self._factor
        squares = values[:, : height * side, : width * side].reshape(len(values), height, side, width, side)
        return squares.mean((2, 4), dtype=np.float64).astype(np.float32)


class ShownFrames:
    """Frames of a template in the order in which they were shown, read one by one: an array (T, H, W) to its readers.

    Raises
    ------
    RecordingError
        If a frame was shown that the template does not have.
    """

    def __init__(self, template: Template, order: np.ndarray):
        if order.max() >= len(template):
            raise RecordingError(
                f"frame {order.max()} was shown, but the template has {len(template)}, counted from 0; is it that of "
                "another stimulus?"
            )
        self._template, self._order = template, order
        self.shape = (len(order), *template.size)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, places: Any) -> np.ndarray:
        if isinstance(places, slice):
            return np.stack([self._template.frame(int(index)) for index in self._order[places]])
        return self._template.frame(int(self._order[places]))


def _part(name: str, pixels: Any, size: int) -> slice:
    if pixels is None:
        return slice(0, size)
    pair = [check_integer(name, pixel, least=0) for pixel in check_list(name, pixels, "two pixels")]
    first, stop = pair if len(pair) == 2 else (0, 0)
    if not first < stop <= size:
        raise ValueError(f"{name} must be two numbers between 0 and {size} that hold a pixel, got {pixels}")
    return slice(first, stop)
