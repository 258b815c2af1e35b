import numpy as np
import pytest
import torch

from deepSTRF.datasets.neural_dataset import EmptySelectionError

# data: stimulus 0 by neurons 0, 1; 1 by 0; 2 by all; 3 by neuron 1


def numbers(ds):
    return [item["stim_meta"]["n"] for item in ds]


def test_select_neuron(ds):
    ds.select_neuron(1)
    assert ds.I == [1]
    assert numbers(ds) == [0, 2, 3]
    assert len(ds[0]["responses"]) == 1
    assert torch.equal(ds[0]["responses"][0], ds.responses[0][1])
    ds.reset_pop_selection()
    assert ds.I == []
    assert len(ds) == 4


def test_select_population_keeps_its_order(ds):
    ds.select_population([2, 0])
    item = ds[-1]
    assert item["stim_meta"]["n"] == 2
    assert torch.equal(item["responses"][0], ds.responses[2][2])
    assert torch.equal(item["responses"][1], ds.responses[2][0])
    assert ds[0]["valid_mask"].tolist() == [False, True]
    assert [meta["area"] for meta in ds.get_nrn_meta()] == ["A1", "A1"]


@pytest.mark.parametrize("call", ["select_neuron", "select_stim"])
@pytest.mark.parametrize(
    ("index", "error"),
    [(-1, IndexError), (99, IndexError), (True, TypeError), (1.0, TypeError), ("1", TypeError), (None, TypeError)],
)
def test_wrong_indices(ds, call, index, error):
    with pytest.raises(error):
        getattr(ds, call)(index)
    with pytest.raises(error):
        getattr(ds, {"select_neuron": "select_population", "select_stim": "select_stims"}[call])([0, index])
    assert ds.I == []
    assert ds.S_sel is None


@pytest.mark.parametrize("one", [np.int64(1), torch.tensor(1)])
def test_any_integer(ds, one):
    ds.select_neuron(one)
    ds.select_stim(one - 1)
    assert ds.I == [1]
    assert ds.S_sel == [0]


def test_by_neuron_attribute(ds):
    assert ds.select_pop_by_nrn_attr("area", "A1") == [0, 2]
    assert ds.I == [0, 2]
    assert ds.select_pop_by_nrn_attr("depth", 200) == [1]  # one neuron has no depth


def test_by_neuron_predicate(ds):
    assert ds.select_pop_by_nrn_predicate(lambda meta: meta["depth"] < 150) == [0]
    assert ds.select_pop_by_nrn_predicate(lambda meta: meta.get("depth") > 150) == [1]  # None > 150: TypeError
    with pytest.raises(ZeroDivisionError):
        ds.select_pop_by_nrn_predicate(lambda meta: 1 / 0)


def test_by_stimulus(ds):
    assert ds.select_pop_by_stim_attr("kind", "noise") == [0]
    assert ds.select_pop_by_stim_attr("kind", "song") == [0, 1, 2]
    assert ds.select_pop_by_stim_predicate(lambda meta: meta["n"] == 3) == [1]
    assert ds.S_sel is None


def test_stimuli(ds):
    ds.select_stims([2, 0])
    assert numbers(ds) == [0, 2]
    assert ds.select_stims_by_attr("kind", "song") == [0, 2]
    assert ds.select_stims_by_predicate(lambda meta: meta["n"] > 1) == [2, 3]
    assert numbers(ds) == [2, 3]
    ds.reset_stim_selection()
    assert ds.S_sel is None
    assert len(ds) == 4


def test_neurons_without_selected_stimuli_are_hidden(ds):
    ds.select_stims([0, 1])
    assert len(ds[0]["responses"]) == 2
    assert ds[1]["valid_mask"].tolist() == [True, False]
    ds.select_population([2, 1])
    assert len(ds[0]["responses"]) == 1
    assert torch.equal(ds[0]["responses"][0], ds.responses[0][1])
    assert numbers(ds) == [0]
    assert ds.N_neurons == 3


