import copy
import pickle
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.packed import PackedResponses

NO_DATA = torch.full((1, 1), float("nan"))


@st.composite
def ragged_rows(draw):
    n_neurons = draw(st.integers(1, 5))
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        bins = draw(st.integers(1, 6))
        repeats = draw(st.lists(st.integers(0, 4), min_size=n_neurons, max_size=n_neurons))
        rows.append([torch.rand(r, bins) if r else NO_DATA for r in repeats])
    return rows, n_neurons


@settings(max_examples=40, deadline=None)
@given(ragged_rows())
def test_packing_round_trip(case):
    rows, n_neurons = case
    packed = PackedResponses(rows, n_neurons)
    assert len(packed) == len(rows)
    for row, expected in zip(packed, rows, strict=True):
        assert len(row) == n_neurons
        for n, (response, original) in enumerate(zip(row, expected, strict=True)):
            torch.testing.assert_close(response, original, equal_nan=True, rtol=0, atol=0)
            assert row[n].shape == original.shape
        # what is stored is what was recorded
        heard = [r for r in expected if not torch.isnan(r).all()]
        assert len(row.block.neurons) == len(heard)
        if heard:
            assert row.block.values.shape == (len(heard), max(r.shape[0] for r in heard), heard[0].shape[1])


def test_missing_pairs_share_one_sentinel(ds):
    assert ds.responses[0][2] is ds.responses[1][1]
    assert ds.responses[0][2].shape == (1, 1)


def test_negative_and_slice_indices(ds):
    assert torch.equal(ds.responses[-2][-2], ds.responses[2][1])
    assert [r.shape[0] for r in ds.responses[2][:2]] == [4, 4]
    assert len(ds.responses[1:3]) == 2
    with pytest.raises(IndexError, match="there are 3"):
        ds.responses[0][3]


def test_reads_are_views(ds):
    first = ds.responses[0][0]
    assert first.untyped_storage().data_ptr() == ds.responses[0].block.values.untyped_storage().data_ptr()


def test_assignment_keeps_earlier_reads(ds):
    before = ds.responses[0][0]
    kept = before.clone()
    ds.responses[0][0] = before * 2
    assert torch.equal(before, kept)
    assert torch.equal(ds.responses[0][0], kept * 2)
    assert torch.equal(ds[0]["responses"][0], kept * 2)
    assert torch.equal(before, kept)


def test_assigning_a_missing_pair_with_more_repeats(ds):
    masks = ds.nrn_masks
    assert not masks[0, 2]
    new = torch.rand(7, 30)
    ds.responses[0][2] = new
    assert ds.nrn_masks is not masks
    assert ds.nrn_masks[0, 2]
    assert torch.equal(ds[0]["responses"][2], new)
    assert ds.responses[0][0].shape == (3, 30)  # others are read unpadded
    assert ds.responses[0].block.values.shape == (3, 7, 30)


def test_assigning_nan_removes_a_pair(ds):
    ds.responses[1][0] = torch.full((2, 20), float("nan"))
    assert not ds.nrn_masks[1].any()
    assert len(ds) == 3


def test_assigning_new_lengths_one_by_one(ds):
    for n in (0, 1):
        ds.responses[0][n] = ds.responses[0][n][:, ::2]
    assert ds[0]["responses"][0].shape == (3, 15)


def test_assigning_rows_and_appending(ds):
    ds.responses[1] = [torch.ones(2, 20), torch.ones(1, 20), NO_DATA]
    assert ds.nrn_masks[1].tolist() == [True, True, False]
    ds.stims.append(torch.rand(1, 8, 10))
    ds.stim_meta.append({})
    ds.responses.append(torch.ones(3, 2, 10))
    ds.validate()
    assert len(ds) == 5
    del ds.responses[0]
    ds.responses.insert(0, [NO_DATA, torch.ones(1, 30), NO_DATA])
    assert ds.nrn_masks[0].tolist() == [False, True, False]
    ds.responses[0:1] = [[torch.ones(1, 30), NO_DATA, NO_DATA]]
    assert ds.nrn_masks[0].tolist() == [True, False, False]


