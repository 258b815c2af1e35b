from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.splits import Split, holdout, k_fold, leave_one_out


class Named(NeuralDataset):
    protocols: ClassVar = {"half": {"train": (0, 1), "val": (2,), "test": (3,)}}


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 40), st.integers(1, 15), st.integers(0, 5))
def test_holdout_partitions(n, k, seed):
    if n < 2 * k + 1:
        with pytest.raises(ValueError, match=f"there are {n}"):
            holdout(n, k, seed)
        return
    split = holdout(n, k, seed)
    assert sorted(s for part in split for s in part) == list(range(n))
    assert len(split.val) == len(split.test) == k
    assert all(part == tuple(sorted(part)) for part in split)
    assert holdout(n, k, seed) == split


def test_holdout_depends_on_the_seed():
    assert len({holdout(30, 5, seed) for seed in range(5)}) == 5
    with pytest.raises(ValueError, match="k must be a positive integer"):
        holdout(10, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 25), st.integers(3, 25), st.integers(0, 3))
def test_folds_test_each_stimulus_once(n, k, seed):
    if k > n:
        with pytest.raises(ValueError, match="folds"):
            k_fold(n, k, seed)
        return
    folds = k_fold(n, k, seed)
    assert len(folds) == k
    assert sorted(s for fold in folds for s in fold.test) == list(range(n))
    assert sorted(s for fold in folds for s in fold.val) == list(range(n))
    for fold in folds:
        assert sorted(s for part in fold for s in part) == list(range(n))
        assert fold.train


def test_leave_one_out():
    splits = leave_one_out(4)
    assert [split.test for split in splits] == [(0,), (1,), (2,), (3,)]
    assert splits[3] == Split(train=(1, 2), val=(0,), test=(3,))
    with pytest.raises(ValueError, match="at least 3"):
        leave_one_out(2)
    with pytest.raises(ValueError, match="folds"):
        k_fold(10, 2)


# --- subset


def test_subset_shares_tensors_and_keeps_all_neurons(ds):
    part = ds.subset([3, 0])
    assert type(part) is type(ds)
    assert part.stims[0] is ds.stims[3]
    assert part.responses[1].block is ds.responses[0].block
    assert part.get_N() == 3
    assert len(part[0]["responses"]) == 3  # no hiding of neurons without data
    assert [meta["n"] for meta in part.stim_meta] == [3, 0]
    assert part.nrn_masks.tolist() == ds.nrn_masks[[3, 0]].tolist()
    part.validate()


@pytest.mark.parametrize("changed", ["part", "parent"])
def test_changes_stay_on_their_side(ds, changed):
    part = ds.subset([0, 2])
    target, other = (part, ds) if changed == "part" else (ds, part)
    stims = [stim.clone() for stim in other.stims]
    responses = [[r.clone() for r in row] for row in other.responses]
    meta = [dict(m) for m in other.nrn_meta]
    target.standardize_stims()
    target.smooth_responses()
    target.normalize_responses()
    target.compute_neuron_quality()
    target.responses[0][0] = torch.zeros(2, 30)
    target.responses[1] = [torch.ones(1, 9)] * 3
    target.stims.append(torch.zeros(1))
    target.stim_meta[0]["new"] = target.nrn_meta[0]["new"] = 1
    target.select_neuron(0)
    target.select_stim(0)
    assert len(other.stims) == len(stims)
    torch.testing.assert_close(
        (other.stims, [list(row) for row in other.responses]), (stims, responses), rtol=0, atol=0, equal_nan=True
    )
    assert other.nrn_meta == meta
    assert "new" not in other.stim_meta[0]
    assert other.I == []
    assert other.S_sel is None


def test_subset_keeps_the_population_and_drops_the_stimulus_selection(ds):
    ds.select_population([1, 0])
    ds.select_stims([3])
    part = ds.subset([0, 1, 2])
    assert part.I == [1, 0]
    assert part.S_sel is None
    assert len(part) == 3
    ds.select_pop_by_nrn_attr("area", "none")
    assert len(ds.subset([0])) == 0


