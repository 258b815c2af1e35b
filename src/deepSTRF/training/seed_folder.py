"""What :func:`deepSTRF.training.fit_multi_seed` writes: a folder for each seed, and a summary of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from deepSTRF.files import write_json
from deepSTRF.training.checkpoint import save_state
from deepSTRF.training.loggers.percentiles import summarise

__all__ = ["write_seed", "write_summary"]


def write_seed(
    folder: Path,
    history: Iterable[Mapping[str, Any]],
    scores: Mapping[str, Mapping[str, Any]],
    state: dict[str, Tensor],
) -> None:
    """Write ``history.json``, ``final.json``, ``final_neurons.pt`` and ``best.pt`` of one seed, each atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    save_state(state, folder / "best.pt")
    write_json(folder / "history.json", [_summarised(row) for row in history])
    write_json(folder / "final.json", {part: _summarised(values) for part, values in scores.items()})
    neurons = {
        part: {name: value for name, value in values.items() if _is_per_neuron(value)}
        for part, values in scores.items()
    }
    save_state(neurons, folder / "final_neurons.pt")


def write_summary(
    folder: Path, facts: Mapping[str, Any], arrays: Mapping[str, Tensor], scores: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write ``summary.json`` and ``summary_neurons.pt`` of all seeds, each atomically.

    Parameters
    ----------
    folder : Path
        Where they go.
    facts : dict
        What JSON can hold.
    arrays : dict of Tensor
        ``per_seed_...`` (seeds, N), ``mean_...`` and ``std_...`` (N,).
    scores : dict of dict
        Those of any seed, which show what is a single number and what has one per neuron.
    """
    scalars = {
        f"{kind}_{part}_{name}"
        for part, values in scores.items()
        for name, value in values.items()
        if not _is_per_neuron(value)
        for kind in ("per_seed", "mean", "std")
    }
    entries: dict[str, Any] = {}
    for name, values in arrays.items():
        short = float if name in scalars else summarise
        entries[name] = [short(row) for row in values] if name.startswith("per_seed_") else short(values)
    save_state({name: values for name, values in arrays.items() if name not in scalars}, folder / "summary_neurons.pt")
    write_json(folder / "summary.json", {**facts, **entries})


def _is_per_neuron(value: Any) -> bool:
    """Whether a score has an axis for the neurons."""
    return isinstance(value, Tensor) and value.ndim > 0


def _summarised(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: summarise(value) for name, value in values.items()}
