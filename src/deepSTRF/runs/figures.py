"""The figures of a run, drawn by :mod:`deepSTRF.plotting` from its arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepSTRF import plotting
from deepSTRF.datasets import NeuralDataset

__all__ = ["draw_figures"]

BEST_STRFS = 12
RECOVERED_STRFS = 8
LONGEST_NAME = 12


def draw_figures(
    folder: Path,
    *,
    history: Sequence[Mapping[str, Any]],
    monitor: str,
    mode: str,
    test: NeuralDataset,
    predictions: Sequence[Tensor],
    scores: Mapping[str, Tensor],
    strfs: Tensor,
    recovery: Tensor | None,
) -> list[Path]:
    """Write the PNGs of a run into `folder` and return their paths.

    Parameters
    ----------
    folder : Path
        The run folder.
    history : sequence of dict
        The epochs; learning curves are drawn for two or more.
    monitor, mode : str
        What early stopping watched, and whether more of it is better; marks the best epoch.
    test : NeuralDataset
        The test part.
    predictions : sequence of Tensor
        Per test stimulus ``(N, T_s)``.
    scores : dict of str to Tensor
        Test scores of every neuron, of :func:`deepSTRF.runs.scores.score_part`.
    strfs : Tensor, (N, F, T)
        Receptive fields, red excites.
    recovery : Tensor, (N,), optional
        Correlation with the true receptive fields, for simulated data.
    """
    frequencies = getattr(test, "frequencies_hz", None)
    names = [short_name(n, meta) for n, meta in enumerate(test.nrn_meta)]
    figures: dict[str, Any] = {}
    if len(history) > 1:
        figures["learning_curves"], _ = plotting.plot_learning_curves(history, monitor=monitor, mode=mode)
    figures["cc_vs_ceiling"] = plotting.plot_cc_against_ceiling(
        scores["cc"], scores["ceiling"], single_trial=scores["n_repeats"] == 1
    ).figure
    ranked = rank_neurons(scores)
    if ranked:
        chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
        for label, neuron in chosen.items():
            figures[f"neuron_{label}"] = _neuron_figure(label, neuron, names[neuron], test, predictions, scores)
        best = ranked[:BEST_STRFS]
        grid, _ = plotting.plot_strf_grid(
            [strfs[n] for n in best],
            titles=[f"{names[n]}, cc {float(scores['cc'][n]):.2f}" for n in best],
            dt_ms=test.dt,
            frequencies_hz=frequencies,
            suptitle="Receptive fields of the best neurons (red excites)",
        )
        figures["strfs"] = grid
    shown = [] if recovery is None else [n for n in ranked if bool(recovery[n].isfinite())][:RECOVERED_STRFS]
    if recovery is not None and shown:
        figures["strf_recovery"], _ = plotting.plot_strf_recovery(
            test.true_strfs[shown],  # type: ignore[attr-defined]
            strfs[shown],
            recovery[shown],
            titles=[names[n] for n in shown],
            dt_ms=test.dt,
            frequencies_hz=frequencies,
        )
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=150)
    return paths


def rank_neurons(scores: Mapping[str, Tensor]) -> list[int]:
    """Neurons with a defined score, best first: by cc_norm where it is a noise-corrected score, else by cc."""
    corrected = scores["cc_norm"].isfinite() & (scores["n_repeats"] > 1)
    key = scores["cc_norm"] if bool(corrected.any()) else scores["cc"]
    defined = corrected if bool(corrected.any()) else scores["cc"].isfinite()
    order = torch.argsort(torch.where(defined, key, -torch.inf), descending=True).tolist()
    return order[: int(defined.sum())]


def short_name(neuron: int, meta: Mapping[str, Any]) -> str:
    """The cell id where it fits a title, otherwise the neuron's row in ``neurons.csv``."""
    name = str(meta.get("cell_id", ""))
    return name if 0 < len(name) <= LONGEST_NAME else f"neuron {neuron}"


def _neuron_figure(
    label: str,
    neuron: int,
    name: str,
    test: NeuralDataset,
    predictions: Sequence[Tensor],
    scores: Mapping[str, Tensor],
) -> Any:
    """The first test stimulus that this neuron heard."""
    s = int(test.nrn_masks[:, neuron].nonzero()[0])
    responses = test.responses[s][neuron]
    figure, _ = plotting.plot_neuron(
        test.stims[s][0],
        responses,
        responses.nanmean(0),
        predictions[s][neuron],
        dt_ms=test.dt,
        frequencies_hz=getattr(test, "frequencies_hz", None),
        title=f"{label}: {name}, {test.stim_meta[s].get('name', f'stimulus {s}')}",
        scores={f"test {score}": float(scores[score][neuron]) for score in ("cc", "cc_norm")},
        response_label="response per bin",
    )
    return figure
