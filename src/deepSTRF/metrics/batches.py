"""What metrics need of a batch: its PSTH and its powers where these suffice, else the responses.

A batch of :func:`~deepSTRF.utils.neural_collate` carries ``'psth'``, ``(B, N, 1, T)``, and ``'statistics'``, the
:class:`~deepSTRF.metrics.statistics.Powers` of each stimulus and neuron. Losses, correlations and noise-corrected
scores are formulas on these, so that they cost one repeat. A statistic with a method ``source`` says which of the two
it needs; one without, as of halves of the repeats, asks for ``'responses'``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Num
from torch import Tensor

from deepSTRF.checks import check_choice
from deepSTRF.lazy import LazyDict
from deepSTRF.metrics._arguments import REDUCTIONS, Mask, Pred, Recorded, Score, result_dtype
from deepSTRF.metrics.blocks import blocks
from deepSTRF.metrics.statistics import Measure, Part, Powers, Statistic, collect, join_neurons

__all__ = ["carries_statistics", "powers_of_stimuli", "score", "statistics_of", "target_of"]


@torch.no_grad()
def powers_of_stimuli(responses: Num[Tensor, "B N R T"]) -> Powers:
    """Signal and noise power of each stimulus by itself, in one pass over the responses.

    Parameters
    ----------
    responses : Tensor
        ``(B, N, R, T)``; NaN where missing. It is not checked here.

    Returns
    -------
    Powers
        Of ``(B, N)`` float64 tensors; ``pool()`` joins the stimuli.

    Examples
    --------
    >>> import torch
    >>> powers = powers_of_stimuli(torch.tensor([[[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]]]))
    >>> (powers.signal / powers.weight).float(), (powers.noise / powers.weight).float()
    (tensor([[1.]]), tensor([[0.]]))
    """
    groups = [join_neurons(tuple(Powers.of(block) for block in group)) for group in blocks(responses)]
    return Powers(*(torch.cat(fields) for fields in zip(*groups, strict=True)))


def carries_statistics(batch: Mapping[str, Any]) -> bool:
    """Whether ``'psth'`` and ``'statistics'`` of a batch are ours, and those of its responses.

    They are not once responses were assigned or written to, nor in a plain dict that has responses too: ``{**batch}``
    with others in their place looks the same.
    """
    if "psth" not in batch:
        return False
    if "responses" in batch:
        return isinstance(batch, LazyDict) and batch.is_as_made("responses")
    return isinstance(batch, LazyDict) or isinstance(batch.get("statistics"), Powers)


def target_of(recorded: Any, mask: Any = None) -> Any:
    """What a prediction is compared with: the PSTH that a batch carries, or responses, if there is a mask or no PSTH.

    Anything but a mapping is returned as it is.

    Raises
    ------
    ValueError
        If a batch has neither.
    """
    if not isinstance(recorded, Mapping):
        return recorded
    if mask is None and carries_statistics(recorded):
        return recorded["psth"]
    if "responses" not in recorded:
        raise ValueError(
            f"a batch needs 'responses', but has {sorted(map(str, recorded))}; collate it by neural_collate"
        )
    return recorded["responses"]


def statistics_of(
    parts: tuple[Part, ...], recorded: Recorded, pred: Pred | None = None, mask: Mask | None = None
) -> tuple[Statistic, ...]:
    """Compute statistics of responses, as :func:`~deepSTRF.metrics.statistics.collect`, or of a batch.

    Parameters
    ----------
    parts, pred, mask
        As in :func:`~deepSTRF.metrics.statistics.collect`.
    recorded : Tensor or mapping
        ``(B, N, R, T)`` responses, or a batch, whose ``'responses'`` are read only if a part needs them.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.metrics.blocks import average_repeats
    >>> from deepSTRF.metrics.correlation import normalized_corrcoef_measure
    >>> pred, responses = torch.rand(2, 3, 1, 50), torch.rand(2, 3, 4, 50)
    >>> batch = {"psth": average_repeats(responses), "statistics": powers_of_stimuli(responses)}
    >>> measure = normalized_corrcoef_measure("schoppe")
    >>> of_batch, of_responses = (measure.compute(*statistics_of(measure.parts, r, pred)) for r in (batch, responses))
    >>> torch.allclose(of_batch, of_responses, equal_nan=True)
    True
    """
    if not isinstance(recorded, Mapping):
        return collect(parts, recorded, pred, mask)
    if mask is not None or not carries_statistics(recorded):
        return collect(parts, target_of(recorded, mask), pred, mask)
    found: dict[Part, Statistic] = {}
    for source in ("psth", "responses"):
        own = tuple(part for part in parts if _source(part) == source)
        if own:
            found.update(zip(own, collect(own, recorded[source], pred), strict=True))
    return tuple(recorded["statistics"].pool() if _source(part) == "statistics" else found[part] for part in parts)


def _source(part: Part) -> str:
    """The entry of a batch that a part is computed from."""
    kind: Any = getattr(getattr(part, "func", part), "__self__", None)
    return kind.source() if hasattr(kind, "source") else "responses"


def score(
    measure: Measure,
    recorded: Recorded,
    pred: Pred | None = None,
    *,
    mask: Mask | None,
    reduction: str,
    name: str = "responses",
) -> Score:
    """Value of a measure for a batch, after a check of the arguments: the body of every metric without gradients.

    Parameters
    ----------
    measure : Measure
        What to compute.
    recorded, pred, mask, reduction
        Responses or a batch, and the rest as in :func:`~deepSTRF.metrics.corrcoef`.
    name : str
        Name of the responses in error messages.

    Returns
    -------
    Tensor
        ``(N,)`` or a scalar, in the dtype of the data (at least float32).

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.metrics.reliability import SIGNAL_POWER
    >>> score(SIGNAL_POWER, torch.tensor([[[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]]]), mask=None, reduction="none")
    tensor([1.])
    """
    check_choice("reduction", reduction, REDUCTIONS)
    known = target_of(recorded, mask)
    mask = measure.check(pred, known, mask, name)
    value = measure.reduced(reduction, *statistics_of(measure.parts, recorded, pred, mask))
    return value.to(result_dtype(known, *([] if pred is None else [pred])))
