"""What the streaming metrics have in common; see :mod:`deepSTRF.metrics.streaming`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from deepSTRF.checks import check_choice
from deepSTRF.metrics._arguments import REDUCTIONS, Mask, Pred, Recorded, Score
from deepSTRF.metrics.batches import statistics_of, target_of
from deepSTRF.metrics.statistics import Measure, Part, Statistic, collect


class _Layout(NamedTuple):
    """How a statistic lies in one tensor: torchmetrics reduces states one by one, Chan's merge needs all fields.

    The tensor is ``(fields, N)``, or ``(fields, N, R, R)`` if any field is ``(N, R, R)``; an ``(N,)`` field is then
    repeated over the last two axes. ``axes`` are the numbers of axes of the fields.
    """

    kind: Callable[..., Statistic]
    axes: tuple[int, ...]

    def pack(self, statistic: Statistic) -> Tensor:
        most = max(self.axes)
        fields = [field.reshape(*field.shape, *[1] * (most - field.ndim)) for field in statistic]
        return torch.stack(torch.broadcast_tensors(*fields))

    def unpack(self, state: Tensor, dim: int = 0) -> Statistic:
        most = max(self.axes)
        fields = zip(state.unbind(dim), self.axes, strict=True)
        return self.kind(*(field if axes == most else field[..., 0, 0] for field, axes in fields))

    def pool(self, states: Tensor) -> Tensor:
        """Merge ``(P, fields, N, ...)`` states; the ``dist_reduce_fx`` of torchmetrics."""
        return self.pack(self.unpack(states, dim=1).pool())


def _equal_shapes(states: Sequence[Tensor]) -> list[Tensor]:
    """Make states stackable: leave out those without any neuron, and pad missing repeats with zeros."""
    filled = [state for state in states if state.shape[1] > 0] or list(states[:1])
    neurons = sorted({state.shape[1] for state in filled})
    if len(neurons) > 1:
        raise ValueError(
            f"states to be merged must be of the same neurons, got states of N = {' and '.join(map(str, neurons))}"
        )
    if filled[0].ndim == 2:
        return filled
    repeats = max(state.shape[-1] for state in filled)
    return [pad(state, (0, repeats - state.shape[-1]) * 2) for state in filled]


def _state_name(part: Part) -> str:
    """Name of the state of a part, with its options: a collection lets equally named, equal states become one."""
    function = getattr(part, "func", part)
    options = (f"{key}_{value}" for key, value in sorted(getattr(part, "keywords", {}).items()))
    return "_".join((function.__qualname__, *options)).replace(".", "_")


class StreamingMetric(Metric):
    """Streaming form of a :class:`~deepSTRF.metrics.statistics.Measure`; the base of all streaming metrics.

    Parameters
    ----------
    measure : Measure
        Parts that give NamedTuples of ``(N,)`` or ``(N, R, R)`` float64 tensors, and the formula on them. Parts are
        named functions or classmethods (or ``functools.partial`` of those, with keywords): states are named by them.
    reduction : {'none', 'mean', 'sum'}
        Over the defined neurons, in ``compute``; ``'none'`` gives ``(N,)``.
    **torchmetrics
        Options of ``torchmetrics.Metric``.

    Raises
    ------
    ValueError
        For an unknown reduction or option, or a measure that has the same part twice.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.metrics import ccmax
    >>> from deepSTRF.metrics.reliability import ccmax_measure
    >>> metric = StreamingMetric(ccmax_measure(ccmax_iters=20))
    >>> responses = torch.rand(6, 3, 1, 50) + 0.5 * torch.rand(6, 3, 4, 50)
    >>> for batch in (slice(0, 4), slice(4, 6)):
    ...     metric.update(None, responses[batch])
    >>> torch.allclose(metric.compute(), ccmax(responses, reduction="none", ccmax_iters=20))
    True
    """

    is_differentiable = False
    full_state_update = False  # a state is merged with that of a batch: forward computes the batch's once

    def __init__(self, measure: Measure, reduction: str = "none", **torchmetrics: Any) -> None:
        super().__init__(**torchmetrics)
        check_choice("reduction", reduction, REDUCTIONS)
        self.measure = measure
        self.reduction = reduction
        self._layouts: dict[str, _Layout] = {}
        # a collection must never share the state of the responses alone with a metric whose moments are of a prediction
        prefix = "responses_" if measure.of_responses else ""
        # one neuron without data shows which fields each statistic has
        examples = collect(measure.parts, torch.full((1, 1, 1, 1), torch.nan))
        for part, example in zip(measure.parts, examples, strict=True):
            name = prefix + _state_name(part)
            layout = _Layout(type(example), tuple(field.ndim for field in example))
            if name in self._layouts:
                raise ValueError(f"every part of a measure must be another function, got {name!r} twice")
            self._layouts[name] = layout
            # nothing seen: no neurons yet
            self.add_state(name, layout.pack(example)[:, :0], dist_reduce_fx=layout.pool)

    def update(self, pred: Pred | None, responses: Recorded, mask: Mask | None = None) -> None:
        """Add a batch.

        Parameters
        ----------
        pred : Tensor or None
            ``(B, N, 1, T)`` predictions. A metric of the responses alone does not use them, and takes None too.
        responses : Tensor or dict
            ``(B, N, R, T)`` responses in the same unit, NaN where missing; or a batch that holds them, as for
            :func:`~deepSTRF.metrics.corrcoef`.
        mask : Tensor, optional
            Bool, broadcastable to ``responses``; replaces the not-NaN mask.

        Raises
        ------
        ValueError
            For shapes that do not fit, another number of neurons than before, or data on another device.
        TypeError
            For arguments that are not tensors of real numbers, or a mask that is not bool.
        """
        target = target_of(responses, mask)
        mask = self.measure.check(pred, target, mask, "responses")
        state = self._first_state
        neurons = state.shape[1]
        if neurons not in (0, target.shape[1]):
            raise ValueError(
                f"{type(self).__name__} has seen N = {neurons} neurons, got a batch of N = {target.shape[1]}: "
                f"use one metric for each population, or reset() before the next"
            )
        if target.device != state.device:
            raise ValueError(
                f"{type(self).__name__} is on {state.device} but got responses on {target.device}; "
                f"move it with .to({str(target.device)!r})"
            )
        fresh = statistics_of(self.measure.parts, responses, None if self.measure.of_responses else pred, mask)
        layouts = zip(self._layouts.items(), fresh, strict=True)
        self._reduce_states({name: layout.pack(statistic).to(state.device) for (name, layout), statistic in layouts})

    def compute(self) -> Score:
        """Value of all batches so far, of all processes: ``(N,)`` float32, or a scalar with a reduction.

        Before any batch torchmetrics warns, and the value is that of no neurons: ``(0,)``, or NaN with a reduction.
        """
        layouts = self._layouts.items()
        statistics = (layout.unpack(getattr(self, name)) for name, layout in layouts)
        return self.measure.reduced(self.reduction, *statistics).to(torch.float32)

    @property
    def _first_state(self) -> Tensor:
        return getattr(self, next(iter(self._layouts)))

    @property
    def update_called(self) -> bool:
        """Whether there is something to compute: an added batch, a merged state or a loaded one."""
        return self._first_state.shape[1] > 0

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add what another metric of the same kind, or its ``metric_state``, has seen.

        Raises
        ------
        ValueError
            If it has other options or other neurons.
        """
        super().merge_state(incoming_state)
        self._computed = None  # computed from less

    def sync(
        self,
        dist_sync_fn: Callable[..., Any] | None = None,
        process_group: Any = None,
        should_sync: bool = True,
        distributed_available: Callable[[], bool] | None = None,
    ) -> None:
        """Replace the state by that of all processes, as ``compute`` does by itself; ``unsync`` brings it back.

        Parameters
        ----------
        dist_sync_fn, process_group, should_sync, distributed_available
            As in ``torchmetrics.Metric.sync``.

        Raises
        ------
        ValueError
            If the processes saw different numbers of neurons.
        """
        gather = gather_all_tensors if dist_sync_fn is None else dist_sync_fn

        def gather_equal_shapes(state: Tensor, **keywords: Any) -> list[Tensor]:
            return _equal_shapes(gather(state, **keywords))

        super().sync(gather_equal_shapes, process_group, should_sync, distributed_available)

    def _reduce_states(self, incoming_state: dict[str, Any]) -> None:
        # torchmetrics stacks first and merges then, which needs equal shapes; forward and merge_state come here too
        if incoming_state.keys() != self._layouts.keys():
            raise ValueError(
                f"the state to merge must hold {', '.join(self._layouts)}, got {', '.join(incoming_state)}: "
                f"merge metrics with the same options only"
            )
        merged = {}
        for name, layout in self._layouts.items():
            states = _equal_shapes([incoming_state[name], getattr(self, name)])
            merged[name] = states[0] if len(states) == 1 else layout.pool(torch.stack(states))
        for name, state in merged.items():
            setattr(self, name, state)

    def _wrap_compute(self, compute: Callable[..., Any]) -> Callable[..., Any]:
        # torchmetrics makes a scalar of every single number; a population of one neuron keeps its axis here
        squeezing = super()._wrap_compute(compute)

        @functools.wraps(compute)
        def keeping_neurons(*args: Any, **kwargs: Any) -> Tensor:
            value = squeezing(*args, **kwargs)
            return value.reshape(-1) if self.reduction == "none" else value

        return keeping_neurons

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> StreamingMetric:
        # .to(torch.float16) of a module with a metric inside: moments in low precision would be wrong
        def keep_dtype(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == tensor.dtype else tensor.to(moved.device)

        super()._apply(keep_dtype, *args, **kwargs)
        return self


class FixedMetric(StreamingMetric):
    """Streaming form of the measure that a subclass names; it has no options but those of every streaming metric."""

    fixed: ClassVar[Measure]

    def __init__(self, reduction: str = "none", **torchmetrics: Any) -> None:
        super().__init__(self.fixed, reduction, **torchmetrics)
