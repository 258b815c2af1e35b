"""The base class of recordings with movies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self, SupportsIndex

import numpy as np
from torch import Tensor

from deepSTRF.datasets.neural_dataset import NeuralDataset
from deepSTRF.datasets.packed import PackedResponses

__all__ = ["VideoNeuralDataset"]


class VideoNeuralDataset(NeuralDataset):
    """Responses of a population of neurons to movies.

    Stimuli are movies (C, H, W, T_s), time last, with one frame per response bin; C is 1 for a grey movie. A subclass
    fills the attributes and calls :meth:`validate` last; movies in memory go through ``from_arrays``, as (H, W, T_s) or
    (C, H, W, T_s).

    Parameters
    ----------
    path, dt_ms
        As for :class:`~deepSTRF.datasets.NeuralDataset`; a frame lasts as long as a bin.

    Attributes
    ----------
    H, W : int
        Height and width of a frame in pixels; -1 until they are set.
    C : int
        Number of channels (colours); 1 unless it is set.

    Examples
    --------
    >>> import numpy as np
    >>> from deepSTRF.datasets.collate import neural_collate
    >>> rng = np.random.default_rng(0)
    >>> movies = [rng.normal(size=(12, 16, 90)), rng.normal(size=(12, 16, 60))]  # (H, W, T)
    >>> spikes = [rng.poisson(0.2, (5, 3, 90)), rng.poisson(0.2, (5, 3, 60))]  # (N, R, T)
    >>> ds = VideoNeuralDataset.from_arrays(movies, spikes, dt_ms=33.3)
    >>> ds.C, ds.H, ds.W
    (1, 12, 16)
    >>> batch = neural_collate([ds[0], ds[1]])
    >>> batch["stims"].shape, batch["responses"].shape
    (torch.Size([2, 1, 12, 16, 90]), torch.Size([2, 5, 3, 90]))
    """

    H: int
    W: int
    C: int
    _stimulus_kind = "movies"

    def _init_contract(self, path: str, dt_ms: float) -> None:
        super()._init_contract(path, dt_ms)
        self.H = self.W = -1
        self.C = 1

    def _fill_stims(self, stims: list[Tensor]) -> None:
        self.stims = [values[None] if values.ndim == 3 else values for values in stims]
        for index, values in enumerate(self.stims):
            if values.ndim != 4:
                raise ValueError(
                    f"stims[{index}] must be a movie of shape (H, W, T) or (C, H, W, T), got {tuple(values.shape)}"
                )
        self.C, self.H, self.W = self.stims[0].shape[:3]

    def _bins_of(self, stimulus: int) -> int | None:
        return self.stims[stimulus].shape[-1]

    def validate(self) -> None:
        """Check the data contract, the size of the frames, and that each response bin has its frame.

        Raises
        ------
        TypeError, ValueError
            As :meth:`NeuralDataset.validate <deepSTRF.datasets.NeuralDataset.validate>`; and if ``H``, ``W`` or ``C``
            is not a positive integer, or a movie is not (C, H, W, T) with as many frames as its responses have bins.
        """
        super().validate()
        for name, what in (("H", "pixels"), ("W", "pixels"), ("C", "channels")):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, int | np.integer):
                raise TypeError(f"{name} must be an integer number of {what}, got {type(size).__name__}")
            if size < 1:
                raise ValueError(f"{name} must be a positive number of {what}, got {size}; a subclass sets it")
        for index, (stim, block) in enumerate(zip(self.stims, self._packed().blocks(), strict=True)):
            if stim.ndim != 4 or stim.shape[:3] != (self.C, self.H, self.W):
                raise ValueError(
                    f"stims[{index}] must have shape (C={self.C}, H={self.H}, W={self.W}, T), time last, got "
                    f"{tuple(stim.shape)}"
                )
            if len(block.neurons) and stim.shape[-1] != block.n_bins:
                raise ValueError(
                    f"stims[{index}] has {stim.shape[-1]} frames, the responses to it have {block.n_bins} bins; "
                    "repeat or average frames, or bin the spikes anew, until a bin is a frame"
                )

    def standardize_stims(
        self, stim_indices: Iterable[SupportsIndex] | None = None, per_band: bool = False, eps: float = 1e-8
    ) -> dict[str, Any]:
        """Standardise the movies.

        As :meth:`NeuralDataset.standardize_stims <deepSTRF.datasets.NeuralDataset.standardize_stims>` does the sounds.

        With `per_band` each pixel has a mean and deviation (C, H, W, 1) of its own; else each channel has one for the
        whole frame (C, 1, 1, 1), which keeps the picture.

        Examples
        --------
        >>> import torch
        >>> ds = VideoNeuralDataset.from_arrays([3 + torch.rand(4, 5, 50)], [torch.rand(1, 2, 50)], dt_ms=16.7)
        >>> ds.standardize_stims()["mean"].shape, bool(ds.stims[0].mean().abs() < 1e-5)
        (torch.Size([1, 1, 1, 1]), True)
        """
        return self._standardize(stim_indices, eps, (-4, -3, -2) if per_band else (-4,), per_band)

    def crop(self, rows: tuple[int, int], columns: tuple[int, int]) -> Self:
        """Make the same data set with a part of every frame, such as the surround of a receptive field.

        Parameters
        ----------
        rows, columns : tuple of int
            The first pixel, and the one after the last: ``(10, 30)`` are 20 pixels.

        Returns
        -------
        VideoNeuralDataset
            Shares the responses, and the movies (a view); selections and protocols are kept.

        Raises
        ------
        ValueError
            If the part is empty or reaches beyond the frame.

        Examples
        --------
        >>> import torch
        >>> ds = VideoNeuralDataset.from_arrays([torch.rand(12, 16, 50)], [torch.rand(1, 2, 50)], dt_ms=16.7)
        >>> part = ds.crop((2, 8), (0, 10))
        >>> part.H, part.W, part.stims[0].shape
        (6, 10, torch.Size([1, 6, 10, 50]))
        """
        for name, (first, stop), size in (("rows", rows, self.H), ("columns", columns, self.W)):
            if not 0 <= first < stop <= size:
                raise ValueError(f"{name} must lie between 0 and {size} and hold a pixel, got {(first, stop)}")
        part = self._shallow_copy(PackedResponses(self._packed(), self.N_neurons))
        part.stims = [stim[:, slice(*rows), slice(*columns)] for stim in self.stims]
        part.H, part.W = rows[1] - rows[0], columns[1] - columns[0]
        return part

    def _concat_check_compat(self, other: NeuralDataset) -> None:
        super()._concat_check_compat(other)
        if not isinstance(other, VideoNeuralDataset):
            raise TypeError(f"a video data set can be joined with video data sets only, got {type(other).__name__}")
        for name in ("H", "W", "C"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(f"{name} mismatch: {getattr(self, name)} and {getattr(other, name)}")

    def _concat_copy_attrs(self, source: Any) -> None:
        super()._concat_copy_attrs(source)
        self.H, self.W, self.C = source.H, source.W, source.C
