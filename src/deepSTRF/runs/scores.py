"""Predictions and scores of a fitted model on the parts of a recording."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.blocks import uncut_ceiling
from deepSTRF.datasets.quality import measured
from deepSTRF.metrics.correlation import CORRCOEF, noise_ceiling_measure, normalized_corrcoef_measure
from deepSTRF.metrics.statistics import Measure, Powers
from deepSTRF.models.bin_by_bin import predict_in_pieces
from deepSTRF.models.wav2spec.base import check_grid
from deepSTRF.modes import evaluating
from deepSTRF.training.members import apart, joined

__all__ = ["Spread", "predict", "predict_stimuli", "score_part", "score_parts", "summarise"]

PARTS = ("train", "val", "test")
_REPEATS = Measure((Powers.of,), lambda powers: powers.repeats, of_responses=True)

Spread = list[Tensor]


def predict(
    model: nn.Module, dataset: NeuralDataset, device: str | torch.device = "cpu", spread: Spread | None = None
) -> list[Tensor]:
    """Predicted responses to every stimulus, one at a time, in eval mode.

    To the list `spread` is added, per stimulus, the standard deviation ``(N, T_s)`` over the members of an ensemble.

    Returns
    -------
    list of Tensor
        Per stimulus ``(N, T_s)`` on the CPU.

    Raises
    ------
    ValueError
        If the front end of the model is for sounds of another sampling rate, or for other bins.
    """
    if getattr(dataset, "return_waveform", False):
        check_grid(getattr(model, "wav2spec", None), dataset.audio_fs, dataset.dt)  # type: ignore[attr-defined]
    return predict_stimuli(model, dataset.stims, device, spread)


def predict_stimuli(
    model: nn.Module, stims: Sequence[Tensor], device: str | torch.device = "cpu", spread: Spread | None = None
) -> list[Tensor]:
    """As :func:`predict`, for stimuli that are standardised as those of the data set are."""
    model.to(device)
    predictions = []
    with evaluating(model), torch.no_grad(), apart(model):
        for stim in stims:
            each = predict_in_pieces(model, stim[None].to(device))
            predictions.append(joined(each)[0, :, 0].cpu())
            if spread is not None and each.ndim == 5:
                spread.append(each.std(0)[0, :, 0].cpu())
    return predictions


def score_part(predictions: Sequence[Tensor], part: NeuralDataset, *, concatenated: bool = False) -> dict[str, Tensor]:
    """Scores of every neuron on one part of the recording.

    Parameters
    ----------
    predictions : sequence of Tensor
        Per stimulus of `part`, ``(N, T_s)``.
    part : NeuralDataset
        What was recorded.
    concatenated : bool
        Also ``cc_norm_concatenated``, which takes the signal power of the responses to all stimuli in a row.

    Returns
    -------
    dict of str to Tensor, each (N,)
        ``cc``: correlation with the PSTH; ``cc_norm``: the same divided by the noise ceiling; ``ceiling``: sqrt(signal
        power / variance of the PSTH); ``n_repeats``: the most repeats of any stimulus. A neuron with single trials has
        neither ``cc_norm`` nor a ceiling. For blocks of time the ceiling is that of the uncut recording.
    """
    conventions = {"cc_norm": "per_stimulus"} | ({"cc_norm_concatenated": "concatenated"} if concatenated else {})
    normalized = [normalized_corrcoef_measure("schoppe", power) for power in conventions.values()]
    cc, ceiling, repeats, *values = (
        value.float()
        for value in measured(
            part._packed().blocks(), part.N_neurons, CORRCOEF, noise_ceiling_measure(), _REPEATS, *normalized,
            predictions=predictions,
        )
    )  # fmt: skip
    n_repeats = repeats.nan_to_num(nan=0.0).long()
    if part.uncut is not None:
        values = [cc / uncut_ceiling(part, power) for power in conventions.values()]
        ceiling = uncut_ceiling(part)
    several = {
        name: torch.where(n_repeats > 1, value, math.nan) for name, value in zip(conventions, values, strict=True)
    }
    return {"cc": cc, **several, "ceiling": ceiling, "n_repeats": n_repeats}


def score_parts(
    predictions: Sequence[Tensor] | Mapping[str, Sequence[Tensor]],
    indices: Mapping[str, Sequence[int]],
    parts: Mapping[str, NeuralDataset],
) -> dict[str, dict[str, Tensor]]:
    """Scores of every part, from the predictions for all stimuli of the recording; with folds, those of each part.

    Those of the test have ``cc_norm`` by both conventions.
    """
    of = predictions if isinstance(predictions, Mapping) else dict.fromkeys(PARTS, predictions)
    return {
        name: score_part([of[name][s] for s in indices[name]], parts[name], concatenated=name == "test")
        for name in PARTS
    }


def summarise(scores: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Any]]:
    """Mean, median and number of defined neurons of every score of every part.

    Neurons with single trials have no noise correction; they don't enter the summary of ``cc_norm``.
    """
    summary: dict[str, dict[str, Any]] = {}
    for part, values in scores.items():
        repeated = values["n_repeats"] > 1
        summary[part] = {"single_trial_neurons": int((values["n_repeats"] == 1).sum())}
        for name in ("cc", "cc_norm", "ceiling"):
            value = values[name].double()
            kept = value[repeated & value.isfinite()] if name == "cc_norm" else value[value.isfinite()]
            summary[part][name] = {
                "mean": float(kept.mean()) if len(kept) else math.nan,
                "median": float(kept.quantile(0.5)) if len(kept) else math.nan,
                "defined": len(kept),
                "all": len(value),
            }
    return summary
