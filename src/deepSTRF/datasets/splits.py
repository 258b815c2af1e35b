"""Splits into training, validation and test: by stimulus or by blocks of time, never by time bin.

Neighbouring bins of one stimulus are not independent, so that a split by bin would leak the test data into training.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, SupportsIndex

import numpy as np

from deepSTRF.checks import check_integer
from deepSTRF.datasets.blocks import GAP_MS, Piece, assign_blocks, cut_in_blocks, parse_blocks
from deepSTRF.datasets.indices import check_indices
from deepSTRF.datasets.metadata import copy_metadata
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.selection import SelectableRecording

__all__ = ["Split", "SplittableRecording", "holdout", "k_fold", "leave_one_out"]


class Split(NamedTuple):
    """Three parts: of stimulus indices, or of data sets.

    Parameters
    ----------
    train, val, test : tuple of int, or NeuralDataset
        What the model learns from, what choices are made on, and what the score is reported on.
    """

    train: Any
    val: Any
    test: Any


def holdout(n: SupportsIndex, k: SupportsIndex, seed: int = 0) -> Split:
    """Draw `k` stimuli for validation and `k` for test; the rest trains.

    Parameters
    ----------
    n : int
        Number of stimuli.
    k : int
        Size of the validation and of the test part.
    seed : int
        Seed of the draw.

    Returns
    -------
    Split
        Of increasing indices.

    Raises
    ------
    ValueError
        If `k` < 1 or fewer than ``2 * k + 1`` stimuli are there.

    Examples
    --------
    >>> split = holdout(10, 2, seed=0)
    >>> len(split.train), len(split.val), len(split.test)
    (6, 2, 2)
    """
    n, k, seed = check_integer("n", n, least=None), check_integer("k", k), check_integer("seed", seed, least=0)
    if n < 2 * k + 1:
        raise ValueError(
            f"holdout:{k} needs {k} stimuli for validation, {k} for test and at least one for training: "
            f"{2 * k + 1} in all, but there are {n}; split them in time with 'blocks:5'"
        )
    order = np.random.default_rng(seed).permutation(n)
    return Split(train=_sorted(order[2 * k :]), val=_sorted(order[:k]), test=_sorted(order[k : 2 * k]))


def k_fold(n: SupportsIndex, k: SupportsIndex, seed: int = 0) -> list[Split]:
    """Cut the stimuli into `k` folds; each is the test part once, and the next one the validation part.

    Parameters
    ----------
    n : int
        Number of stimuli.
    k : int
        Number of folds, at least 3 (so that something is left for training).
    seed : int
        Seed of the order.

    Returns
    -------
    list of Split
        `k` splits of increasing indices.

    Raises
    ------
    ValueError
        If `k` < 3 or `k` > `n`.

    Examples
    --------
    >>> folds = k_fold(6, 3)
    >>> sorted(s for fold in folds for s in fold.test)
    [0, 1, 2, 3, 4, 5]
    """
    n, k, seed = check_integer("n", n, least=None), check_integer("k", k), check_integer("seed", seed, least=0)
    if not 3 <= k <= n:
        raise ValueError(
            f"k_fold needs 3 to {n} folds of {n} stimuli (one to validate, one to test, the rest to train), got k={k}"
        )
    return _in_turn([_sorted(fold) for fold in np.array_split(np.random.default_rng(seed).permutation(n), k)])


def leave_one_out(n: SupportsIndex) -> list[Split]:
    """Each stimulus is the test part once; the next one (the first after the last) validates.

    Parameters
    ----------
    n : int
        Number of stimuli, at least 3.

    Returns
    -------
    list of Split
        `n` splits of increasing indices.

    Raises
    ------
    ValueError
        If `n` < 3.

    Examples
    --------
    >>> leave_one_out(3)[0]
    Split(train=(2,), val=(1,), test=(0,))
    """
    n = check_integer("n", n, least=None)
    if n < 3:
        raise ValueError(f"leave_one_out needs at least 3 stimuli, got {n}")
    return _in_turn([(i,) for i in range(n)])


def _in_turn(folds: Sequence[tuple[int, ...]]) -> list[Split]:
    """Each fold is the test part once, and the next one (the first after the last) validates."""
    every = {i for fold in folds for i in fold}
    return [
        Split(train=_sorted(every - {*val, *test}), val=val, test=test)
        for test, val in zip(folds, [*folds[1:], folds[0]], strict=True)
    ]


def _sorted(indices: Iterable[Any]) -> tuple[int, ...]:
    return tuple(sorted(int(i) for i in indices))


class SplittableRecording(SelectableRecording):
    """A recording of which parts can be made: of some stimuli, with all neurons."""

    def subset(self, stim_indices: Iterable[SupportsIndex]) -> Self:
        """Make a data set of the same class that holds only some stimuli, and all neurons.

        Stimuli and responses are shared, lists and metadata dicts are its own: standardising, smoothing or assigning on
        either side never changes the other. The selection of neurons is kept, that of stimuli and the named protocols
        (whose indices would no longer fit) are not.

        Parameters
        ----------
        stim_indices : iterable of int
            Indices into ``stims``, in the wanted order.

        Returns
        -------
        NeuralDataset
            A class with attributes that run over stimuli overrides ``_subset_copy_attrs`` to cut them too.

        Raises
        ------
        TypeError
            If an index is not an integer.
        IndexError
            If there is no such stimulus.

        Examples
        --------
        >>> import numpy as np
        >>> from deepSTRF.datasets import NeuralDataset
        >>> ds = NeuralDataset.from_arrays([np.ones((3, 8))] * 4, [np.ones((2, 1, 8))] * 4, dt_ms=5.0)
        >>> ds.subset([3, 0])
        NeuralDataset(N_neurons=2, selected=2, N_stims=2, dt_ms=5.0)
        """
        chosen = check_indices(stim_indices, self.get_S(), "stimulus")
        packed = self._packed()
        part = self._shallow_copy(PackedResponses([packed[s].block for s in chosen], self.N_neurons))
        part.stims = [self.stims[s] for s in chosen]
        part.stim_meta = copy_metadata([self.stim_meta[s] for s in chosen])
        part.covariates = {name: [values[s] for s in chosen] for name, values in self.covariates.items()}
        part.S_sel = None
        part._forget_protocols()
        part._subset_copy_attrs(self, chosen)
        return part

    def _subset_copy_attrs(self, source: Any, stim_indices: list[int]) -> None:
        """Cut the attributes of a subclass that run over stimuli to `stim_indices` of `source`; none here."""

    def averaged(self) -> Self:
        """Make the same data set with repeats averaged (missing repeats left out), so that R is 1.

        Returns
        -------
        NeuralDataset
            Shares the stimuli; selections and protocols are kept. Noise-corrected scores need the repeats.

        Examples
        --------
        >>> import numpy as np
        >>> from deepSTRF.datasets import NeuralDataset
        >>> ds = NeuralDataset.from_arrays([np.ones((3, 8))], [np.random.rand(2, 5, 8)], dt_ms=5.0)
        >>> ds.averaged().responses[0][1].shape
        torch.Size([1, 8])
        """
        blocks = [
            block.replaced(block.summary.psth[:, None].to(block.values.dtype, copy=True)) if block.n_bins else block
            for block in self._packed().blocks()
        ]
        return self._shallow_copy(PackedResponses(blocks, self.N_neurons))

    def _shallow_copy(self, responses: PackedResponses) -> Self:
        """A copy with other responses that shares tensors, but no list or dict of the contract."""
        twin = copy.copy(self)
        twin._selection_cache = None
        twin._masks = None
        twin.responses = responses
        twin.stims = list(self.stims)
        twin.stim_meta = copy_metadata(self.stim_meta)
        twin.nrn_meta = copy_metadata(self.nrn_meta)
        twin.covariates = {name: list(values) for name, values in self.covariates.items()}
        twin._selected_neurons = list(self.I)
        twin._selected_stims = None if self.S_sel is None else list(self.S_sel)
        return twin

    def in_blocks(self, n_blocks: int, gap_ms: float = GAP_MS) -> Self:
        """Cut every stimulus into contiguous blocks of time, each a stimulus of its own.

        For recordings with one long stimulus, or a few. The pieces of a stimulus follow each other. The first `gap_ms`
        of each piece but the first is the gap between two blocks: the model hears it, to warm up, and its responses
        are NaN, so that it is neither trained on nor scored. Make the gap at least as long as the model's window; then
        no bin of a block depends on what another block holds.

        Parameters
        ----------
        n_blocks : int
            Blocks per stimulus, at least 2.
        gap_ms : float
            Length of the gaps.

        Returns
        -------
        NeuralDataset
            Of the same class, with the selected stimuli that any neuron heard. Stimuli are views. ``stim_meta`` has
            ``stimulus``, ``block``, ``start`` and ``stop`` (the bins that count, of the whole stimulus) and ``warm_up``
            (bins before them). The attribute ``uncut`` is the whole recording: noise ceilings are measured on it, since
            those of short blocks leave out what is slow.

        Raises
        ------
        ValueError
            If a block would be shorter than two gaps (the message says what fits), a stimulus has no whole number of
            samples per bin, or the data set is in blocks already.

        Examples
        --------
        >>> import numpy as np
        >>> from deepSTRF.datasets import NeuralDataset
        >>> ds = NeuralDataset.from_arrays([np.ones((3, 3000))], [np.ones((2, 1, 3000))], dt_ms=5.0)
        >>> blocks = ds.in_blocks(3)
        >>> [(meta["start"], meta["stop"]) for meta in blocks.stim_meta]
        [(0, 1000), (1100, 2000), (2100, 3000)]
        """
        return cut_in_blocks(self, n_blocks, gap_ms)  # type: ignore[arg-type, return-value]

    def _block_copy_attrs(self, source: Any, pieces: list[Piece]) -> None:
        """Cut the attributes of a subclass that run over stimuli to `pieces` of those of `source`; none here."""

    @property
    def default_split(self) -> str:
        """The split of a recording for which none is named: that of its class, else ``holdout:K`` or ``blocks:5``.

        With six stimuli or more, a sixth of them validates and a sixth tests; fewer are cut in blocks of time.
        """
        card = getattr(type(self), "card", None)
        if card is not None and card.default_split and "protocols" not in vars(self):
            return str(card.default_split)
        n_heard = int(self.nrn_masks.any(1).sum())
        return next(iter(self.protocols), f"holdout:{n_heard // 6}" if n_heard >= 6 else "blocks:5")

    def split_indices(self, protocol: str | None = None, *, seed: int = 0) -> Split:
        """Stimulus indices of the training, validation and test parts.

        Parameters
        ----------
        protocol : str, optional
            A key of ``protocols``; ``"holdout:K"``: K stimuli validate and K test, drawn by `seed` among those that
            any neuron has data for; or ``"blocks:B"``, ``"blocks:B:GAP"``: the indices are those of
            ``in_blocks(B, GAP)``, gap in ms. The middle block of each stimulus tests, the one before validates.
            By default :attr:`default_split`.
        seed : int
            Seed of the draw; other protocols need none.

        Returns
        -------
        Split
            Of increasing indices. Where stimuli are selected, only these.

        Raises
        ------
        ValueError
            If there is no such protocol (the message lists them), or there are too few stimuli.

        Examples
        --------
        >>> import numpy as np
        >>> from deepSTRF.datasets import NeuralDataset
        >>> ds = NeuralDataset.from_arrays([np.ones((3, 8))] * 5, [np.ones((2, 1, 8))] * 5, dt_ms=5.0)
        >>> [len(part) for part in ds.split_indices("holdout:1", seed=3)]
        [3, 1, 1]
        """
        protocol = self.default_split if protocol is None else protocol
        selected = set(
            range(self.get_S()) if self.S_sel is None else check_indices(self.S_sel, self.get_S(), "stimulus")
        )
        if isinstance(protocol, str) and protocol in self.protocols:
            named = self.protocols[protocol]
            if not isinstance(named, Mapping) or not set(Split._fields) <= set(named):
                raise ValueError(
                    f"the split {protocol!r} must be a dict with the stimuli of {', '.join(Split._fields)}, "
                    f"got {named!r}"
                )
            stims = {
                check_integer(f"a stimulus of the split {protocol!r}", s, least=None)
                for p in Split._fields
                for s in named[p]
            }
            beyond = sorted(s for s in stims if not 0 <= s < self.get_S())
            if beyond:
                raise ValueError(f"the split {protocol!r} names stimuli {beyond}, but there are {self.get_S()}")
            parts = Split(*(tuple(s for s in named[part] if s in selected) for part in Split._fields))
            if not all(parts):
                raise ValueError(f"a part of the split {protocol!r} is empty with the selected stimuli")
            return parts
        if blocks := parse_blocks(protocol):
            return Split(*assign_blocks(self.in_blocks(*blocks), blocks[0]))  # type: ignore[arg-type]
        kind, _, size = str(protocol).partition(":")
        if kind != "holdout" or not size.isdecimal() or len(size) > 9:
            names = ", ".join(map(repr, self.protocols)) or "none"
            raise ValueError(
                f"there is no split {protocol!r}; named protocols of {type(self).__name__}: {names}; "
                "'holdout:K' draws K stimuli for validation and K for test, 'blocks:5' cuts each in 5 blocks of time"
            )
        heard = self.nrn_masks.any(1).numpy()
        candidates = [s for s in range(self.get_S()) if s in selected and heard[s]]
        drawn = holdout(len(candidates), int(size), seed)
        return Split(*(tuple(candidates[i] for i in part) for part in drawn))

    def split(self, protocol: str | None = None, *, seed: int = 0) -> Split:
        """Split into training, validation and test data sets, by stimulus or by blocks of time.

        Each part has all neurons in the same order. To standardise with training statistics, call
        ``ds.standardize_stims(ds.split_indices(protocol).train)`` before; for blocks, do both on ``ds.in_blocks(B)``,
        and make the parts with :meth:`subset`.

        Parameters
        ----------
        protocol : str, optional
            A key of ``protocols``, ``"holdout:K"`` or ``"blocks:B"``, see :meth:`split_indices`.
        seed : int
            Seed of the draw.

        Returns
        -------
        Split
            Of data sets made by :meth:`subset`; for blocks, of :meth:`in_blocks`.

        Raises
        ------
        ValueError
            As :meth:`split_indices`.

        Examples
        --------
        >>> import numpy as np
        >>> from deepSTRF.datasets import NeuralDataset
        >>> ds = NeuralDataset.from_arrays([np.ones((3, 8))] * 5, [np.ones((2, 1, 8))] * 5, dt_ms=5.0)
        >>> train, val, test = ds.split("holdout:1")
        >>> len(train), len(val), len(test)
        (3, 1, 1)
        """
        protocol = self.default_split if protocol is None else protocol
        blocks = None if str(protocol) in self.protocols else parse_blocks(protocol)
        if blocks is not None:
            cut = self.in_blocks(*blocks)
            return Split(*(cut.subset(part) for part in assign_blocks(cut, blocks[0])))  # type: ignore[arg-type]
        return Split(*(self.subset(part) for part in self.split_indices(protocol, seed=seed)))
