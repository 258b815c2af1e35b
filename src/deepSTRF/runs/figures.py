"""The figures of a run, drawn by :mod:`deepSTRF.plotting` from its arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepSTRF import plotting
from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.plotting.movies import strongest_pixel

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
    strfs: Tensor | None,
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
    strfs : Tensor, (N, F, T) or (N, [C,] H, W, T), optional
        Receptive fields, red excites; None for a model of waveforms, whose fields are over features that it learnt.
    recovery : Tensor, (N,), optional
        Correlation with the true receptive fields, for simulated data.
    """
    frequencies = getattr(test, "frequencies_hz", None)
    if strfs is not None and isinstance(test, VideoNeuralDataset):
        strfs = _strongest_channel(strfs)
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
            figures[f"neuron_{label}"] = _neuron_figure(label, neuron, names[neuron], test, predictions, scores, strfs)
        if strfs is not None:
            figures["strfs"] = _strf_figure(ranked[:BEST_STRFS], strfs, names, test, scores)
    shown = [] if recovery is None else [n for n in ranked if bool(recovery[n].isfinite())][:RECOVERED_STRFS]
    if recovery is not None and strfs is not None and shown:
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


def _strf_figure(
    best: Sequence[int], strfs: Tensor, names: Sequence[str], test: NeuralDataset, scores: Mapping[str, Tensor]
) -> Any:
    fields = [strfs[n] for n in best]
    titles = [f"{names[n]}, cc {float(scores['cc'][n]):.2f}" for n in best]
    suptitle = "Receptive fields of the best neurons (red excites)"
    if isinstance(test, VideoNeuralDataset):
        return plotting.plot_movie_fields(fields, titles, test.dt, suptitle=suptitle)[0]
    frequencies = getattr(test, "frequencies_hz", None)
    return plotting.plot_strf_grid(fields, titles, test.dt, suptitle=suptitle, frequencies_hz=frequencies)[0]


def _strongest_channel(fields: Tensor) -> Tensor:
    """Of the fields of movies with several channels, (N, C, H, W, T), that of the channel that matters most."""
    if fields.ndim == 4:
        return fields
    channels = fields.square().sum((2, 3, 4)).nan_to_num(0.0).argmax(1)
    return fields[torch.arange(len(fields)), channels]


def _neuron_figure(
    label: str,
    neuron: int,
    name: str,
    test: NeuralDataset,
    predictions: Sequence[Tensor],
    scores: Mapping[str, Tensor],
    strfs: Tensor | None,
) -> Any:
    """The first test stimulus that this neuron heard or saw."""
    s = int(test.nrn_masks[:, neuron].nonzero()[0])
    responses = test.responses[s][neuron]
    stimulus, row = test.stims[s][0], None
    if isinstance(test, VideoNeuralDataset) and strfs is not None:
        row = strongest_pixel(strfs[neuron])[0]
        stimulus = test.stims[s].mean(0)[row]
    figure, axes = plotting.plot_neuron(
        stimulus,
        responses,
        responses.nanmean(0),
        predictions[s][neuron],
        dt_ms=test.dt,
        frequencies_hz=getattr(test, "frequencies_hz", None),
        title=f"{label}: {name}, {test.stim_meta[s].get('name', f'stimulus {s}')}",
        scores={f"test {score}": float(scores[score][neuron]) for score in ("cc", "cc_norm")},
        response_label="response per bin",
    )
    if row is not None:  # the row of the movie that goes through the receptive field
        axes[0].set_ylabel(f"pixel of row {row}")
        axes[0].images[0].set_cmap("gray")
    return figure
