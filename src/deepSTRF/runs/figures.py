"""The figures of a run, drawn by :mod:`deepSTRF.plotting` from its arrays.

matplotlib is imported by the functions that draw: a run begins half a second earlier without it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepSTRF.datasets.metadata import as_dict
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.runs.run import Run, RunResult
from deepSTRF.training.loggers import read_jsonl
from deepSTRF.training.recipes import monitor_mode

__all__ = ["draw_figures"]

DPI = 150
BEST_STRFS = 12
RECOVERED_STRFS = 8
LONGEST_NAME = 12
NOTE_SIZE, NOTE_LINE, NOTE_WIDTH = 5.5, 0.1, 85  # points, inches of a line, letters of a line


def draw_figures(run: Run, result: RunResult) -> list[Path]:
    """Write the PNGs of a run into its folder and return their paths.

    Learning curves are drawn for two epochs or more, with folds a line for each; receptive fields and neurons where a
    test score is defined.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from deepSTRF import plotting

    test, scores = run.recording.parts["test"], result.scores["test"]
    strfs = one_channel(result.strfs)
    names = [short_name(n, meta) for n, meta in enumerate(test.nrn_meta)]
    figures: dict[str, Any] = {}
    if run.recording.folds and run.settings is not None:  # what is trained on everything has no validation scores
        histories = [_read_history(run.folder / f"history_fold{k}.jsonl") for k in range(len(run.recording.folds))]
        figures["learning_curves"], _ = plotting.plot_fold_curves(
            histories, monitor=run.monitor, mode=monitor_mode(run.monitor)
        )
    elif len(result.history) > 1:
        figures["learning_curves"], _ = plotting.plot_learning_curves(
            result.history, monitor=run.monitor, mode=monitor_mode(run.monitor)
        )
    figures["cc_vs_ceiling"] = plotting.plot_cc_against_ceiling(
        scores["cc"], scores["ceiling"], single_trial=scores["n_repeats"] == 1
    ).figure
    _write_notes(figures["cc_vs_ceiling"], result.summary["notes"])
    ranked = rank_neurons(scores)
    if ranked:
        chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
        for label, neuron in chosen.items():
            figures[f"neuron_{label}"] = _neuron_figure(run, result, f"{label}: {names[neuron]}", neuron, strfs)
        if strfs is not None:
            figures["strfs"] = _strf_figure(run, scores, names, ranked[:BEST_STRFS], strfs)
    recovery = result.recovery
    shown = [] if recovery is None else [n for n in ranked if bool(recovery[n].isfinite())][:RECOVERED_STRFS]
    if recovery is not None and strfs is not None and shown:
        figures["strf_recovery"], _ = plotting.plot_strf_recovery(
            test.true_strfs[shown],  # type: ignore[attr-defined]
            strfs[shown],
            recovery[shown],
            titles=[names[n] for n in shown],
            dt_ms=test.dt,
            frequencies_hz=getattr(test, "frequencies_hz", None),
        )
    paths = []
    for name, figure in figures.items():
        paths.append(run.folder / f"{name}.png")
        figure.set_dpi(DPI)
        FigureCanvasAgg(figure).print_png(paths[-1], pil_kwargs={"compress_level": 3})  # savefig draws twice
    return paths


def _read_history(path: Path) -> list[dict[str, Any]]:
    """The epochs of a fold, with the mean over neurons of every score."""
    return [
        {name: value.get("mean") if isinstance(value, Mapping) else value for name, value in row.items()}
        for row in read_jsonl(path)
    ]


def _write_notes(figure: Any, notes: Sequence[str]) -> None:
    """Small text below the panel, for which the figure grows."""
    lines = [line for note in notes for line in textwrap.wrap(note, NOTE_WIDTH, subsequent_indent="   ")]
    if lines:
        figure.set_figheight(figure.get_figheight() + NOTE_LINE * len(lines))
        figure.supxlabel("\n".join(lines), x=0.02, ha="left", fontsize=NOTE_SIZE)


