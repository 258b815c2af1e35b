"""The same training from several seeds: how much a score owes to the random start."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, SupportsIndex

from torch import Tensor, nn

from deepSTRF.files import prepare_file
from deepSTRF.training.fitter import Epoch, Fitter, _to_scalar
from deepSTRF.training.repeated import (
    check_factory,
    checked_arguments,
    checked_seeds,
    fit_each,
    kwargs_of_one_fit,
    score_arrays,
    warn_of_failures,
)
from deepSTRF.training.seed import set_random_seed
from deepSTRF.training.seed_folder import is_per_neuron, write_seed, write_summary
from deepSTRF.training.workers import Failure

__all__ = ["fit_multi_seed"]


class _Fit(NamedTuple):
    """What is left of one seed."""

    history: list[Epoch]
    scores: dict[str, Epoch]
    state: dict[str, Tensor]


def fit_multi_seed(
    model_factory: Callable[[int], nn.Module],
    loader_factory: Callable[[int], tuple[Any, Any, Any]],
    n_seeds: int = 5,
    *,
    seeds: Iterable[SupportsIndex] | None = None,
    fitter_kwargs: Mapping[str, Any] | None = None,
    logger_factory: Callable[[int], Any] | None = None,
    output_dir: str | Path | None = None,
    set_seed_strict: bool = False,
    n_jobs: int = 1,
) -> dict[str, Any]:
    """Fit the same model from several seeds, one after the other or in parallel.

    Each seed is set before its model and loaders are made, and its best epoch is scored on the validation and the test
    batches. The spread of the scores is that of initialisation and batch order on one split of the data; for the spread
    over data there is :func:`cross_validate`.

    Parameters
    ----------
    model_factory : callable
        ``seed -> model``.
    loader_factory : callable
        ``seed -> (train_loader, val_loader, test_loader)``. The order in which a loader shuffles depends on the seed.
    n_seeds : int
        Number of seeds, ``0 ... n_seeds - 1``.
    seeds : iterable of int, optional
        These seeds instead.
    fitter_kwargs : dict, optional
        Arguments of :class:`Fitter` other than model and loaders. `optimizer` and `scheduler` must be functions,
        such as ``functools.partial(torch.optim.AdamW, lr=3e-3)``. ``ckpt_path="best.pt"`` becomes ``best_seed<k>.pt``.
        Training is silent unless there is a `log_fn`.
    logger_factory : callable, optional
        ``seed -> logger``, called with every epoch dict in place of `log_fn`. Where it has them, ``finalize({"val":
        scores, "test": scores})`` is called at the end, and ``close()`` in any case.
    output_dir : str or Path, optional
        Where ``seed<k>/history.json``, ``final.json``, ``final_neurons.pt``, ``best.pt``, and ``summary.json`` and
        ``summary_neurons.pt`` go, each written atomically. Files of the same names are replaced, but a seed that fails
        leaves what was there.
    set_seed_strict : bool
        See :func:`set_random_seed`.
    n_jobs : int
        Number of worker processes, -1 for one per core. Each has one torch thread, so that the numbers are bit for bit
        those of ``n_jobs=1`` after ``torch.set_num_threads(1)``; with 1, the seeds run here with the threads that torch
        has. Factories, loggers and metrics may be closures: what they hold is written once to a temporary file, from
        which every seed starts, so that nothing that one appends to a list comes back. A worker begins with torch's own
        defaults: call ``torch.set_default_dtype`` and the like in `model_factory`.

    Returns
    -------
    dict
        ``seeds``
            The seeds, the first axis of the arrays below.
        ``per_seed_histories``
            What ``Fitter.fit`` returned; empty for a seed that failed.
        ``per_seed_<part>_<metric>``
            Tensor (seeds, N) for the parts ``val`` and ``test`` and each of ``loss`` and the metrics; (seeds, 1) for
            scalars, NaN for a seed that failed.
        ``mean_<part>_<metric>``, ``std_<part>_<metric>``
            Tensor (N,) or (1,): mean and population standard deviation over seeds, where defined.
        ``best_seed``, ``best_state_dict``
            The seed whose monitor, averaged over the neurons where it is defined, is best on the validation batches,
            and its weights on the CPU. None where it is defined for no seed.
        ``failures``
            Dict of seed to traceback.

    Raises
    ------
    ValueError
        For ``n_seeds < 1``, an impossible seed, or a bad entry of `fitter_kwargs`; nothing has been trained then.
    TypeError
        For an optimizer or scheduler of one model, and for what cannot be copied to a worker; likewise.
    UnknownMonitorError
        A KeyError: the monitor is not a validation score; nothing has been trained then.
    AllFitsFailedError
        If no seed is left.

    Warns
    -----
    UserWarning
        If seeds failed, with their reasons. The others are not affected: where a worker is killed, those that were
        running or waiting start again, one at a time.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> from deepSTRF.models.audio import Linear
    >>> from deepSTRF.training import fit_multi_seed
    >>> from deepSTRF.utils import neural_collate
    >>> parts = SimulatedDataset(n_neurons=4, n_stims=6, duration_s=1.0).split("holdout:1")
    >>> def loaders(seed):
    ...     return [DataLoader(part, batch_size=2, shuffle=True, collate_fn=neural_collate) for part in parts]
    >>> def model(seed):
    ...     return Linear(n_frequency_bands=parts.train.F, temporal_window_size=10, out_neurons=4)
    >>> result = fit_multi_seed(model, loaders, n_seeds=3, fitter_kwargs={"max_epochs": 2})
    >>> result["seeds"], result["per_seed_test_cc"].shape, result["mean_test_cc"].shape
    ([0, 1, 2], torch.Size([3, 4]), torch.Size([4]))
    """
    if seeds is None and not (isinstance(n_seeds, Integral) and n_seeds >= 1):
        raise ValueError(f"n_seeds must be a whole number, at least 1; got {n_seeds!r}")
    numbers = checked_seeds(range(n_seeds) if seeds is None else seeds)
    check_factory("model_factory", model_factory)
    check_factory("loader_factory", loader_factory)
    options = checked_arguments(fitter_kwargs, "fit_multi_seed", n_jobs)
    folder = None if output_dir is None else Path(output_dir)
    if folder is not None:
        prepare_file(folder / "summary.json", "output_dir")
    fit_seed = functools.partial(
        _fit_seed,
        model_factory=model_factory,
        loader_factory=loader_factory,
        fitter_kwargs=fitter_kwargs,
        logger_factory=logger_factory,
        folder=folder,
        strict=set_seed_strict,
    )
    metric = options.monitor.removeprefix("val_")
    sign = 1.0 if options.mode == "max" else -1.0
    histories: list[list[Epoch]] = [[] for _ in numbers]
    rows: list[dict[str, Epoch] | None] = [None] * len(numbers)
    failed: dict[int, str] = {}
    best_seed, best_state, best = None, None, (-math.inf, -len(numbers))
    for position, fit in fit_each(fit_seed, numbers, n_jobs, "seed"):
        if isinstance(fit, Failure):
            failed[position] = fit.text
            continue
        histories[position], rows[position] = fit.history, fit.scores
        score = sign * _to_scalar(fit.scores["val"][metric]), -position  # of equals, the first
        if score > best:  # never where it is NaN
            best_seed, best_state, best = numbers[position], fit.state, score
    failures = {numbers[position]: text for position, text in sorted(failed.items())}
    arrays = score_arrays(rows, "seed")
    if folder is not None:
        facts = {
            "seeds": numbers, "best_seed": best_seed, "monitor": options.monitor, "mode": options.mode,
            "failures": failures,
        }  # fmt: skip
        write_summary(folder, facts, arrays, _scalars(next(row for row in rows if row is not None)))
    warn_of_failures(failures, "seed")
    if best_seed is None:
        warnings.warn(f"{options.monitor} is undefined for every seed, so none is the best", stacklevel=2)
    return {
        "seeds": numbers,
        "per_seed_histories": histories,
        **arrays,
        "best_seed": best_seed,
        "best_state_dict": best_state,
        "failures": failures,
    }


def _fit_seed(
    seed: int,
    *,
    model_factory: Callable[[int], nn.Module],
    loader_factory: Callable[[int], tuple[Any, Any, Any]],
    fitter_kwargs: Mapping[str, Any] | None,
    logger_factory: Callable[[int], Any] | None,
    folder: Path | None,
    strict: bool,
) -> _Fit:
    kwargs = kwargs_of_one_fit(fitter_kwargs, f"seed{seed}")
    logger: Any = None
    if logger_factory is not None:  # first, so that it cannot draw from the seeded generators
        logger = kwargs["log_fn"] = logger_factory(seed)
    try:
        set_random_seed(seed, strict=strict)
        model = model_factory(seed)
        train_loader, val_loader, test_loader = loader_factory(seed)
        fitter = Fitter(model, train_loader, val_loader, **kwargs)
        history = fitter.fit()
        scores = {"val": fitter.evaluate(val_loader), "test": fitter.evaluate(test_loader)}
        state = {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}
        if folder is not None:
            write_seed(folder / f"seed{seed}", history, scores, state)
        if hasattr(logger, "finalize"):
            logger.finalize(scores)
        return _Fit(history, scores, state)
    finally:
        if hasattr(logger, "close"):
            logger.close()


def _scalars(scores: Mapping[str, Epoch]) -> list[str]:
    """Names of the arrays of scores that are not per neuron."""
    return [
        f"{kind}_{part}_{name}"
        for part, values in scores.items()
        for name, value in values.items()
        if not is_per_neuron(value)
        for kind in ("per_seed", "mean", "std")
    ]
