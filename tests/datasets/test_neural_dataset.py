import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.datasets.selection import EmptySelectionError
from deepSTRF.testing import check_dataset

NAN = float("nan")


def test_after_init():
    ds = NeuralDataset("somewhere", 5.0)
    assert isinstance(ds, Dataset)
    assert (ds.path, ds.dt, ds.N_neurons) == ("somewhere", 5.0, 0)
    assert ds.responses == ds.stims == ds.stim_meta == ds.nrn_meta == ds.I == []
    assert ds.S_sel is None
    assert ds.nrn_masks.shape == (0, 0)
    assert ds.nrn_masks.dtype == torch.bool
    assert len(ds) == 0
    assert list(ds) == []
    with pytest.raises(ValueError, match="N_neurons"):
        ds.validate()


def test_lists_are_not_shared_between_instances():
    one, other = NeuralDataset("a", 1.0), NeuralDataset("b", 1.0)
    one.stims.append(torch.zeros(1, 1, 1))
    one.I.append(0)
    assert other.stims == other.I == []


def test_sizes_ignore_the_selection(ds):
    ds.select_neuron(1)
    ds.select_stims([0])
    assert ds.get_N() == 3
    assert ds.get_S() == 4
    assert len(ds.stims) == len(ds.responses) == 4


def test_repr(ds):
    ds.select_population([0, 2])
    assert repr(ds) == str(ds) == "NeuralDataset(N_neurons=3, selected=2, N_stims=4, dt_ms=5.0)"
    ds.select_population([])
    assert "selected=0" in repr(ds)


# --- masks


def test_masks(ds):
    expected = [[True, True, False], [True, False, False], [True, True, True], [False, True, False]]
    assert ds.nrn_masks.tolist() == expected
    assert ds.nrn_masks is ds.nrn_masks


def test_masks_without_validate(make):
    assert make().nrn_masks[0].tolist() == [True, True, False]


def test_a_partly_missing_pair_is_not_missing(ds):
    response = torch.rand(2, 20)
    response[0, 0] = NAN
    response[1, 3:] = NAN
    ds.responses[1][0] = response
    assert ds.nrn_masks[1, 0]
    item = ds[1]
    assert item["valid_mask"].tolist() == [True, False, False]
    torch.testing.assert_close(item["responses"][0], response, equal_nan=True)


def test_masks_after_writing_in_place(ds):
    masks = ds.nrn_masks
    ds.responses[1][0].fill_(NAN)
    assert ds.nrn_masks is masks  # cached, as documented
    ds._invalidate_nrn_masks()
    assert not ds.nrn_masks[1].any()
    assert len(ds) == 3


def test_empty_masks():
    ds = NeuralDataset("x", 1.0)
    ds.N_neurons = 7
    assert ds.nrn_masks.shape == (0, 7)


# --- items


def test_items(ds):
    assert len(ds) == 4
    item = ds[0]
    assert set(item) == {"stims", "responses", "valid_mask", "psth", "statistics", "stim_meta"}
    assert item["stims"] is ds.stims[0]
    assert type(item["responses"]).__mro__[1] is list
    assert isinstance(item["responses"], list)
    assert [tuple(r.shape) for r in item["responses"]] == [(3, 30), (2, 30), (1, 1)]
    assert item["valid_mask"].tolist() == [True, True, False]
    assert item["stim_meta"] is ds.stim_meta[0]
    assert ds[-1]["stim_meta"]["n"] == 3


def test_changing_an_items_mask_leaves_the_data_set(ds):
    ds[0]["valid_mask"][:] = False
    assert ds[0]["valid_mask"].any()


@pytest.mark.parametrize("index", [np.int64(2), np.uint8(2), torch.tensor(2), -2])
def test_any_integer_is_an_index(ds, index):
    assert ds[index]["stim_meta"]["n"] == 2


@pytest.mark.parametrize(
    "index", [slice(1, 3), [1, 2], (1, 2), np.array([1, 2]), torch.tensor([1, 2]), [-3, np.int32(2)]]
)
def test_several_items(ds, index):
    items = ds[index]
    assert [meta["n"] for meta in items["stim_meta"]] == [1, 2]
    assert set(items) == set(ds[0])
    assert all(isinstance(entry, list) and len(entry) == 2 for entry in items.values())


def test_an_empty_slice(ds):
    assert ds[4:] == {"stims": [], "responses": [], "valid_mask": [], "psth": [], "statistics": [], "stim_meta": []}


@pytest.mark.parametrize("index", [4, -5, np.int64(9), [0, 4]])
def test_out_of_range(ds, index):
    with pytest.raises(IndexError, match="4 stimuli have data"):
        ds[index]


@pytest.mark.parametrize("index", ["0", 0.0, None, True, np.bool_(True), torch.tensor(True), {0}, torch.tensor([True])])
def test_other_types(ds, index):
    with pytest.raises(TypeError, match="item index"):
        ds[index]


