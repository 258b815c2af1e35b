"""The same training on several splits of the stimuli: how much a score owes to the data it is measured on."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, SupportsIndex

import torch
from torch import Tensor, nn

from deepSTRF.checks import check_integer
from deepSTRF.metrics.running import RunningScores
from deepSTRF.registry import Recipe, get_recipe
from deepSTRF.training.epochs import default_val_metrics, to_scalar
from deepSTRF.training.fitter import Fitter
from deepSTRF.training.prediction import detach_state, on_device
from deepSTRF.training.recipes import LOSSES, fit_recipe, make_loader, settings_for
from deepSTRF.training.repeated import Fit, RepeatedFits, check_factory, fit_once, make_template, name_checkpoint
from deepSTRF.training.seed import check_seed, set_random_seed

if TYPE_CHECKING:  # a Fitter needs no data sets
    from deepSTRF.datasets import NeuralDataset
    from deepSTRF.datasets.splits import Split

__all__ = ["cross_validate"]


def cross_validate(
    model_factory: Callable[..., nn.Module] | Recipe | str,
    dataset: NeuralDataset,
    *,
    folds: int | str | Sequence[Any] = 5,
    batch_size: int | None = None,
    standardize: bool = True,
    fitter_kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
    n_jobs: int = 1,
) -> dict[str, Any]:
    """Predict every stimulus by a model that never saw it, and score each neuron on all of these predictions.

    Every fold trains a new model on its training stimuli, stops it early on its validation stimuli, and predicts its
    test stimuli. All folds start from the same seed, so that they differ in their data only; for the spread over seeds
    there is :func:`fit_multi_seed`.

    Parameters
    ----------
    model_factory : callable, Recipe or str
        ``seed -> model``, called once per fold with `seed`; or ``(seed, train) -> model``, which is also given the
        training part of the fold, standardised. Or a :class:`~deepSTRF.registry.Recipe`, or the name of a registered
        model: it is built and trained as ``deepstrf fit`` does, ridge in closed form, with the arguments of
        `fitter_kwargs` in place of the recipe's.
    dataset : NeuralDataset
        Left as it is. Selected neurons and stimuli are honoured; stimuli without a response take no part.
    folds : int, 'leave-one-out', 'blocks:B' or sequence
        Number of folds, drawn by `seed` (:func:`~deepSTRF.datasets.splits.k_fold`); each stimulus alone; B blocks of
        time, for one long stimulus or a few (``dataset.in_blocks(B)``; ``'blocks:B:GAP'`` with the gap in ms); or the
        test stimuli of each fold, as lists of indices. The test stimuli of the next fold validate, and all others
        train. Or complete :class:`~deepSTRF.datasets.splits.Split` of training, validation and test stimuli. No
        stimulus may be tested twice; one that is in no test part is never predicted.
    batch_size : int, optional
        Stimuli per batch, 1 or the recipe's if not given; the training stimuli are shuffled.
    standardize : bool
        In each fold, subtract the mean of its training stimuli from all stimuli and divide by their standard deviation,
        one number each over all bands, as ``deepstrf fit`` does.
    fitter_kwargs : dict, optional
        As for :func:`fit_multi_seed`; ``ckpt_path="best.pt"`` becomes ``best_fold<k>.pt``.
    seed : int
        Of the folds, and of initialisation and batch order in each of them.
    n_jobs : int
        Number of worker processes, -1 for one per core. Each has one torch thread, so that the numbers are bit for bit
        those of ``n_jobs=1`` after ``torch.set_num_threads(1)``; with 1, the folds run here with the threads that torch
        has. The data set is written once to a temporary file that the workers share; a worker begins with torch's own
        defaults.

    Returns
    -------
    dict
        ``predictions``
            One entry per stimulus of `dataset`: (N, T_s) on the CPU; None for a stimulus that was in no test part, or
            in that of a fold that failed. With blocks, one entry per stimulus of ``dataset``.
        ``dataset``
            With blocks: the recording as it was cut.
        ``pooled_<metric>``
            ``loss`` and every metric of all these predictions together: tensor (N,), or a number.
        ``folds``
            List of ``Split`` of stimulus indices, the first axis of the arrays below.
        ``per_fold_<part>_<metric>``
            Tensor (folds, N) for the parts ``val`` and ``test``; (folds, 1) for scalars, NaN for a fold that failed.
        ``mean_<part>_<metric>``, ``std_<part>_<metric>``
            Tensor (N,) or (1,): mean and population standard deviation over folds, where defined.
        ``per_fold_histories``
            What ``Fitter.fit`` returned; empty for a fold that failed.
        ``failures``
            Dict of fold to traceback.

    Raises
    ------
    ValueError
        If folds overlap, are empty or name stimuli without responses, there are too few stimuli, or a seed or an entry
        of `fitter_kwargs` is out of range; nothing has been trained then.
    TypeError, UnknownMonitorError, AllFitsFailedError
        As :func:`fit_multi_seed`, with folds for its seeds.

    Warns
    -----
    UserWarning
        If folds failed, with their reasons; the others are not affected.

    Examples
    --------
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> from deepSTRF.models.audio import Linear
    >>> from deepSTRF.training import cross_validate
    >>> dataset = SimulatedDataset(n_neurons=4, n_stims=6, duration_s=1.0)
    >>> def model(seed):
    ...     return Linear(n_frequency_bands=dataset.F, temporal_window_size=10, out_neurons=4)
    >>> result = cross_validate(model, dataset, folds=3, fitter_kwargs={"max_epochs": 2})
    >>> len(result["predictions"]), result["predictions"][0].shape == (4, dataset.stims[0].shape[-1])
    (6, True)
    >>> result["pooled_cc"].shape, result["per_fold_test_cc"].shape
    (torch.Size([4]), torch.Size([3, 4]))
    """
    template = make_template(fitter_kwargs, "cross_validate", n_jobs)
    model_factory = get_recipe(model_factory) if isinstance(model_factory, str) else model_factory
    if not isinstance(model_factory, Recipe):
        check_factory("model_factory", model_factory)
    from deepSTRF.datasets.blocks import parse_blocks

    seed = check_seed(seed)
    blocks = parse_blocks(folds) if isinstance(folds, str) else None
    if blocks is not None:
        dataset = dataset.in_blocks(*blocks)
        splits = _splits_of_blocks(dataset, blocks[0])
    else:
        splits = _make_splits(folds, dataset, seed)
    # Only they, so that a recipe builds a model of them; a selection of stimuli hides the neurons that heard none.
    recording = dataset._part(dataset._selection().neurons.tolist())
    recording.S_sel = None
    fit_fold = functools.partial(
        _fit_fold,
        model_factory=model_factory,
        recording=recording,
        splits=splits,
        batch_size=None if batch_size is None else check_integer("batch_size", batch_size),
        standardize=standardize,
        fitter_kwargs=fitter_kwargs,
        seed=seed,
    )
    fits = RepeatedFits("fold", range(len(splits)))
    predictions: list[Tensor | None] = [None] * dataset.get_S()
    for k, fit in fits.run(fit_fold, n_jobs):
        for stimulus, prediction in zip(splits[k].test, fit.extra, strict=True):
            predictions[stimulus] = prediction
    metrics = {"loss": _loss_of(model_factory, fitter_kwargs, recording, template), **template.val_metrics}
    pooled = _pooled_scores(metrics, predictions, recording)
    if recording.uncut is not None and (fitter_kwargs or {}).get("val_metrics") is None:
        pooled["cc_norm"] = _relative_to_ceiling(pooled["cc"], pooled["cc_norm"], recording)
    return {
        "predictions": predictions,
        **({} if blocks is None else {"dataset": dataset}),
        **{f"pooled_{name}": value for name, value in pooled.items()},
        "folds": splits,
        **fits.arrays(),
        "per_fold_histories": fits.histories,
        "failures": fits.failures,
    }


def _fit_fold(
    k: int,
    *,
    model_factory: Callable[..., nn.Module] | Recipe,
    recording: NeuralDataset,
    splits: Sequence[Split],
    batch_size: int | None,
    standardize: bool,
    fitter_kwargs: Mapping[str, Any] | None,
    seed: int,
) -> Fit:
    from torch.utils.data import DataLoader

    from deepSTRF.datasets.collate import neural_collate

    own = recording.subset(range(recording.get_S()))  # that others are not standardised with it
    if standardize:
        own.standardize_stims(splits[k].train, per_band=False)
    train, val, test = (own.subset(part) for part in splits[k])
    if isinstance(model_factory, Recipe):
        return _fit_recipe(model_factory, k, train, val, test, batch_size, fitter_kwargs, seed)
    set_random_seed(seed)
    model = _make_model(model_factory, seed, train)
    batch_size = 1 if batch_size is None else batch_size
    loaders = (
        DataLoader(train, batch_size, shuffle=True, collate_fn=neural_collate),
        DataLoader(val, batch_size, collate_fn=neural_collate),
        DataLoader(test, 1, collate_fn=neural_collate),  # nothing is padded, so predictions have their length
    )
    fitter, history, scores = fit_once(model, loaders, fitter_kwargs, f"fold{k}")
    return Fit(history, scores, _predict(fitter, loaders[-1]))


def _fit_recipe(
    recipe: Recipe,
    k: int,
    train: NeuralDataset,
    val: NeuralDataset,
    test: NeuralDataset,
    batch_size: int | None,
    fitter_kwargs: Mapping[str, Any] | None,
    seed: int,
) -> Fit:
    settings = settings_for(recipe.settings, train)
    if settings is not None and batch_size is not None:
        settings = replace(settings, batch_size=batch_size)
    own = {"val_metrics": default_val_metrics(), **name_checkpoint(dict(fitter_kwargs or {}), f"fold{k}")}
    fit = fit_recipe(recipe, settings, train, val, seed=seed, **own)
    loader = make_loader(test, 1)
    scores = {"val": fit.fitter.evaluate(make_loader(val, 1)), "test": fit.fitter.evaluate(loader)}
    return Fit(fit.history, scores, _predict(fit.fitter, loader))


def _make_model(factory: Callable[..., nn.Module], seed: int, train: NeuralDataset) -> nn.Module:
    """Call a factory with the seed, and with the training part if it has a parameter of that name."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some callables written in C have no signature
        return factory(seed)
    if "train" not in parameters:
        return factory(seed)
    others = [p for name, p in parameters.items() if name != "train" and p.default is p.empty]
    if "seed" in parameters:
        return factory(seed=seed, train=train)
    return factory(seed, train=train) if others else factory(train=train)


