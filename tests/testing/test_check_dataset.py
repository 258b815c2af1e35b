"""The suite passes for sound data sets and fails for each broken one."""

import copy

import pytest
import torch

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.testing.dataset import check_dataset
from deepSTRF.testing.errors import ContractError

NO_DATA = torch.full((1, 1), float("nan"))
REPEATS = ((3, 2, 0), (2, 0, 0), (4, 4, 1), (0, 1, 0))
BINS = (30, 20, 40, 25)


def make(cls=AudioNeuralDataset):
    generator = torch.Generator().manual_seed(0)
    stims = [torch.rand(4, bins, generator=generator) for bins in BINS]
    responses = [
        [torch.rand(r, bins, generator=generator) if r else None for r in row]
        for row, bins in zip(REPEATS, BINS, strict=True)
    ]
    return cls.from_arrays(
        stims, responses, 5.0, stim_meta=[{"n": s} for s in range(4)], nrn_meta=[{"n": n} for n in range(3)]
    )


def test_sound_data_sets_pass():
    check_dataset(make)
    check_dataset(make(NeuralDataset))
    check_dataset(lambda: SimulatedDataset(n_neurons=4, n_stims=5, duration_s=0.5, n_repeats=3, missing=0.3))


def test_the_data_set_is_left_as_found():
    ds = make()
    ds.select_neuron(1)
    ds.select_stims([0, 2])
    before = copy.deepcopy(ds)
    check_dataset(ds)
    assert ds.I == [1]
    assert ds.S_sel == [0, 2]
    assert ds.nrn_meta == before.nrn_meta
    for stim, old in zip(ds.stims, before.stims, strict=True):
        assert torch.equal(stim, old)
    for row, old_row in zip(ds.responses, before.responses, strict=True):
        torch.testing.assert_close(list(row), list(old_row), equal_nan=True)


def test_what_is_no_data_set():
    for other in (3, lambda: 3, NeuralDataset):
        with pytest.raises((ContractError, TypeError)):
            check_dataset(other)
    with pytest.raises(ContractError, match="validate"):
        check_dataset(NeuralDataset("x", 5.0))


class NoValidation(AudioNeuralDataset):
    """Checks nothing itself, so that the suite has to."""

    def validate(self):
        pass


def nan_in_stimulus(ds):
    ds.stims[1] = torch.full((1, 4, 20), float("nan"))


def integer_stimulus(ds):
    ds.stims[1] = torch.ones(1, 4, 20, dtype=torch.int64)


def other_bands(ds):
    ds.stims[1] = torch.ones(1, 5, 20)


def lost_metadata(ds):
    ds.stim_meta.pop()


def lost_neuron_metadata(ds):
    ds.nrn_meta.pop()


def infinite_response(ds):
    ds.responses[2][1] = torch.full((1, 40), float("inf"))


def other_length(ds):
    ds.stims[2] = torch.ones(1, 4, 41)


def negative_dt(ds):
    ds.dt = -5.0


def overlapping_protocol(ds):
    ds.__dict__["protocols"] = {"bad": {"train": (0, 1), "val": (1,), "test": (2,)}}


def empty_protocol(ds):
    ds.__dict__["protocols"] = {"bad": {"train": (0, 1), "val": (), "test": (2,)}}


def protocol_beyond(ds):
    ds.__dict__["protocols"] = {"bad": {"train": (0, 1), "val": (2,), "test": (9,)}}


@pytest.mark.parametrize(
    "damage",
    [
        nan_in_stimulus,
        integer_stimulus,
        other_bands,
        lost_metadata,
        lost_neuron_metadata,
        infinite_response,
        other_length,
        negative_dt,
        overlapping_protocol,
        empty_protocol,
        protocol_beyond,
    ],
)
def test_damaged_data(damage):
    ds = make(NoValidation)
    damage(ds)
    with pytest.raises(ContractError, match="NoValidation"):
        check_dataset(ds)


class StaleMask(AudioNeuralDataset):
    @property
    def nrn_masks(self):
        return torch.ones(4, 3, dtype=torch.bool)


class WrongMask(AudioNeuralDataset):
    @property
    def nrn_masks(self):
        mask = super().nrn_masks
        mask[0, 2] = True
        return mask


class WrongLength(AudioNeuralDataset):
    def __len__(self):
        return 3