def test_append_before_validate(make):
    ds = NeuralDataset("memory", 1.0)
    ds.N_neurons = 2
    assert ds.nrn_masks.shape == (0, 2)
    ds.responses.append([torch.ones(1, 3), NO_DATA])
    assert ds.nrn_masks.tolist() == [[True, False]]


def test_lengths_must_agree(make):
    ds = make()
    ds.responses[2][1] = torch.rand(2, 39)
    with pytest.raises(ValueError, match=r"stimulus 2: neuron 1 has 39 response bins, neuron 0 has 40"):
        ds.validate()


def test_wrong_entries_are_named(make):
    for wrong, error, message in (
        ("spikes", TypeError, r"responses\[1\]\[0\] must be a torch tensor"),
        (torch.ones(20), ValueError, r"responses\[1\]\[0\] must have shape \(R, T\)"),
        (torch.ones(0, 20), ValueError, r"at least one repeat"),
        (torch.ones(1, 20, dtype=torch.complex64), TypeError, "complex"),
    ):
        ds = make()
        ds.responses[1][0] = wrong
        with pytest.raises(error, match=message):
            ds.validate()
    ds = make()
    ds.responses[1] = ds.responses[1][:2]
    with pytest.raises(ValueError, match=r"responses\[1\] has 2 entries.*N_neurons is 3"):
        ds.validate()
    ds = make()
    ds.responses[1] = torch.ones(2, 2, 20)
    with pytest.raises(ValueError, match=r"N_neurons = 3"):
        ds.validate()
    ds = make()
    ds.responses[1] = 3
    with pytest.raises(TypeError, match=r"responses\[1\] must be a list"):
        ds.validate()
    ds = make()
    ds.validate()
    ds.N_neurons = 4
    with pytest.raises(ValueError, match="N_neurons is 4"):
        len(ds)


def test_dtypes(make):
    ds = make()
    ds.responses[0] = [torch.ones(3, 30, dtype=torch.int64), torch.ones(2, 30, dtype=torch.bool), NO_DATA]
    ds.responses[1] = [torch.ones(3, 20, dtype=torch.float64), NO_DATA, NO_DATA]
    ds.validate()
    assert ds.responses[0][0].dtype == torch.float32
    assert ds.responses[1][0].dtype == torch.float64


def test_stacked_row_is_kept_without_copy_and_trimmed():
    values = torch.rand(2, 3, 5)
    assert PackedResponses([values], 2)[0].block.values.data_ptr() == values.data_ptr()
    values[1, 2] = float("nan")
    packed = PackedResponses([values], 2)
    assert packed[0][1].shape == (2, 5)
    assert packed[0][0].shape == (3, 5)
    values[0] = float("nan")
    assert PackedResponses([values], 2)[0][0].shape == (1, 1)


def test_pickle_and_deepcopy(ds):
    for twin in (pickle.loads(pickle.dumps(ds)), copy.deepcopy(ds)):
        assert torch.equal(twin.responses[2][1], ds.responses[2][1])
        twin.responses[2][1] = torch.zeros(4, 40)
        assert ds.responses[2][1].any()
        assert twin[0]["responses"][0].shape == (3, 30)


def test_a_pickled_item_holds_its_neurons_only():
    ds = NeuralDataset.from_arrays([torch.rand(2, 50)], [torch.rand(40, 10, 50)], dt_ms=5.0)
    ds.select_neuron(3)
    item = ds[0]
    assert len(pickle.dumps(item)) < 5000 + 4 * 10 * 50 * 2
    assert torch.equal(pickle.loads(pickle.dumps(item))["responses"][0], item["responses"][0])


def test_rows_that_share_tensors_or_make_them_when_asked_are_packed_right():
    values = [None, 1.0, None, 2.0, None, 1.0, 1.0]

    class MadeWhenAsked(Sequence):
        def __len__(self):
            return len(values)

        def __getitem__(self, neuron):
            return NO_DATA.clone() if values[neuron] is None else torch.full((2, 3), values[neuron])

    shared = torch.ones(2, 3)
    for row in (MadeWhenAsked(), [NO_DATA if value is None else shared for value in values]):
        block = PackedResponses([row], n_neurons=7)[0].block
        assert block.neurons.tolist() == [1, 3, 5, 6]
        assert block.values.shape == (4, 2, 3)