def _loss_of(
    factory: Any, fitter_kwargs: Mapping[str, Any] | None, recording: NeuralDataset, template: Fitter
) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss that the folds were trained with."""
    if not isinstance(factory, Recipe) or "loss_fn" in (fitter_kwargs or {}):
        return template.loss_fn
    settings = settings_for(factory.settings, recording)
    return template.loss_fn if settings is None else LOSSES[settings.loss]


def _relative_to_ceiling(cc: Tensor, cc_norm: Tensor, recording: NeuralDataset) -> Tensor:
    """For blocks of time, cc over the ceiling of the uncut recording; a neuron with single trials keeps its value."""
    from deepSTRF.datasets.blocks import uncut_ceiling

    ceiling = uncut_ceiling(recording)
    return torch.where(ceiling.isfinite(), cc / ceiling, cc_norm)


def _predict(fitter: Fitter, loader: Iterable[Mapping[str, Any]]) -> list[Tensor]:
    """Per stimulus (N, T_s); the fit has left the model in eval mode."""
    predictions = []
    with torch.no_grad():
        for batch in loader:
            predictions.append(fitter.predict(batch)[0, :, 0].cpu())
            detach_state(fitter.model)
    return predictions


def _pooled_scores(
    metrics: Mapping[str, Any], predictions: Sequence[Tensor | None], recording: NeuralDataset
) -> dict[str, Any]:
    from deepSTRF.datasets.collate import neural_collate

    known = [(s, prediction) for s, prediction in enumerate(predictions) if prediction is not None]
    recorded = recording.subset([s for s, _ in known])
    scores = RunningScores(metrics)
    for i, (_, prediction) in enumerate(known):
        scores.update(prediction[None, :, None], on_device(neural_collate([recorded[i]]), torch.device("cpu")))
    values = scores.compute()
    return {**values, "loss": to_scalar(values["loss"])}


# ---------------------------------------------------------------------- folds


def _make_splits(folds: int | str | Sequence[Any], dataset: NeuralDataset, seed: int) -> list[Split]:
    from deepSTRF.datasets.splits import Split, k_fold, leave_one_out

    usable: list[int] = dataset._selection().stims
    if not usable:
        raise ValueError(f"there is nothing to cross-validate: {dataset._why_empty()}")
    if isinstance(folds, (str, SupportsIndex)):
        if isinstance(folds, SupportsIndex):
            drawn = k_fold(len(usable), folds, seed)
        elif folds == "leave-one-out":
            drawn = leave_one_out(len(usable))
        else:
            raise ValueError(f"folds must be an integer, 'leave-one-out', 'blocks:B' or a list, got {folds!r}")
        return [Split(*(tuple(usable[i] for i in part) for part in split)) for split in drawn]
    if not isinstance(folds, Iterable):
        raise TypeError(f"folds must be an integer, 'leave-one-out' or a list, got {folds!r}")
    entries = list(folds)
    if all(isinstance(entry, Split) for entry in entries):
        splits = [Split(*(_stimuli(part) for part in entry)) for entry in entries]
    else:
        splits = _splits_of_tests([_stimuli(entry) for entry in entries], usable)
    _check_splits(splits, set(usable))
    return splits


def _splits_of_blocks(cut: NeuralDataset, n_blocks: int) -> list[Split]:
    from deepSTRF.datasets.blocks import fold_blocks
    from deepSTRF.datasets.splits import Split

    return [Split(*parts) for parts in fold_blocks(cut, n_blocks)]


def _stimuli(indices: Any) -> tuple[int, ...]:
    try:
        return tuple(operator.index(s) for s in indices)
    except TypeError as error:
        raise TypeError(
            f"a fold must be a list of stimulus indices or a Split of three such, got {indices!r}"
        ) from error


def _splits_of_tests(tests: list[tuple[int, ...]], usable: list[int]) -> list[Split]:
    """Each part is tested once, and the next one validates, as in :func:`~deepSTRF.datasets.splits.k_fold`."""
    from deepSTRF.datasets.splits import Split

    if len(tests) < 2:
        raise ValueError(f"{len(tests)} list of test stimuli leaves none that validates; give at least two, or a Split")
    splits = []
    for k, test in enumerate(tests):
        val = tests[(k + 1) % len(tests)]
        splits.append(Split(tuple(s for s in usable if s not in {*val, *test}), val, test))
    return splits


def _check_splits(splits: list[Split], usable: set[int]) -> None:
    if not splits:
        raise ValueError("folds is an empty list")
    for k, split in enumerate(splits):
        stimuli = [s for part in split for s in part]
        if not all(split):
            empty = ", ".join(name for name, part in split._asdict().items() if not part)
            raise ValueError(f"fold {k} has no stimuli for: {empty}")
        if len(set(stimuli)) < len(stimuli):
            twice = sorted({s for s in stimuli if stimuli.count(s) > 1})
            raise ValueError(f"fold {k} has the stimuli {twice} more than once; its parts must not overlap")
        if not usable.issuperset(stimuli):
            raise ValueError(
                f"fold {k} has the stimuli {sorted(set(stimuli) - usable)}, which are not in the data set, not "
                "selected, or have no response of the selected neurons"
            )
    tested = [s for split in splits for s in split.test]
    if len(set(tested)) < len(tested):
        twice = sorted({s for s in tested if tested.count(s) > 1})
        raise ValueError(f"the stimuli {twice} are in the test part of more than one fold; each is predicted once")