class LacksKey(AudioNeuralDataset):
    def _item(self, stimulus):
        item = super()._item(stimulus)
        del item["valid_mask"]
        return item


class ForgetsSelection(AudioNeuralDataset):
    def _item(self, stimulus):
        item = super()._item(stimulus)
        item["responses"] = list(self.responses[stimulus])
        item["valid_mask"] = self.nrn_masks[stimulus].clone()
        return item


class ShiftedItems(AudioNeuralDataset):
    def _item(self, stimulus):
        return super()._item((stimulus + 1) % 4)


class ZeroForMissing(AudioNeuralDataset):
    def _item(self, stimulus):
        item = super()._item(stimulus)
        item["responses"] = [r.nan_to_num(nan=0.0) for r in item["responses"]]
        return item


class TupleOfResponses(AudioNeuralDataset):
    def _item(self, stimulus):
        item = super()._item(stimulus)
        item["responses"] = tuple(item["responses"])
        return item


class IntegerMask(AudioNeuralDataset):
    def _item(self, stimulus):
        item = super()._item(stimulus)
        item["valid_mask"] = item["valid_mask"].long()
        return item


class PythonIntegersOnly(AudioNeuralDataset):
    def __getitem__(self, index):
        if type(index) not in (int, slice, list):
            raise TypeError(index)
        return super().__getitem__(index)


class ListOfItems(AudioNeuralDataset):
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        return super().__getitem__(index)


class WrapsAround(AudioNeuralDataset):
    def __getitem__(self, index):
        return super().__getitem__(index % len(self) if isinstance(index, int) and len(self) else index)


class NoMatchMeansAll(AudioNeuralDataset):
    def select_pop_by_nrn_predicate(self, predicate):
        chosen = super().select_pop_by_nrn_predicate(predicate)
        self.I = chosen
        return chosen


class ResetForgetsStims(AudioNeuralDataset):
    def select_stims_by_attr(self, name, value):
        self.select_stims([0])
        return [0]


class AcceptsNegative(AudioNeuralDataset):
    def select_neuron(self, i):
        super().select_neuron(i % self.N_neurons)


class SelectionIgnored(AudioNeuralDataset):
    def select_stim(self, i):
        super().select_stim(i)
        self.S_sel = None


class StandardizesInPlace(AudioNeuralDataset):
    def standardize_stims(self, stim_indices=None, per_band=True, eps=1e-8):
        for stim in self.stims:
            stim -= 1
        return super().standardize_stims(stim_indices, per_band, eps)


class SmoothsMissingAway(AudioNeuralDataset):
    def smooth_responses(self, window_ms=21.0, *, unit_gain=False):
        self.responses = [[torch.zeros(1, 30)] * 3 for _ in self.stims]


class SubsetDropsNeurons(AudioNeuralDataset):
    def subset(self, stim_indices):
        part = super().subset(stim_indices)
        part.nrn_meta = part.nrn_meta[::-1]
        return part


class SubsetOfOthers(AudioNeuralDataset):
    def subset(self, stim_indices):
        return super().subset([(s + 1) % 4 for s in stim_indices])


class RandomSplit(AudioNeuralDataset):
    def split_indices(self, protocol, *, seed=0):
        self.calls = getattr(self, "calls", 0) + 1
        return super().split_indices(protocol, seed=self.calls)


class AnySplit(AudioNeuralDataset):
    def split_indices(self, protocol, *, seed=0):
        return super().split_indices("holdout:1", seed=seed)


class AddsAnything(AudioNeuralDataset):
    def __add__(self, other):
        return super().__add__(other) if isinstance(other, NeuralDataset) else self


class ConcatForgetsClass(AudioNeuralDataset):
    def __add__(self, other):
        joined = super().__add__(other)
        if joined is not NotImplemented:
            joined.__class__ = AudioNeuralDataset
        return joined


class ConcatSharesNeurons(AudioNeuralDataset):
    def __add__(self, other):
        joined = super().__add__(other)
        if joined is not NotImplemented:
            joined.responses[4][0] = joined.responses[0][0]
        return joined


BROKEN = [cls for cls in AudioNeuralDataset.__subclasses__() if cls.__module__ == __name__ and cls is not NoValidation]


@pytest.mark.parametrize("cls", BROKEN, ids=lambda cls: cls.__name__)
def test_broken_classes(cls):
    check_dataset(make())
    with pytest.raises(ContractError, match=cls.__name__):
        check_dataset(make(cls))