def test_subset_refuses(ds):
    with pytest.raises(IndexError, match="no stimulus 4"):
        ds.subset([4])
    with pytest.raises(TypeError, match="integer"):
        ds.subset([True])


def test_a_subclass_cuts_its_own_attributes(make):
    class WithRates(NeuralDataset):
        def _subset_copy_attrs(self, source, stim_indices):
            self.rates = [source.rates[s] for s in stim_indices]

    ds = make(WithRates)
    ds.rates = ["a", "b", "c", "d"]
    assert ds.subset([2, 1]).rates == ["c", "b"]
    assert ds.rates == ["a", "b", "c", "d"]


# --- split


def test_named_protocol(make):
    ds = make(Named)
    split = ds.split("half")
    assert split._fields == ("train", "val", "test")
    assert [[meta["n"] for meta in part.stim_meta] for part in split] == [[0, 1], [2], [3]]
    assert all(type(part) is Named and part.nrn_meta == ds.nrn_meta for part in split)
    assert ds.split_indices("half") == Split((0, 1), (2,), (3,))


def test_parts_forget_protocols_whose_indices_no_longer_fit(make):
    ds = make(Named)
    assert ds.subset([3, 0]).protocols == {}
    assert (ds + ds).protocols == {}
    assert ds.averaged().protocols == Named.protocols
    assert Named.protocols["half"]["val"] == (2,)


def test_holdout_protocol_takes_stimuli_with_data(make):
    ds = make()
    ds.responses[1][0] = torch.full((1, 1), float("nan"))
    for seed in range(4):
        indices = ds.split_indices("holdout:1", seed=seed)
        assert sorted(s for part in indices for s in part) == [0, 2, 3]
    ds.select_neuron(2)  # the split does not depend on the selected neurons
    assert ds.split_indices("holdout:1", seed=3) == indices


def test_splits_keep_to_selected_stimuli(make):
    ds = make(Named)
    ds.select_stims([0, 2, 3])
    assert ds.split_indices("half") == Split((0,), (2,), (3,))
    assert 1 not in [s for part in ds.split_indices("holdout:1") for s in part]
    ds.select_stims([0, 3])
    with pytest.raises(ValueError, match="a part of the split 'half' is empty"):
        ds.split("half")


@pytest.mark.parametrize("name", ["quarter", "holdout", "holdout:", "holdout:x", "holdout:-1", "holdout:1.5", 3])
def test_unknown_protocol(make, name):
    with pytest.raises(ValueError, match=r"there is no split .*'half'; 'holdout:K'"):
        make(Named).split(name)


def test_a_protocol_that_does_not_fit(make):
    ds = make(Named)
    for attribute in (ds.stims, ds.responses, ds.stim_meta):
        attribute.pop()
    with pytest.raises(ValueError, match=r"the split 'half' names stimuli \[3\], but there are 3"):
        ds.split("half")


def test_too_few_stimuli(make):
    with pytest.raises(ValueError, match="5 in all, but there are 4"):
        make().split("holdout:2")


# --- averaged


def test_averaged(ds):
    ds.responses[0][1] = torch.stack([torch.full((30,), 2.0), torch.full((30,), float("nan"))])
    before = ds.responses[2][0].clone()
    mean = ds.averaged()
    assert type(mean) is type(ds)
    assert mean.responses[0][1].tolist() == [[2.0] * 30]
    torch.testing.assert_close(mean.responses[2][0], before.mean(0, keepdim=True))
    assert mean.responses[0][2].shape == (1, 1)
    assert torch.equal(mean.nrn_masks, ds.nrn_masks)
    assert mean.stims[0] is ds.stims[0]
    assert ds.responses[2][0].shape == (4, 40)
    mean.validate()
