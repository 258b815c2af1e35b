"""The same training from several seeds: how much a score owes to the random start."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from deepSTRF.checks import check_integer
from deepSTRF.files import expand_path, prepare_file
from deepSTRF.training.epochs import is_better, to_scalar
from deepSTRF.training.repeated import Fit, RepeatedFits, check_factory, check_seeds, fit_once, make_template
from deepSTRF.training.seed import set_random_seed
from deepSTRF.training.seed_folder import write_seed, write_summary

__all__ = ["fit_multi_seed"]


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
            The seed whose monitor is defined for most neurons on the validation batches and, among those, whose mean is
            best; and its weights on the CPU. None where it is defined for no seed.
        ``failures``
            Dict of seed to traceback.

    Raises
    ------
    ValueError
        If ``n_seeds < 1``, a seed is out of range, or an entry of `fitter_kwargs` is; nothing has been trained then.
    TypeError
        If an argument has the wrong type, also an optimizer or scheduler of one model, or cannot be copied to a worker;
        nothing has been trained then.
    UnknownMonitorError
        A KeyError: the monitor is not a validation score; nothing has been trained then.
    AllFitsFailedError
        If every seed failed.

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
    numbers = check_seeds(range(check_integer("n_seeds", n_seeds)) if seeds is None else seeds)
    check_factory("model_factory", model_factory)
    check_factory("loader_factory", loader_factory)
    template = make_template(fitter_kwargs, "fit_multi_seed", n_jobs)
    folder = None if output_dir is None else expand_path(output_dir, "output_dir")
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
    metric = template.monitor.removeprefix("val_")
    fits = RepeatedFits("seed", numbers)
    best_position, best_state, best_rank = len(numbers), None, (0, math.nan)
    for position, fit in fits.run(fit_seed, n_jobs):
        rank = defined, score = _rank(fit.scores["val"][metric])
        ahead = defined > best_rank[0] or bool(is_better(score, best_rank[1], template.mode))
        if (defined >= best_rank[0] and ahead) or (rank == best_rank and position < best_position):
            best_position, best_state, best_rank = position, fit.extra, rank
    best_seed = None if best_state is None else numbers[best_position]
    arrays = fits.arrays()
    if folder is not None:
        facts = {
            "seeds": numbers, "best_seed": best_seed, "monitor": template.monitor, "mode": template.mode,
            "failures": fits.failures,
        }  # fmt: skip
        write_summary(folder, facts, arrays, fit.scores)
    if best_seed is None:
        warnings.warn(f"{template.monitor} is undefined for every seed, so none is the best", stacklevel=2)
    return {
        "seeds": numbers,
        "per_seed_histories": fits.histories,
        **arrays,
        "best_seed": best_seed,
        "best_state_dict": best_state,
        "failures": fits.failures,
    }


def _rank(value: Tensor | float) -> tuple[int, float]:
    """Number of neurons for which a monitor is defined, and its mean over them: fewer neurons are not comparable."""
    return int((~torch.as_tensor(value).isnan()).sum()), to_scalar(value)


def _fit_seed(
    seed: int,
    *,
    model_factory: Callable[[int], nn.Module],
    loader_factory: Callable[[int], tuple[Any, Any, Any]],
    fitter_kwargs: Mapping[str, Any] | None,
    logger_factory: Callable[[int], Any] | None,
    folder: Path | None,
    strict: bool,
) -> Fit:
    # First, so that it cannot draw from the seeded generators.
    logger: Any = None if logger_factory is None else logger_factory(seed)
    try:
        set_random_seed(seed, strict=strict)
        model, loaders = model_factory(seed), loader_factory(seed)
        log = {} if logger_factory is None else {"log_fn": logger}
        _, history, scores = fit_once(model, loaders, fitter_kwargs, f"seed{seed}", **log)
        state = {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}
        if folder is not None:
            write_seed(folder / f"seed{seed}", history, scores, state)
        if hasattr(logger, "finalize"):
            logger.finalize(scores)
        return Fit(history, scores, state)
    finally:
        if hasattr(logger, "close"):
            logger.close()
