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
from deepSTRF.metrics.blocks import average_repeats
from deepSTRF.testing.errors import ContractError, contract_errors, expect_error, require

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
        At the first part of the contract that does not hold, as :func:`check_model`.

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
        try:
            with contract_errors("raised"):
                check(twin)
            require(_fingerprint(subject) == before, "changes the data set that it was called on or made from")
        except ContractError as error:
            raise ContractError(f"{type(subject).__name__}, {name}: {error}") from error


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
    require(isinstance(ds.path, str), f"path must be a string, got {type(ds.path).__name__}")
    require(ds.dt > 0, f"dt must be positive, got {ds.dt}")
    lengths = [len(ds.stims), len(ds.responses), len(ds.stim_meta)]
    require(len(set(lengths)) == 1 and lengths[0] > 0, f"stims, responses, stim_meta have lengths {lengths}")
    require(len(ds.nrn_meta) == ds.N_neurons > 0, f"{len(ds.nrn_meta)} nrn_meta for {ds.N_neurons} neurons")
    require(ds.get_N() == ds.N_neurons, f"get_N() gives {ds.get_N()} of {ds.N_neurons} neurons")
    require(ds.get_S() == len(ds.stims), f"get_S() gives {ds.get_S()} of {len(ds.stims)} stimuli")
    require(len(ds.get_nrn_meta()) == ds.N_neurons, "get_nrn_meta() without a selection must give all")
    for s, stim in enumerate(ds.stims):
        require(stim.is_floating_point(), f"stims[{s}] is {stim.dtype}, not floating point")
        require(bool(torch.isfinite(stim).all()), f"stims[{s}] holds NaN or infinity")
        require(
            stim.shape[:-1] == ds.stims[0].shape[:-1],
            f"stims[{s}] has shape {tuple(stim.shape)}, stims[0] {tuple(ds.stims[0].shape)}: only time may differ",
        )


def _check_responses(ds: NeuralDataset) -> None:
    bins: dict[int, int] = {}
    for s, n in _some_pairs(ds, _PAIRS_LOOKED_AT):
        response = ds.responses[s][n]
        where = f"responses[{s}][{n}]"
        require(isinstance(response, Tensor) and response.ndim == 2, f"{where} is not a tensor (R, T)")
        require(response.is_floating_point(), f"{where} is {response.dtype}, not floating point")
        require(not bool(torch.isinf(response).any()), f"{where} holds infinity")
        if bool(torch.isnan(response).all()):
            continue
        expected = bins.setdefault(s, response.shape[1])
        require(response.shape[1] == expected, f"{where} has {response.shape[1]} bins, others {expected}")
        if isinstance(ds, AudioNeuralDataset) and not getattr(ds, "return_waveform", False):
            frames = ds.stims[s].shape[-1]
            require(expected == frames, f"{where} has {expected} bins, its spectrogram {frames} frames")


def _check_masks(ds: NeuralDataset) -> None:
    masks = ds.nrn_masks
    shape = (ds.get_S(), ds.N_neurons)
    require(masks.dtype == torch.bool and masks.shape == shape, f"must be bool {shape}, got {masks.shape}")
    require(ds.nrn_masks is masks, "must be computed once and kept")
    for s, n in _some_pairs(ds, _PAIRS_LOOKED_AT):
        recorded = not bool(torch.isnan(ds.responses[s][n]).all())
        require(bool(masks[s, n]) == recorded, f"says {bool(masks[s, n])} for pair ({s}, {n}); data: {recorded}")


# --- items -----------------------------------------------------------------------------------------------------------


def _check_items(ds: NeuralDataset) -> None:
    heard = torch.nonzero(ds.nrn_masks.any(1)).flatten().tolist()
    require(len(ds) == len(heard), f"len() is {len(ds)}, but {len(heard)} stimuli have data")
    for position in _spread(len(heard), _ITEMS_LOOKED_AT):
        _check_item(ds, ds[position], heard[position], list(range(ds.N_neurons)))
    require(_same(ds[-1]["stims"], ds[len(ds) - 1]["stims"]), "ds[-1] is not the last item")
    require(_same(ds[np.int64(0)]["stims"], ds[0]["stims"]), "a NumPy integer must be an index")
    first = ds[0:1]
    require(
        isinstance(first, dict)
        and set(first) == set(ds[0])
        and all(isinstance(entry, list) and len(entry) == 1 for entry in first.values()),
        "a slice must give one dict with a list per key",
    )
    for index, error in ((len(ds), IndexError), (-len(ds) - 1, IndexError), ("0", TypeError), (0.5, TypeError)):
        expect_error(partial(ds.__getitem__, index), error, f"ds[{index!r}] with {len(ds)} items")


