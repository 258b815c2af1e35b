"""What a reader of the scores must know: plain sentences with names and numbers, each said once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from deepSTRF.checks import counted
from deepSTRF.datasets.metadata import as_dict
from deepSTRF.runs.late_stimulus import late_correlations
from deepSTRF.runs.recording import Recording

__all__ = ["run_notes"]

_NAMED = 8  # neurons that a note names; all of them are in neurons.csv
_LATE, _SHARE_OF_LATE = 0.1, 0.25  # correlation with residuals, and the share of neurons, that chance does not reach
_FLAT = 1e-6  # range of a prediction relative to its size, below which it is rounding
_FAR = 10.0  # standard deviations between the mean of the stimuli and zero
_ABOVE_CEILING = 1.05  # cc_norm in training; a little above 1 a ceiling is by chance
_SECONDS = 0.1  # ms: nobody bins responses as finely
_PARTS = {"train": "training", "val": "validation", "test": "test"}
_PARTS_OF_FOLDS = {"train": "the fit to everything", "val": "validation", "test": "the folds"}

Scores = Mapping[str, Mapping[str, Tensor]]


def run_notes(
    scores: Scores, predictions: Sequence[Tensor] | Mapping[str, Sequence[Tensor]], recording: Recording, model: Any
) -> list[str]:
    """Say what is behind undefined, missing or doubtful scores, and what looks wrong with the recording.

    Parameters
    ----------
    scores : dict of str to dict of str to Tensor
        Part and score to the value of each neuron, from :func:`deepSTRF.runs.scores.score_parts`.
    predictions : sequence of Tensor, or dict of str to such
        Per stimulus of the recording ``(N, T_s)``; with folds, those of each part.
    recording : Recording
        What was fitted.
    model : torch.nn.Module
        Its ``T`` and ``ridge_at_edge`` are read, where it has them.

    Returns
    -------
    list of str
        Empty where there is nothing to say.
    """
    names = [str(as_dict(meta).get("cell_id", "") or n) for n, meta in enumerate(recording.dataset.nrn_meta)]
    of_parts = predictions if isinstance(predictions, Mapping) else dict.fromkeys(scores, predictions)
    return [
        *_about_selection(recording),
        *_about_undefined(scores, of_parts, recording, names),
        *_about_single_trials(_recorded(scores, recording), names, recording),
        *_about_fit(scores, model, names),
        *_about_window(of_parts["test"], recording, model, names),
        *_about_stimuli(recording, model),
    ]


def _about_selection(recording: Recording) -> Iterable[str]:
    """How many of how many neurons and stimuli the scores are over."""
    selected = recording.selected
    if selected is None:
        return
    stimuli = len(selected.stimuli) < selected.of_stimuli
    yield (
        f"selected: {len(selected.neurons)} of {selected.of_neurons} neurons"
        f"{f' and {len(selected.stimuli)} of {selected.of_stimuli} stimuli' if stimuli else ''}"
    )
    if selected.measured:
        yield (
            f"{', '.join(selected.measured)} {'was' if len(selected.measured) == 1 else 'were'} measured on all "
            f"{'selected ' if stimuli else ''}stimuli, those of the test too"
        )


def _recorded(scores: Scores, recording: Recording) -> Scores:
    """The parts that differ in their data: with folds, each of them is everything."""
    return {"test": scores["test"]} if recording.folds else scores


def _about_undefined(
    scores: Scores, predictions: Mapping[str, Sequence[Tensor]], recording: Recording, names: Sequence[str]
) -> Iterable[str]:
    """Which neurons leave which mean, and why; the first reason counts."""
    absent = {part: values["n_repeats"] == 0 for part, values in scores.items()}
    for neurons, parts in _grouped({part: absent[part] for part in _recorded(scores, recording)}, recording):
        yield f"no data in {parts} for {_named(neurons, names)}: left out"
    undefined = {part: _is_undefined(predictions[part], recording) for part in scores}
    for neurons, parts in _grouped(undefined, recording) if recording.folds else _everywhere(undefined["test"]):
        where = f" in {parts}" if parts else ""
        yield f"the prediction is NaN or infinite for {_named(neurons, names)}{where}: left out of cc and cc_norm"
    flat = {
        part: _is_constant([predictions[part][s] for s in recording.indices[part]]) & ~absent[part]
        for part in scores
        if recording.indices[part]
    }
    for neurons, parts in _grouped(flat, recording):
        yield f"the prediction is constant for {_named(neurons, names)} in {parts}: left out of cc and cc_norm"
    yield from _about_flat_folds(flat["test"] | absent["test"] | undefined["test"], predictions, recording, names)
    lost = {
        part: ~values["cc"].isfinite() & ~absent[part] & ~undefined[part] & ~flat.get(part, undefined[part])
        for part, values in scores.items()
    }
    for neurons, parts in _grouped(lost, recording):
        yield f"the response is constant for {_named(neurons, names)} in {parts}: left out of cc and cc_norm"
    noise = {
        part: ~values["cc_norm"].isfinite() & values["cc"].isfinite() & (values["n_repeats"] > 1)
        for part, values in scores.items()
    }
    for neurons, parts in _grouped({part: noise[part] for part in _recorded(scores, recording)}, recording):
        yield f"no signal is common to the repeats of {_named(neurons, names)} in {parts}: left out of cc_norm"


def _about_flat_folds(
    named: Bool[Tensor, " N"], predictions: Mapping[str, Sequence[Tensor]], recording: Recording, names: Sequence[str]
) -> Iterable[str]:
    """A model that predicts a constant in its fold: pooled with others it has a score, of the folds' means."""
    for k, fold in enumerate(recording.folds):
        flat = _is_constant([predictions["test"][s] for s in fold.test]) & ~named
        if flat.any():
            yield f"the prediction is constant for {_named(flat, names)} in fold {k + 1} of {len(recording.folds)}"