def test_neurons_and_stimuli_that_never_meet(ds):
    ds.select_neuron(2)
    ds.select_stim(0)
    assert len(ds) == 0
    with pytest.raises(EmptySelectionError, match="no selected neuron has data"):
        ds[0]


NOTHING = {
    "select_pop_by_nrn_attr": ("area", "MGB"),
    "select_pop_by_stim_attr": ("kind", "rain"),
    "select_pop_by_nrn_predicate": (lambda meta: False,),
    "select_pop_by_stim_predicate": (lambda meta: False,),
    "select_stims_by_attr": ("kind", "rain"),
    "select_stims_by_predicate": (lambda meta: False,),
}


@pytest.mark.parametrize("call", NOTHING)
def test_no_match_means_none(ds, call):
    assert getattr(ds, call)(*NOTHING[call]) == []
    assert len(ds) == 0
    for use in (
        lambda: ds[0],
        lambda: ds[-1],
        lambda: ds[:],
        lambda: ds[[0]],
        lambda: list(ds),
        lambda: next(iter(ds)),
    ):
        with pytest.raises(EmptySelectionError, match=call) as caught:
            use()
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, IndexError)
    if "pop" in call:
        assert ds.I == []
        assert ds.get_nrn_meta() == []
    else:
        assert ds.S_sel == []
    ds.reset_pop_selection()
    ds.reset_stim_selection()
    assert len(ds) == 4


def test_the_message_lists_what_there_is(ds):
    ds.select_pop_by_nrn_attr("area", "MGB")
    with pytest.raises(EmptySelectionError, match=r"'MGB'.*matched no neuron; values of 'area': 'A1', 'AAF'"):
        ds[0]
    ds.select_pop_by_nrn_attr("layer", 4)
    with pytest.raises(EmptySelectionError, match=r"no metadata has the key 'layer'; metadata keys: area, depth"):
        ds[0]


def test_empty_population_is_explicit_but_assigned_empty_list_is_all(ds):
    ds.select_population([])
    assert len(ds) == 0
    ds.I = []
    assert len(ds) == 4
    assert len(ds.get_nrn_meta()) == 3
    ds.select_stims([])
    assert len(ds) == 0
    with pytest.raises(EmptySelectionError, match=r"select_stims\(\[\]\)"):
        ds[0]
    ds.S_sel = []
    assert len(ds) == 0
    with pytest.raises(EmptySelectionError, match="S_sel is"):
        ds[0]
    ds.S_sel = None
    assert len(ds) == 4


def test_lists_changed_by_hand_are_never_stale(ds):
    ds.I = [1]
    assert numbers(ds) == [0, 2, 3]
    ds.I.append(0)
    assert numbers(ds) == [0, 1, 2, 3]
    assert len(ds[0]["responses"]) == 2
    ds.I[:] = [2]
    assert numbers(ds) == [2]
    mine = [0]
    ds.I = mine
    assert numbers(ds) == [0, 1, 2]
    mine[0] = 2
    assert numbers(ds) == [2]
    ds.I.clear()
    ds.S_sel = [0, 3]
    assert numbers(ds) == [0, 3]
    ds.S_sel.remove(0)
    assert numbers(ds) == [3]
    ds.I = np.array([1, 0])
    ds.S_sel = (0, 1)
    assert numbers(ds) == [0, 1]
    ds.I = [7]
    with pytest.raises(IndexError, match="no neuron 7"):
        len(ds)


def test_clearing_after_a_failed_selection(ds):
    ds.select_pop_by_nrn_attr("area", "MGB")
    ds.I.append(1)
    assert len(ds) == 3
    ds.I.clear()
    assert len(ds) == 4


def test_repeated_neurons(ds):
    ds.select_population([1, 1, 0])
    assert len(ds[0]["responses"]) == 3
    assert torch.equal(ds[0]["responses"][0], ds[0]["responses"][1])


def test_selection_sees_assigned_responses(ds):
    ds.select_neuron(2)
    assert numbers(ds) == [2]
    ds.responses[0][2] = torch.ones(2, 30)
    assert numbers(ds) == [0, 2]
    assert ds[0]["responses"][0].shape == (2, 30)