def _check_item(ds: NeuralDataset, item: Any, stimulus: int, neurons: list[int]) -> None:
    require(isinstance(item, dict), f"an item must be a dict, got {type(item).__name__}")
    missing = {"stims", "responses", "valid_mask", "stim_meta"} - set(item)
    require(not missing, f"an item lacks the keys {sorted(missing)}")
    own_meta = ds.stim_meta[stimulus]
    require(
        item["stim_meta"] is own_meta or item["stim_meta"] == own_meta,
        f"stim_meta is not that of stimulus {stimulus}",
    )
    responses, mask = item["responses"], item["valid_mask"]
    require(isinstance(responses, list), f"responses must be a list, got {type(responses).__name__}")
    require(len(responses) == len(neurons), f"{len(responses)} responses for {len(neurons)} selected neurons")
    expected = ds.nrn_masks[stimulus][neurons]
    require(
        isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.shape == expected.shape,
        f"valid_mask must be bool ({len(neurons)},)",
    )
    require(bool((mask == expected).all()), f"valid_mask of stimulus {stimulus} is not its row of nrn_masks")
    for place in _spread(len(neurons), 50):
        require(
            _same(responses[place], ds.responses[stimulus][neurons[place]]),
            f"responses[{place}] is not the response of neuron {neurons[place]} to stimulus {stimulus}",
        )


# --- selections ------------------------------------------------------------------------------------------------------


def _check_selections(ds: NeuralDataset) -> None:
    masks = ds.nrn_masks
    stimulus, neuron = (int(i) for i in masks.nonzero()[-1])
    ds.select_neuron(neuron)
    heard = torch.nonzero(masks[:, neuron]).flatten().tolist()
    require(len(ds) == len(heard), f"neuron {neuron} has data for {len(heard)} stimuli, len() is {len(ds)}")
    _check_item(ds, ds[0], heard[0], [neuron])
    require(ds.get_nrn_meta() == [ds.nrn_meta[neuron]], "get_nrn_meta() is not that of the selected neuron")

    backwards = list(range(ds.N_neurons))[::-1]
    ds.select_population(backwards)
    _check_item(ds, ds[0], int(masks.any(1).nonzero()[0]), backwards)
    ds.reset_pop_selection()

    ds.select_stim(stimulus)
    hearing = torch.nonzero(masks[stimulus]).flatten().tolist()
    require(len(ds) == 1, f"select_stim({stimulus}) leaves {len(ds)} items")
    _check_item(ds, ds[0], stimulus, hearing)
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
        require(call() == [], "a select_* call that matches nothing must return []")
        require(len(ds) == 0, f"a select_* call that matches nothing leaves {len(ds)} items")
        expect_error(lambda: ds[0], IndexError, "ds[0] of an empty selection")
        expect_error(lambda: list(ds), ValueError, "iterating over an empty selection")
        ds.reset_pop_selection()
        ds.reset_stim_selection()
        require(len(ds) == everyone, "resetting does not bring all items back")
    for index in (-1, ds.N_neurons):
        expect_error(partial(ds.select_neuron, index), IndexError, f"select_neuron({index})")
    for index in (-1, ds.get_S()):
        expect_error(partial(ds.select_stim, index), IndexError, f"select_stim({index})")


def _all_dicts(metadata: list[Any]) -> bool:
    return all(isinstance(entry, Mapping) for entry in metadata)


# --- batches ---------------------------------------------------------------------------------------------------------


