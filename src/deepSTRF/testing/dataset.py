"""The contract of data sets, as a suite of checks for any of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.testing.errors import ContractError, contract_errors, require

__all__ = ["check_dataset"]

_PAIRS_LOOKED_AT = 2000
_ITEMS_LOOKED_AT = 6


def check_dataset(dataset: NeuralDataset | Callable[[], NeuralDataset]) -> None:
    """Check that a data set keeps the contract of :class:`~deepSTRF.datasets.NeuralDataset`.

    Stimuli, responses and metadata, the mask of recorded pairs, items and their order, selections, batches that share
    no memory with the data set, preprocessing that leaves subsets and parents apart, splits by stimulus, concatenation,
    and that nothing is changed on the way. Of a large data set some pairs and items are looked at, evenly spread.

    Parameters
    ----------
    dataset : NeuralDataset or callable
        A data set, or a function without arguments that makes one. It is left as it was found.

    Raises
    ------
    ContractError
        If `dataset` is something else, or at the first part of the contract that does not hold; an AssertionError.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.datasets import NeuralDataset
    >>> ds = NeuralDataset.from_arrays([torch.rand(4, 50)] * 3, [torch.rand(2, 5, 50)] * 3, dt_ms=5.0)
    >>> check_dataset(ds)
    """
    subject = dataset if isinstance(dataset, NeuralDataset) or not callable(dataset) else dataset()
    if not isinstance(subject, NeuralDataset):
        raise ContractError(f"expected a NeuralDataset or a function that makes one, got {type(subject).__name__}")
    with contract_errors(f"{type(subject).__name__}, validate() raised"):
        subject.validate()
    before = _fingerprint(subject)
    # Selections are the one thing that checks change on the data set itself: they get a copy of everything but tensors.
    for name, check in _CHECKS.items():
        twin = copy.copy(subject)
        twin.reset_pop_selection()
        twin.reset_stim_selection()
        with contract_errors(f"{type(subject).__name__}, {name} raised"):
            check(twin)
        _expect(
            _fingerprint(subject) == before, subject, name, "changes the data set that it was called on or made from"
        )


def _expect(condition: Any, dataset: NeuralDataset, what: str, message: str) -> None:
    require(bool(condition), f"{type(dataset).__name__}, {what}: {message}")


def _fingerprint(dataset: NeuralDataset) -> tuple[Any, ...]:
    """Content of some stimuli and responses, and the metadata: different after a change."""
    tensors = [dataset.stims[s] for s in _spread(len(dataset.stims), _ITEMS_LOOKED_AT)]
    tensors += [dataset.responses[s][n] for s, n in _some_pairs(dataset, _ITEMS_LOOKED_AT)]
    sums = [(tuple(t.shape), float(t.nan_to_num(nan=0.0).double().sum()), int(torch.isnan(t).sum())) for t in tensors]
    return sums, copy.copy(dataset.I), copy.copy(dataset.S_sel), repr(dataset.nrn_meta), repr(dataset.stim_meta)


def _spread(size: int, most: int) -> list[int]:
    return sorted({int(i) for i in np.linspace(0, size - 1, min(size, most)).round()})


def _some_pairs(dataset: NeuralDataset, most: int) -> list[tuple[int, int]]:
    n_neurons = dataset.N_neurons
    return [divmod(index, n_neurons) for index in _spread(dataset.get_S() * n_neurons, most)]


def _same(one: Tensor, other: Tensor) -> bool:
    """Equal in shape and values, where NaN equals NaN."""
    return one.shape == other.shape and bool(((one == other) | (torch.isnan(one) & torch.isnan(other))).all())


# --- what the data set holds -----------------------------------------------------------------------------------------


def _check_attributes(ds: NeuralDataset) -> None:
    what = "attributes"
    _expect(isinstance(ds.path, str), ds, what, f"path must be a string, got {type(ds.path).__name__}")
    _expect(ds.dt > 0, ds, what, f"dt must be positive, got {ds.dt}")
    lengths = [len(ds.stims), len(ds.responses), len(ds.stim_meta)]
    _expect(len(set(lengths)) == 1 and lengths[0] > 0, ds, what, f"stims, responses, stim_meta have lengths {lengths}")
    _expect(len(ds.nrn_meta) == ds.N_neurons > 0, ds, what, f"{len(ds.nrn_meta)} nrn_meta for {ds.N_neurons} neurons")
    _expect(ds.get_N() == ds.N_neurons, ds, what, f"get_N() gives {ds.get_N()} of {ds.N_neurons} neurons")
    _expect(ds.get_S() == len(ds.stims), ds, what, f"get_S() gives {ds.get_S()} of {len(ds.stims)} stimuli")
    _expect(len(ds.get_nrn_meta()) == ds.N_neurons, ds, what, "get_nrn_meta() without a selection must give all")
    for s, stim in enumerate(ds.stims):
        _expect(stim.is_floating_point(), ds, what, f"stims[{s}] is {stim.dtype}, not floating point")
        _expect(bool(torch.isfinite(stim).all()), ds, what, f"stims[{s}] holds NaN or infinity")
        _expect(
            stim.shape[:-1] == ds.stims[0].shape[:-1],
            ds,
            what,
            f"stims[{s}] has shape {tuple(stim.shape)}, stims[0] {tuple(ds.stims[0].shape)}: only time may differ",
        )


def _check_responses(ds: NeuralDataset) -> None:
    what = "responses"
    bins: dict[int, int] = {}
    for s, n in _some_pairs(ds, _PAIRS_LOOKED_AT):
        response = ds.responses[s][n]
        where = f"responses[{s}][{n}]"
        _expect(isinstance(response, Tensor) and response.ndim == 2, ds, what, f"{where} is not a tensor (R, T)")
        _expect(response.is_floating_point(), ds, what, f"{where} is {response.dtype}, not floating point")
        _expect(not bool(torch.isinf(response).any()), ds, what, f"{where} holds infinity")
        if bool(torch.isnan(response).all()):
            continue
        expected = bins.setdefault(s, response.shape[1])
        _expect(response.shape[1] == expected, ds, what, f"{where} has {response.shape[1]} bins, others {expected}")
        if isinstance(ds, AudioNeuralDataset) and not getattr(ds, "return_waveform", False):
            frames = ds.stims[s].shape[-1]
            _expect(expected == frames, ds, what, f"{where} has {expected} bins, its spectrogram {frames} frames")


def _check_masks(ds: NeuralDataset) -> None:
    what = "nrn_masks"
    masks = ds.nrn_masks
    shape = (ds.get_S(), ds.N_neurons)
    _expect(masks.dtype == torch.bool and masks.shape == shape, ds, what, f"must be bool {shape}, got {masks.shape}")
    _expect(ds.nrn_masks is masks, ds, what, "must be computed once and kept")
    for s, n in _some_pairs(ds, _PAIRS_LOOKED_AT):
        recorded = not bool(torch.isnan(ds.responses[s][n]).all())
        _expect(
            bool(masks[s, n]) == recorded, ds, what, f"says {bool(masks[s, n])} for pair ({s}, {n}); data: {recorded}"
        )


# --- items -----------------------------------------------------------------------------------------------------------


def _check_items(ds: NeuralDataset) -> None:
    what = "items"
    heard = torch.nonzero(ds.nrn_masks.any(1)).flatten().tolist()
    _expect(len(ds) == len(heard), ds, what, f"len() is {len(ds)}, but {len(heard)} stimuli have data")
    for position in _spread(len(heard), _ITEMS_LOOKED_AT):
        _check_item(ds, ds[position], heard[position], list(range(ds.N_neurons)), what)
    _expect(_same(ds[-1]["stims"], ds[len(ds) - 1]["stims"]), ds, what, "ds[-1] is not the last item")
    _expect(_same(ds[np.int64(0)]["stims"], ds[0]["stims"]), ds, what, "a NumPy integer must be an index")
    first = ds[0:1]
    _expect(
        isinstance(first, dict)
        and set(first) == set(ds[0])
        and all(isinstance(entry, list) and len(entry) == 1 for entry in first.values()),
        ds,
        what,
        "a slice must give one dict with a list per key",
    )
    for index, error in ((len(ds), IndexError), (-len(ds) - 1, IndexError), ("0", TypeError), (0.5, TypeError)):
        _expect_error(partial(ds.__getitem__, index), error, ds, f"ds[{index!r}] with {len(ds)} items")


def _check_item(ds: NeuralDataset, item: Any, stimulus: int, neurons: list[int], what: str) -> None:
    _expect(isinstance(item, dict), ds, what, f"an item must be a dict, got {type(item).__name__}")
    missing = {"stims", "responses", "valid_mask", "stim_meta"} - set(item)
    _expect(not missing, ds, what, f"an item lacks the keys {sorted(missing)}")
    own_meta = ds.stim_meta[stimulus]
    _expect(
        item["stim_meta"] is own_meta or item["stim_meta"] == own_meta,
        ds,
        what,
        f"stim_meta is not that of stimulus {stimulus}",
    )
    responses, mask = item["responses"], item["valid_mask"]
    _expect(isinstance(responses, list), ds, what, f"responses must be a list, got {type(responses).__name__}")
    _expect(len(responses) == len(neurons), ds, what, f"{len(responses)} responses for {len(neurons)} selected neurons")
    expected = ds.nrn_masks[stimulus][neurons]
    _expect(
        isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.shape == expected.shape,
        ds,
        what,
        f"valid_mask must be bool ({len(neurons)},)",
    )
    _expect(bool((mask == expected).all()), ds, what, f"valid_mask of stimulus {stimulus} is not its row of nrn_masks")
    for place in _spread(len(neurons), 50):
        _expect(
            _same(responses[place], ds.responses[stimulus][neurons[place]]),
            ds,
            what,
            f"responses[{place}] is not the response of neuron {neurons[place]} to stimulus {stimulus}",
        )


def _expect_error(call: Callable[[], Any], kind: type[Exception], ds: NeuralDataset, what: str) -> None:
    try:
        call()
    except kind:
        return
    except Exception as error:
        raise ContractError(
            f"{type(ds).__name__}, {what}: expected {kind.__name__}, got {type(error).__name__}: {error}"
        ) from error
    raise ContractError(f"{type(ds).__name__}, {what}: expected {kind.__name__}, got no error")


# --- selections ------------------------------------------------------------------------------------------------------


def _check_selections(ds: NeuralDataset) -> None:
    what = "selection"
    masks = ds.nrn_masks
    stimulus, neuron = (int(i) for i in masks.nonzero()[-1])
    ds.select_neuron(neuron)
    heard = torch.nonzero(masks[:, neuron]).flatten().tolist()
    _expect(len(ds) == len(heard), ds, what, f"neuron {neuron} has data for {len(heard)} stimuli, len() is {len(ds)}")
    _check_item(ds, ds[0], heard[0], [neuron], what)
    _expect(ds.get_nrn_meta() == [ds.nrn_meta[neuron]], ds, what, "get_nrn_meta() is not that of the selected neuron")

    backwards = list(range(ds.N_neurons))[::-1]
    ds.select_population(backwards)
    _check_item(ds, ds[0], int(masks.any(1).nonzero()[0]), backwards, what)
    ds.reset_pop_selection()

    ds.select_stim(stimulus)
    hearing = torch.nonzero(masks[stimulus]).flatten().tolist()
    _expect(len(ds) == 1, ds, what, f"select_stim({stimulus}) leaves {len(ds)} items")
    _check_item(ds, ds[0], stimulus, hearing, "neurons without data for the selected stimulus are hidden")
    ds.reset_stim_selection()

    everyone = int(masks.any(1).sum())
    calls: list[Callable[[], list[int]]] = [
        lambda: ds.select_pop_by_nrn_predicate(lambda meta: False),
        lambda: ds.select_pop_by_stim_predicate(lambda meta: False),
        lambda: ds.select_stims_by_predicate(lambda meta: False),
    ]
    if _all_dicts(ds.nrn_meta):
        calls.append(lambda: ds.select_pop_by_nrn_attr("no such key", 0))
    if _all_dicts(ds.stim_meta):
        calls.append(lambda: ds.select_pop_by_stim_attr("no such key", 0))
        calls.append(lambda: ds.select_stims_by_attr("no such key", 0))
    for call in calls:
        _expect(call() == [], ds, what, "a select_* call that matches nothing must return []")
        _expect(len(ds) == 0, ds, what, f"a select_* call that matches nothing leaves {len(ds)} items")
        _expect_error(lambda: ds[0], IndexError, ds, "ds[0] of an empty selection")
        _expect_error(lambda: list(ds), ValueError, ds, "iterating over an empty selection")
        ds.reset_pop_selection()
        ds.reset_stim_selection()
        _expect(len(ds) == everyone, ds, what, "resetting does not bring all items back")
    for index in (-1, ds.N_neurons):
        _expect_error(partial(ds.select_neuron, index), IndexError, ds, f"select_neuron({index})")
    for index in (-1, ds.get_S()):
        _expect_error(partial(ds.select_stim, index), IndexError, ds, f"select_stim({index})")


def _all_dicts(metadata: list[Any]) -> bool:
    return all(isinstance(entry, Mapping) for entry in metadata)


# --- batches ---------------------------------------------------------------------------------------------------------


def _check_batches(ds: NeuralDataset) -> None:
    what = "neural_collate"
    items = [ds[i] for i in _spread(len(ds), _ITEMS_LOOKED_AT)]
    batch = neural_collate(items)
    stims, responses, valid = batch["stims"], batch["responses"], batch["valid_mask"]
    _expect(set(batch) == set(items[0]), ds, what, f"has the keys {sorted(batch)}, items have {sorted(items[0])}")
    _expect(responses.ndim == 4, ds, what, f"responses must be (B, N, R, T), got {tuple(responses.shape)}")
    _expect(bool(torch.isfinite(stims).all()), ds, what, "stimuli hold NaN or infinity")
    _expect(valid.dtype == torch.bool and bool((valid == ~torch.isnan(responses)).all()), ds, what, "wrong valid_mask")
    memory = {ds.stims[s].untyped_storage().data_ptr() for s in range(ds.get_S())}
    memory |= {response.untyped_storage().data_ptr() for item in items for response in item["responses"]}
    shared = {stims.untyped_storage().data_ptr(), responses.untyped_storage().data_ptr()} & memory
    _expect(not shared, ds, what, "a batch shares memory with the data set")
    for b, item in enumerate(items):
        length = item["stims"].shape[-1]
        _expect(
            _same(stims[b, ..., :length], item["stims"].to(stims)), ds, what, f"stimulus {b} is not that of its item"
        )
        _expect(not bool(stims[b, ..., length:].any()), ds, what, f"stimulus {b} is not padded with zeros")
        for n in _spread(len(item["responses"]), 50):
            response = item["responses"][n]
            padded = torch.full_like(responses[b, n], float("nan"))
            padded[: response.shape[0], : response.shape[1]] = response
            _expect(_same(responses[b, n], padded), ds, what, f"response ({b}, {n}) is not that of its item, padded")


# --- preprocessing, splitting, joining -------------------------------------------------------------------------------


def _check_preprocessing(ds: NeuralDataset) -> None:
    what = "preprocessing of a subset"
    part = ds.subset([int(ds.nrn_masks.any(1).nonzero()[0])])
    masks = part.nrn_masks.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a window too short for these bins is no matter here
        part.smooth_responses()
    _expect(bool((part.nrn_masks == masks).all()), ds, what, "smoothing changes nrn_masks")
    part.normalize_responses()
    _expect(bool((part.nrn_masks == masks).all()), ds, what, "normalising changes nrn_masks")
    statistics = part.standardize_stims()
    _expect({"mean", "std"} <= set(statistics), ds, what, f"standardize_stims gives only {sorted(statistics)}")
    _expect(all(bool(torch.isfinite(stim).all()) for stim in part.stims), ds, what, "standardising makes stimuli NaN")


def _check_splits(ds: NeuralDataset) -> None:
    what = "splits"
    heard = int(ds.nrn_masks.any(1).sum())
    names = [*ds.protocols, *(["holdout:1"] if heard >= 3 else [])]
    for name in names:
        indices = ds.split_indices(name)
        chosen = [s for part in indices for s in part]
        _expect(all(len(part) > 0 for part in indices), ds, what, f"a part of {name!r} is empty")
        _expect(len(set(chosen)) == len(chosen), ds, what, f"parts of {name!r} share stimuli")
        _expect(set(chosen) <= set(range(ds.get_S())), ds, what, f"{name!r} names stimuli that there are not")
        _expect(ds.split_indices(name) == indices, ds, what, f"{name!r} gives another split when asked again")
        parts = ds.split(name)
        for part, own in zip(parts, indices, strict=True):
            _expect(type(part) is type(ds), ds, what, f"a part of {name!r} is a {type(part).__name__}")
            _expect(
                part.get_S() == len(own), ds, what, f"a part of {name!r} has {part.get_S()} stimuli, not {len(own)}"
            )
            _expect(part.nrn_meta == ds.nrn_meta, ds, what, f"a part of {name!r} has other neurons")
            _expect(_same(part.stims[0], ds.stims[own[0]]), ds, what, f"a part of {name!r} has other stimuli")
    _expect_error(lambda: ds.split("no such protocol"), ValueError, ds, "an unknown protocol")


def _check_concatenation(ds: NeuralDataset) -> None:
    what = "concatenation with itself"
    joined = ds + ds
    n_stims, n_neurons = ds.get_S(), ds.N_neurons
    size = (joined.get_S(), joined.N_neurons)
    _expect(type(joined) is type(ds), ds, what, f"gives a {type(joined).__name__}")
    _expect(size == (2 * n_stims, 2 * n_neurons), ds, what, f"gives {size} stimuli and neurons")
    masks = torch.block_diag(ds.nrn_masks.int(), ds.nrn_masks.int()).bool()
    _expect(bool((joined.nrn_masks == masks).all()), ds, what, "responses are not block-diagonal")
    for s, n in _some_pairs(ds, _ITEMS_LOOKED_AT):
        _expect(_same(joined.responses[n_stims + s][n_neurons + n], ds.responses[s][n]), ds, what, "changes responses")
    joined.validate()
    _expect_error(lambda: ds + 1, TypeError, ds, "adding a number")


_CHECKS: dict[str, Callable[[NeuralDataset], None]] = {
    "attributes": _check_attributes,
    "responses": _check_responses,
    "nrn_masks": _check_masks,
    "items": _check_items,
    "selection": _check_selections,
    "neural_collate": _check_batches,
    "preprocessing": _check_preprocessing,
    "splits": _check_splits,
    "concatenation": _check_concatenation,
}