def _is_undefined(predictions: Sequence[Tensor], recording: Recording) -> Bool[Tensor, " N"]:
    """NaN or infinite for any stimulus that a neuron heard; others are not predicted in folds."""
    heard = recording.dataset.nrn_masks.any(1).tolist()
    return torch.stack(
        [~p.isfinite().all(1) for p, was_heard in zip(predictions, heard, strict=True) if was_heard]
    ).any(0)


def _is_constant(predictions: Sequence[Tensor]) -> Bool[Tensor, " N"]:
    extremes = [own.aminmax(dim=1) for own in predictions if own.shape[1]]
    lowest = torch.stack([own.min for own in extremes]).amin(0).double()  # NaN stays, and is no constant
    highest = torch.stack([own.max for own in extremes]).amax(0).double()
    return highest - lowest <= _FLAT * torch.maximum(lowest.abs(), highest.abs())


def _about_single_trials(scores: Scores, names: Sequence[str], recording: Recording) -> Iterable[str]:
    for neurons, parts in _grouped({part: values["n_repeats"] == 1 for part, values in scores.items()}, recording):
        yield f"single trials only in {parts} for {_named(neurons, names)}: no noise ceiling, left out of cc_norm"


def _about_fit(scores: Scores, model: Any, names: Sequence[str]) -> Iterable[str]:
    at_edge = getattr(model, "ridge_at_edge", None)
    if at_edge is not None and bool(at_edge.any()):
        yield (
            f"the best penalty lies at an end of the grid for {_named(at_edge, names, model.ridge_alpha)}; "
            "at 1e4 nothing linear predicts a neuron better than its mean"
        )
    n_basis, n_lags = getattr(model, "ridge_n_basis", None), getattr(model, "T", 1)
    if n_basis is not None and n_basis < n_lags:
        yield f"the kernels are made of {n_basis} raised cosines in time, not of a weight for each of {n_lags} bins"
    train = scores["train"]["cc_norm"]
    above = (train > _ABOVE_CEILING) & (scores["train"]["n_repeats"] > 1)
    if above.any():
        yield (
            f"cc_norm in training is clearly above 1 for {_named(above, names, train, '.3f')}: the model has learnt "
            "the noise of these responses, or their signal is too small to be estimated"
        )


