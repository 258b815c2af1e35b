"""What :func:`fit_multi_seed` and :func:`cross_validate` share: arguments, fits, failures and arrays of scores."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, SupportsIndex

import torch
from torch import Tensor, nn

from deepSTRF.checks import describe_type
from deepSTRF.files import expand_path
from deepSTRF.training.epochs import Epoch
from deepSTRF.training.errors import AllFitsFailedError, UnknownMonitorError
from deepSTRF.training.fitter import Fitter
from deepSTRF.training.seed import check_seed
from deepSTRF.training.workers import Failure, count_processes, run_tasks

__all__ = [
    "Fit",
    "RepeatedFits",
    "check_factory",
    "check_seeds",
    "fit_once",
    "make_template",
    "name_checkpoint",
    "score_arrays",
]

Scores = Mapping[str, Mapping[str, Any]]


class Fit(NamedTuple):
    """What a seed or fold brings back from its process.

    Parameters
    ----------
    history : list of dict
        What ``Fitter.fit`` returned.
    scores : dict of dict
        ``{"val": {...}, "test": {...}}`` of the best epoch.
    extra : Any
        Weights or predictions.
    """

    history: list[Epoch]
    scores: dict[str, Epoch]
    extra: Any


# ---------------------------------------------------------------------- arguments


def make_template(fitter_kwargs: Mapping[str, Any] | None, caller: str, n_jobs: int) -> Fitter:
    """Check the arguments of all fits before any of them trains.

    Returns
    -------
    Fitter
        With a stand-in for model and data, and every other argument as each fit will have it.

    Raises
    ------
    ValueError
        If there are arguments that `caller` gives itself, or one is out of range.
    UnknownMonitorError
        If the monitor is not a validation score.
    TypeError
        If an argument is unknown or has the wrong type, also an optimizer or scheduler in place of a function.
    """
    kwargs = dict(fitter_kwargs or {})
    managed = [name for name in ("model", "train_loader", "val_loader") if name in kwargs]
    if managed:
        raise ValueError(f"{', '.join(managed)} in fitter_kwargs: managed by {caller}; leave it out")
    if not kwargs.get("restore_best", True):
        raise ValueError(f"{caller} always reports the best epoch; leave restore_best out of fitter_kwargs")
    count_processes(n_jobs)
    for name, example in (("optimizer", "torch.optim.AdamW, lr=1e-3"), ("scheduler", "ExponentialLR, gamma=0.9")):
        made = kwargs.pop(name, None)
        if made is not None and not callable(made):
            raise TypeError(
                f"every fit needs its own {name}, so fitter_kwargs[{name!r}] must be a function that makes it, such as "
                f"functools.partial({example}); got {describe_type(made)}"
            )
    template = Fitter(nn.Linear(1, 1), [], [], **kwargs)
    scores = ["val_loss", *(f"val_{name}" for name in template.val_metrics)]
    if template.monitor not in scores:
        raise UnknownMonitorError(f"monitor {template.monitor!r} is not a validation score; there are {scores}")
    return template


def check_factory(name: str, factory: object) -> None:
    """Check that a factory can make a new model, or new loaders, for every fit.

    Raises
    ------
    TypeError
        If it cannot be called, or is a model itself.
    """
    if isinstance(factory, nn.Module) or not callable(factory):
        raise TypeError(
            f"{name} must be a function that takes a seed and makes something new for every fit, such as "
            f"lambda seed: ...; got {describe_type(factory)}"
        )


def check_seeds(seeds: Iterable[SupportsIndex]) -> list[int]:
    """Return the seeds as a list of int.

    Raises
    ------
    TypeError
        If they are not a list of integers.
    ValueError
        If there is none, or one is not between 0 and 2**32 - 1.

    Examples
    --------
    >>> check_seeds(range(3))
    [0, 1, 2]
    """
    if not isinstance(seeds, Iterable):
        raise TypeError(f"seeds must be a list of integers, got {describe_type(seeds)}: {seeds!r}")
    checked = [check_seed(seed) for seed in seeds]
    if not checked:
        raise ValueError("seeds is empty; give at least one, or leave it out for 0 ... n_seeds - 1")
    return checked


# ---------------------------------------------------------------------- many fits


def fit_once(
    model: nn.Module, loaders: Iterable[Any], fitter_kwargs: Mapping[str, Any] | None, name: str, **more: Any
) -> tuple[Fitter, list[Epoch], dict[str, Epoch]]:
    """Fit a model, silently unless told otherwise; return the Fitter, its history and the scores of the best epoch.

    Parameters
    ----------
    model : nn.Module
        The model.
    loaders : iterable
        The loaders of training, validation and test batches.
    fitter_kwargs : dict, optional
        Arguments of the Fitter. The checkpoint file ``best.pt`` becomes ``best_<name>.pt``.
    name : str
        Of the fit, such as ``seed3``.
    **more
        Arguments of the Fitter that replace those of `fitter_kwargs`.
    """
    kwargs = name_checkpoint({"log_fn": None, **(fitter_kwargs or {}), "restore_best": True, **more}, name)
    train_loader, val_loader, test_loader = loaders
    fitter = Fitter(model, train_loader, val_loader, **kwargs)
    history = fitter.fit()
    return fitter, history, {"val": fitter.evaluate(val_loader), "test": fitter.evaluate(test_loader)}


def name_checkpoint(kwargs: dict[str, Any], name: str) -> dict[str, Any]:
    """The arguments of a Fitter with a checkpoint of its own, ``best_<name>.pt`` in place of ``best.pt``."""
    if kwargs.get("ckpt_path") is None:
        return kwargs
    path = expand_path(kwargs["ckpt_path"], "ckpt_path")
    return {**kwargs, "ckpt_path": path.with_name(f"{path.stem}_{name}{path.suffix}")}


class RepeatedFits:
    """The same fit for several numbers, seeds or folds, and what became of each.

    Parameters
    ----------
    kind : str
        What the numbers count: ``"seed"`` or ``"fold"``.
    numbers : sequence of int
        The seeds or folds.

    Attributes
    ----------
    histories : list of list of dict
        What ``Fitter.fit`` returned; empty for a fit that failed.
    failures : dict of int to str
        Seed or fold to traceback, in the order of `numbers`; complete after :meth:`run`.
    """

    def __init__(self, kind: str, numbers: Sequence[int]) -> None:
        self.kind, self.numbers = kind, numbers
        self.failures: dict[int, str] = {}
        self.histories: list[list[Epoch]] = [[] for _ in numbers]
        self._scores: list[dict[str, Epoch] | None] = [None] * len(numbers)

    def run(self, fit: Callable[[int], Fit], n_jobs: int) -> Iterator[tuple[int, Fit]]:
        """Yield the position and the outcome of ``fit(number)``, as they end, for those that do not fail.

        Raises
        ------
        TypeError
            If `fit` cannot be sent to a process.
        AllFitsFailedError
            After the last one, if all failed.
        """
        failed: dict[int, Failure] = {}
        for position, outcome in run_tasks(fit, self.numbers, n_jobs):
            if isinstance(outcome, Failure):
                failed[position] = outcome
            else:
                self.histories[position], self._scores[position] = outcome.history, outcome.scores
                yield position, outcome
        self.failures = {self.numbers[position]: failed[position].text for position in sorted(failed)}
        if len(failed) == len(self.numbers):
            first = min(failed)
            raise AllFitsFailedError(
                f"all {len(failed)} {self.kind}s failed. {self.kind.capitalize()} {self.numbers[first]}:\n\n"
                f"{failed[first].text}"
            )
        if failed:
            reasons = "; ".join(f"{self.kind} {self.numbers[i]}: {failed[i].reason}" for i in sorted(failed))
            warnings.warn(
                f"{len(failed)} of {len(self.numbers)} {self.kind}s failed and are excluded ({reasons}). Their "
                "tracebacks are in result['failures']",
                stacklevel=3,
            )

    def arrays(self) -> dict[str, Tensor]:
        """Return the scores of all fits as :func:`score_arrays`."""
        return score_arrays(self._scores, self.kind)


def score_arrays(rows: Sequence[Scores | None], kind: str) -> dict[str, Tensor]:
    """Scores of all fits as arrays: ``per_<kind>_<part>_<metric>`` (fits, N), and their ``mean_`` and ``std_`` (N,).

    A scalar counts as one neuron, and None, a fit that failed, as NaN. Mean and population standard deviation are over
    the defined entries.

    Raises
    ------
    ValueError
        If two fits differ in the number of neurons.

    Examples
    --------
    >>> import torch
    >>> rows = [{"val": {"cc": torch.tensor([0.5])}}, None, {"val": {"cc": torch.tensor([1.0])}}]
    >>> {name: values.flatten().tolist() for name, values in score_arrays(rows, "seed").items()}
    {'per_seed_val_cc': [0.5, nan, 1.0], 'mean_val_cc': [0.75], 'std_val_cc': [0.25]}
    """
    arrays: dict[str, Tensor] = {}
    done = [row for row in rows if row is not None]
    for part, scores in done[0].items():
        for name in scores:
            values = [_vector(row[part][name]) for row in done]
            shapes = [tuple(value.shape) for value in values]
            if len(set(shapes)) > 1:
                raise ValueError(f"{part} {name} must have the same shape for every {kind}, got {shapes}")
            given = iter(values)
            stacked = torch.stack(
                [torch.full_like(values[0], math.nan) if row is None else next(given) for row in rows]
            )
            mean = stacked.nanmean(0)
            arrays[f"per_{kind}_{part}_{name}"] = stacked
            arrays[f"mean_{part}_{name}"] = mean
            arrays[f"std_{part}_{name}"] = (stacked - mean).square().nanmean(0).sqrt()
    return arrays


def _vector(value: Any) -> Tensor:
    """A floating point tensor with an axis for the neurons; Python's numbers keep their precision."""
    tensor = value.detach().cpu() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
    return torch.atleast_1d(tensor if tensor.is_floating_point() else tensor.double())