def test_iteration_and_loader(ds):
    assert [item["stim_meta"]["n"] for item in ds] == [0, 1, 2, 3]
    batches = list(DataLoader(ds, batch_size=3, collate_fn=neural_collate))
    assert [len(batch["stim_meta"]) for batch in batches] == [3, 1]


def test_a_stimulus_without_data_has_no_item(ds):
    ds.responses[1] = [torch.full((1, 1), NAN)] * 3
    assert [item["stim_meta"]["n"] for item in ds] == [0, 2, 3]


def test_a_subclass_can_add_keys(make):
    class WithPupil(NeuralDataset):
        def _item(self, stimulus):
            return {**super()._item(stimulus), "pupil": torch.full((3,), float(stimulus))}

    ds = make(WithPupil)
    batch = neural_collate([ds[0], ds[2]])
    assert [float(p[0]) for p in batch["pupil"]] == [0.0, 2.0]
    assert len(ds[:]["pupil"]) == 4


# --- validation


def spoil(**changes):
    def apply(ds):
        for name, value in changes.items():
            setattr(ds, name, value)

    return apply


def drop(name):
    return lambda ds: getattr(ds, name).pop()


def set_stim(value):
    return lambda ds: ds.stims.__setitem__(1, value)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (spoil(path=3), TypeError, "path"),
        (spoil(dt=0.0), ValueError, "dt must be a positive"),
        (spoil(dt=-1.0), ValueError, "dt must be a positive"),
        (spoil(dt=NAN), ValueError, "dt must be a positive"),
        (spoil(dt="5"), TypeError, "dt must be a number"),
        (spoil(N_neurons=0), ValueError, "N_neurons must be positive"),
        (spoil(N_neurons=3.0), TypeError, "N_neurons must be an integer"),
        (spoil(N_neurons=True), TypeError, "N_neurons must be an integer"),
        (spoil(stims=[], responses=[], stim_meta=[]), ValueError, "no stimuli"),
        (drop("stims"), ValueError, "one entry per stimulus, got 3, 4 and 4"),
        (drop("responses"), ValueError, "one entry per stimulus, got 4, 3 and 4"),
        (drop("stim_meta"), ValueError, "one entry per stimulus, got 4, 4 and 3"),
        (drop("nrn_meta"), ValueError, "nrn_meta has 2 entries"),
        (set_stim(torch.full((1, 8, 20), NAN)), ValueError, r"stims\[1\] holds NaN"),
        (set_stim(torch.full((1, 8, 20), float("inf"))), ValueError, r"stims\[1\] holds NaN or infinite"),
        (set_stim(torch.ones(1, 8, 20, dtype=torch.int64)), TypeError, r"stims\[1\] must be a floating point"),
        (set_stim(np.ones((1, 8, 20))), TypeError, r"stims\[1\] must be a floating point"),
        (set_stim(torch.ones(20)), ValueError, r"stims\[1\] must be a spectrogram"),
        (
            lambda ds: ds.responses[2].__setitem__(1, torch.full((1, 40), float("inf"))),
            ValueError,
            r"responses\[2\]\[1\]",
        ),
    ],
)
def test_validate(make, change, error, message):
    ds = make()
    change(ds)
    with pytest.raises(error, match=message):
        ds.validate()


def test_metadata_of_any_type(make):
    """0.1.0's users keep tuples there: only selecting by attribute needs dicts."""
    ds = make()
    ds.nrn_meta = [("A1", 100), {"area": "AAF"}, None]
    ds.stim_meta = [("song", 0), "noise", {"kind": "song"}, 3]
    ds.validate()
    assert ds[0]["stim_meta"] == ("song", 0)
    assert ds.select_pop_by_nrn_predicate(lambda meta: meta[1] > 50) == [0]
    ds.reset_pop_selection()
    assert ds.select_stims_by_predicate(lambda meta: False) == []
    with pytest.raises(EmptySelectionError, match="metadata keys: kind"):
        ds[0]
    ds.reset_stim_selection()
    with pytest.raises(TypeError, match=r"nrn_meta\[0\] must be a dict to be selected by attribute, got a tuple"):
        ds.select_pop_by_nrn_attr("area", "AAF")
    with pytest.raises(TypeError, match=r"stim_meta\[0\] must be a dict"):
        ds.select_stims_by_attr("kind", "song")
    ds.compute_neuron_quality()
    assert set(ds.nrn_meta[1]) == {"area", "snr", "ccmax"}
    assert ds.subset([1, 3]).stim_meta == ["noise", 3]
    joined = ds + ds.averaged()
    assert joined.nrn_meta[0] == joined.nrn_meta[3] == ("A1", 100)
    assert joined.nrn_meta[1]["dataset"] == "NeuralDataset"
    copied = NeuralDataset.from_arrays([np.ones((3, 8))], [np.ones((2, 1, 8))], 5.0, nrn_meta=ds.nrn_meta[:2])
    assert copied.nrn_meta[0] == ("A1", 100)
    check_dataset(ds)