def _about_window(
    predictions: Sequence[Tensor], recording: Recording, model: Any, names: Sequence[str]
) -> Iterable[str]:
    """Whether responses follow the stimulus for longer than the model looks back."""
    window, dataset = getattr(model, "T", 1), recording.dataset
    if dataset.stims[0].ndim != 3 or window == 1:  # movies and waveforms; models whose memory is a state
        return
    late = late_correlations(dataset, predictions, window)
    clear = late > _LATE
    if clear.sum() >= _SHARE_OF_LATE * late.isfinite().sum() > 0:
        span = window * dataset.dt
        yield (
            f"the stimulus {span:g} to {2 * span:g} ms before a bin, beyond the window, still predicts what the model "
            f"does not, for {_named(clear, names, late, '.2f')}: with a window of {2 * span:g} ms they should be "
            "predicted better"
        )


def _about_stimuli(recording: Recording, model: Any) -> Iterable[str]:
    dataset = recording.dataset
    statistics = getattr(dataset, "stim_normalization", {})
    mean, spread = (float(torch.as_tensor(statistics.get(name, 0.0)).mean()) for name in ("mean", "std"))
    if spread > 0 and abs(mean) > _FAR * spread:
        yield (
            f"the training stimuli have mean {mean:.4g} and standard deviation {spread:.4g}: they hardly vary; "
            "the mean was subtracted before fitting"
        )
    mixed = sum(as_dict(meta).get("channels", 1) != 1 for meta in dataset.stim_meta)
    if mixed and getattr(dataset, "spectrogram", None) is not None:
        which = "the sounds" if mixed == len(dataset.stim_meta) else f"{mixed} of {len(dataset.stim_meta)} sounds"
        yield f"{which} have several channels: the mean of them was used"
    window, lengths = getattr(model, "T", 1), [length for length in recording.bins if length]
    shorter = [length for length in lengths if length < window]
    if shorter:
        yield (
            f"the window of {window * dataset.dt:g} ms is longer than {len(shorter)} of "
            f"{counted(len(lengths), 'stimulus', 'stimuli')}; the "
            f"shortest has {min(shorter) * dataset.dt:g} ms"
        )
    if dataset.dt < _SECONDS:
        yield f"the bins are {dataset.dt:g} ms wide: was dt_ms given in seconds?"


def _everywhere(neurons: Tensor) -> Iterable[tuple[Tensor, str]]:
    return [(neurons, "")] if bool(neurons.any()) else []


def _grouped(neurons: Mapping[str, Tensor], recording: Recording) -> Iterable[tuple[Tensor, str]]:
    """The same neurons in several parts are one sentence."""
    called = _PARTS_OF_FOLDS if recording.folds else _PARTS
    left = {part: mask for part, mask in neurons.items() if bool(mask.any())}
    while left:
        mask = next(iter(left.values()))
        same = [part for part, other in left.items() if torch.equal(mask, other)]
        left = {part: other for part, other in left.items() if part not in same}
        yield mask, " and ".join(called.get(part, part) for part in same)


def _named(neurons: Tensor, names: Sequence[str], values: Tensor | None = None, form: str = ".3g") -> str:
    """``2 of 40 neurons (7, 12)``; with a number each where there are `values`."""
    chosen = neurons.nonzero()[:, 0].tolist()
    shown = [names[n] + ("" if values is None else f": {float(values[n]):{form}}") for n in chosen[:_NAMED]]
    more = ", ..." if len(chosen) > _NAMED else ""
    return f"{len(chosen)} of {counted(len(neurons), 'neuron')} ({', '.join(shown)}{more})"