def ranking_score(scores: Mapping[str, Tensor]) -> str:
    """``"cc_norm"`` where it is a noise-corrected score of any neuron, else ``"cc"``."""
    corrected = scores["cc_norm"].isfinite() & (scores["n_repeats"] > 1)
    return "cc_norm" if bool(corrected.any()) else "cc"


def rank_neurons(scores: Mapping[str, Tensor]) -> list[int]:
    """Neurons with a defined :func:`ranking_score`, best first."""
    name = ranking_score(scores)
    key = scores[name]
    defined = key.isfinite() & (scores["n_repeats"] > 1) if name == "cc_norm" else key.isfinite()
    order = torch.argsort(torch.where(defined, key, -torch.inf), descending=True).tolist()
    return order[: int(defined.sum())]


def short_name(neuron: int, meta: Any) -> str:
    """The cell id where it fits a title, otherwise the neuron's row in ``neurons.csv``."""
    name = str(as_dict(meta).get("cell_id", ""))
    return name if 0 < len(name) <= LONGEST_NAME else f"neuron {neuron}"


def _strf_figure(
    run: Run, scores: Mapping[str, Tensor], names: Sequence[str], best: Sequence[int], strfs: Tensor
) -> Any:
    from deepSTRF import plotting

    test = run.recording.parts["test"]
    fields = [strfs[n] for n in best]
    score = ranking_score(scores)  # titled by what they are sorted by
    titles = [f"{names[n]}, {score} {float(scores[score][n]):.2f}" for n in best]
    suptitle = "Receptive fields of the best neurons" + ("" if fields[0].shape[0] == 1 else " (red excites)")
    if isinstance(test, VideoNeuralDataset):
        return plotting.plot_movie_fields(fields, titles, test.dt, suptitle=suptitle)[0]
    frequencies = getattr(test, "frequencies_hz", None)
    return plotting.plot_strf_grid(fields, titles, test.dt, suptitle=suptitle, frequencies_hz=frequencies)[0]


def one_channel(fields: Tensor | None) -> Tensor | None:
    """Of the fields of movies with several channels, (N, C, H, W, T), that of the channel that matters most."""
    if fields is None or fields.ndim < 5:
        return fields
    channels = fields.square().sum((2, 3, 4)).nan_to_num(0.0).argmax(1)
    return fields[torch.arange(len(fields)), channels]


def _neuron_figure(run: Run, result: RunResult, name: str, neuron: int, strfs: Tensor | None) -> Any:
    """The first test stimulus that this neuron heard or saw."""
    from deepSTRF.plotting import movies, plot_neuron

    test, scores = run.recording.parts["test"], result.scores["test"]
    s = int(test.nrn_masks[:, neuron].nonzero()[0])
    of_recording = run.recording.indices["test"][s]
    responses = test.responses[s][neuron]
    stimulus, row = test.stims[s][0], None
    if isinstance(test, VideoNeuralDataset) and strfs is not None:
        row = movies.strongest_pixel(strfs[neuron])[0]
        stimulus = test.stims[s].mean(0)[row]
    figure, axes = plot_neuron(
        stimulus,
        responses,
        responses.nanmean(0),
        result.predictions[of_recording][neuron],
        dt_ms=test.dt,
        frequencies_hz=getattr(test, "frequencies_hz", None),
        title=f"{name}, {as_dict(test.stim_meta[s]).get('name', f'stimulus {s}')}",
        scores={
            f"test {score}": float(scores[score][neuron])
            for score in ("cc", "cc_norm")
            if bool(scores[score][neuron].isfinite())
        },
        response_label="response per bin",
        spread=result.spread[of_recording][neuron] if result.spread else None,
    )
    if row is not None:  # the row of the movie that goes through the receptive field
        axes[0].set_ylabel(f"pixel of row {row}")
        for image in axes[0].images:  # none for a movie that is one pixel wide
            image.set_cmap("gray")
    return figure
