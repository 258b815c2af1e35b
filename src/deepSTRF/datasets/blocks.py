"""Blocks of time: how a recording with one stimulus, or a few long ones, is split.

Neighbouring bins are not independent, so that parts are contiguous blocks with gaps between them, never single bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_integer, check_positive
from deepSTRF.datasets.covariates import cut_covariates
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.quality import measured
from deepSTRF.datasets.response_block import ResponseBlock, has_data
from deepSTRF.metrics.correlation import noise_ceiling_measure

if TYPE_CHECKING:
    from deepSTRF.datasets.neural_dataset import NeuralDataset

__all__ = ["GAP_MS", "Piece", "assign_blocks", "cut_in_blocks", "fold_blocks", "parse_blocks", "uncut_ceiling"]

GAP_MS = 500.0


class Piece(NamedTuple):
    """Where a piece of a stimulus lies, in response bins; those from `start` to `first` warm the model up.

    Parameters
    ----------
    stimulus : int
        Index of the stimulus in the uncut data set.
    block : int
        Number of the block in this stimulus.
    start, first, stop : int
        Begin of the piece, the first bin that counts, and the bin after the last.
    """

    stimulus: int
    block: int
    start: int
    first: int
    stop: int


def cut_in_blocks(source: NeuralDataset, n_blocks: int, gap_ms: float = GAP_MS) -> NeuralDataset:
    """Make the data set that :meth:`NeuralDataset.in_blocks <deepSTRF.datasets.NeuralDataset.in_blocks>` returns."""
    n_blocks = check_integer("n_blocks", n_blocks)
    gap = max(1, round(check_positive("gap_ms", gap_ms) / source.dt))
    if source.uncut is not None:
        raise ValueError("this data set is cut in blocks already; cut the whole one, its attribute `uncut`")
    if n_blocks < 2:
        raise ValueError(f"n_blocks must be at least 2, got {n_blocks}")
    heard = source.nrn_masks.any(1)
    stimuli = [s for s in (range(source.get_S()) if source.S_sel is None else source.S_sel) if bool(heard[s])]
    if not stimuli:
        raise ValueError(f"there is nothing to cut in blocks: {source._why_empty()}")
    uncut = source.subset(stimuli)
    blocks = list(uncut._packed().blocks())
    pieces = []
    for s, block in enumerate(blocks):
        _check_fits(s, block.n_bins, n_blocks, gap, source.dt)
        edges = [k * block.n_bins // n_blocks for k in range(n_blocks + 1)]
        pieces += [
            Piece(s, k, edges[k], edges[k] + (gap if k else 0), edges[k + 1]) for k in range(n_blocks)
        ]  # no stimulus comes before the first block, so that it needs no gap
    cut = uncut._shallow_copy(PackedResponses([_part(blocks[p.stimulus], p) for p in pieces], uncut.N_neurons))
    cut.stims = [_cut_stimulus(uncut.stims[p.stimulus], p, blocks[p.stimulus].n_bins) for p in pieces]
    cut.stim_meta = [
        {**as_dict(uncut.stim_meta[p.stimulus]), "stimulus": stimuli[p.stimulus], "block": p.block, "start": p.first,
         "stop": p.stop, "warm_up": p.first - p.start} for p in pieces
    ]  # fmt: skip
    cut.covariates = cut_covariates(uncut.covariates, [(p.stimulus, slice(p.start, p.stop)) for p in pieces])
    cut.uncut = uncut
    cut._block_copy_attrs(uncut, pieces)
    return cut


def _check_fits(stimulus: int, n_bins: int, n_blocks: int, gap: int, dt: float) -> None:
    if n_bins // n_blocks >= 2 * gap:
        return
    most, longest = n_bins // (2 * gap), n_bins // n_blocks // 2
    smaller = f"{longest * dt:g}"
    fits = [f"at most {most} blocks with this gap ('blocks:{most}:{gap * dt:g}')"] if most > 2 else []
    fits += [f"a gap of at most {smaller} ms with {n_blocks} blocks ('blocks:{n_blocks}:{smaller}')"] if longest else []
    raise ValueError(
        f"stimulus {stimulus} has {n_bins} bins ({n_bins * dt:g} ms): {n_blocks} blocks of it would be shorter than "
        f"two gaps of {gap * dt:g} ms; what fits: {' or '.join(fits) or 'nothing, it is too short'}"
    )


def _part(block: ResponseBlock, piece: Piece) -> ResponseBlock:
    """The responses to a piece, NaN where the model warms up."""
    values = block.values[..., piece.start : piece.stop]
    if piece.first > piece.start:
        values = values.clone()
        values[..., : piece.first - piece.start] = torch.nan
    heard = has_data(values)
    if heard.all():
        return ResponseBlock(values, block.neurons, block.repeats)
    kept = values[torch.from_numpy(heard).to(values.device)]
    return ResponseBlock(kept if len(kept) else torch.empty(0, 0, 0), block.neurons[heard], block.repeats[heard])


def _cut_stimulus(stim: Tensor, piece: Piece, n_bins: int) -> Tensor:
    samples = stim.shape[-1] // n_bins  # 1, or those of a waveform in a bin
    if samples * n_bins != stim.shape[-1]:
        raise ValueError(
            f"stimulus {piece.stimulus} has {stim.shape[-1]} samples and {n_bins} response bins; to be cut, it needs a "
            "whole number of samples per bin"
        )
    return stim[..., piece.start * samples : piece.stop * samples]


def parse_blocks(protocol: Any) -> tuple[int, float] | None:
    """Number of blocks and gap in ms of ``"blocks:B"`` or ``"blocks:B:GAP"``; None for any other protocol.

    Examples
    --------
    >>> parse_blocks("blocks:5"), parse_blocks("blocks:4:250"), parse_blocks("holdout:2")
    ((5, 500.0), (4, 250.0), None)
    """
    kind, *numbers = str(protocol).split(":")
    if kind != "blocks":
        return None
    try:
        n_blocks, gap_ms = int(numbers[0]), float(numbers[1]) if len(numbers) > 1 else GAP_MS
        if len(numbers) > 2 or not 3 <= n_blocks < 10**9 or not 0 < gap_ms < float("inf"):
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(
            "expected 'blocks:B' or 'blocks:B:GAP', with at least 3 blocks (to train, validate and test) and a gap in "
            f"ms, got {protocol!r}"
        ) from None
    return n_blocks, gap_ms


def assign_blocks(cut: NeuralDataset, n_blocks: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Stimuli of a data set in blocks that train, validate and test: the middle block of each tests, that before
    validates.
    """
    return _parts_of_block(cut, n_blocks // 2, n_blocks // 2 - 1)


def fold_blocks(cut: NeuralDataset, n_blocks: int) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Each block of all stimuli is the test part once, and the next one (the first after the last) validates."""
    return [_parts_of_block(cut, test, (test + 1) % n_blocks) for test in range(n_blocks)]


def _parts_of_block(
    cut: NeuralDataset, test: int, val: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    blocks = [meta["block"] for meta in cut.stim_meta]
    return (
        tuple(i for i, block in enumerate(blocks) if block not in (val, test)),
        tuple(i for i, block in enumerate(blocks) if block == val),
        tuple(i for i, block in enumerate(blocks) if block == test),
    )


def uncut_ceiling(cut: NeuralDataset, signal_power: str = "per_stimulus") -> Float[Tensor, " N"]:
    """Noise ceilings of the selected neurons, measured on the recording that a data set in blocks was cut from.

    The signal power of short blocks leaves out what changes slowly, so that their own ceilings would depend on where
    the recording is cut.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.datasets import NeuralDataset
    >>> response = torch.sin(torch.arange(900) / 50).expand(1, 2, 900)
    >>> ds = NeuralDataset.from_arrays([torch.rand(4, 900)], [response], dt_ms=5.0)
    >>> uncut_ceiling(ds.in_blocks(3, gap_ms=100))
    tensor([1.])
    """
    (ceilings,) = measured(cut.uncut._packed().blocks(), cut.N_neurons, noise_ceiling_measure(signal_power))
    return ceilings.float()[torch.from_numpy(cut._selection().neurons)]