def _check_batches(ds: NeuralDataset) -> None:
    items = [ds[i] for i in _spread(len(ds), _ITEMS_LOOKED_AT)]
    batch = neural_collate(items)
    stims, responses, valid = batch["stims"], batch["responses"], batch["valid_mask"]
    require(set(batch) == set(items[0]), f"has the keys {sorted(batch)}, items have {sorted(items[0])}")
    require(responses.ndim == 4, f"responses must be (B, N, R, T), got {tuple(responses.shape)}")
    require(bool(torch.isfinite(stims).all()), "stimuli hold NaN or infinity")
    require(valid.dtype == torch.bool and bool((valid == ~torch.isnan(responses)).all()), "wrong valid_mask")
    average = average_repeats(responses.to(batch["psth"].dtype))
    require(_same(batch["psth"], average), "psth is not the average of the responses over repeats")
    memory = {ds.stims[s].untyped_storage().data_ptr() for s in range(ds.get_S())}
    memory |= {response.untyped_storage().data_ptr() for item in items for response in item["responses"]}
    shared = {stims.untyped_storage().data_ptr(), responses.untyped_storage().data_ptr()} & memory
    require(not shared, "a batch shares memory with the data set")
    for b, item in enumerate(items):
        length = item["stims"].shape[-1]
        require(_same(stims[b, ..., :length], item["stims"].to(stims)), f"stimulus {b} is not that of its item")
        require(not bool(stims[b, ..., length:].any()), f"stimulus {b} is not padded with zeros")
        for n in _spread(len(item["responses"]), 50):
            response = item["responses"][n]
            padded = torch.full_like(responses[b, n], float("nan"))
            padded[: response.shape[0], : response.shape[1]] = response
            require(_same(responses[b, n], padded), f"response ({b}, {n}) is not that of its item, padded")


# --- preprocessing, splitting, joining -------------------------------------------------------------------------------


def _check_preprocessing(ds: NeuralDataset) -> None:
    part = ds.subset([int(ds.nrn_masks.any(1).nonzero()[0])])
    masks = part.nrn_masks.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a window too short for these bins is no matter here
        part.smooth_responses()
    require(bool((part.nrn_masks == masks).all()), "smoothing changes nrn_masks")
    part.normalize_responses()
    require(bool((part.nrn_masks == masks).all()), "normalising changes nrn_masks")
    statistics = part.standardize_stims()
    require({"mean", "std"} <= set(statistics), f"standardize_stims gives only {sorted(statistics)}")
    require(all(bool(torch.isfinite(stim).all()) for stim in part.stims), "standardising makes stimuli NaN")


def _check_splits(ds: NeuralDataset) -> None:
    heard = int(ds.nrn_masks.any(1).sum())
    names = [*ds.protocols, *(["holdout:1"] if heard >= 3 else [])]
    for name in names:
        indices = ds.split_indices(name)
        chosen = [s for part in indices for s in part]
        require(all(len(part) > 0 for part in indices), f"a part of {name!r} is empty")
        require(len(set(chosen)) == len(chosen), f"parts of {name!r} share stimuli")
        require(set(chosen) <= set(range(ds.get_S())), f"{name!r} names stimuli that there are not")
        require(ds.split_indices(name) == indices, f"{name!r} gives another split when asked again")
        parts = ds.split(name)
        for part, own in zip(parts, indices, strict=True):
            require(type(part) is type(ds), f"a part of {name!r} is a {type(part).__name__}")
            require(part.get_S() == len(own), f"a part of {name!r} has {part.get_S()} stimuli, not {len(own)}")
            require(part.nrn_meta == ds.nrn_meta, f"a part of {name!r} has other neurons")
            require(_same(part.stims[0], ds.stims[own[0]]), f"a part of {name!r} has other stimuli")
    expect_error(lambda: ds.split("no such protocol"), ValueError, "an unknown protocol")


def _check_concatenation(ds: NeuralDataset) -> None:
    joined = ds + ds
    n_stims, n_neurons = ds.get_S(), ds.N_neurons
    size = (joined.get_S(), joined.N_neurons)
    require(type(joined) is type(ds), f"gives a {type(joined).__name__}")
    require(size == (2 * n_stims, 2 * n_neurons), f"gives {size} stimuli and neurons")
    masks = torch.block_diag(ds.nrn_masks.int(), ds.nrn_masks.int()).bool()
    require(bool((joined.nrn_masks == masks).all()), "responses are not block-diagonal")
    for s, n in _some_pairs(ds, _ITEMS_LOOKED_AT):
        require(_same(joined.responses[n_stims + s][n_neurons + n], ds.responses[s][n]), "changes responses")
    joined.validate()
    expect_error(lambda: ds + 1, TypeError, "adding a number")


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
