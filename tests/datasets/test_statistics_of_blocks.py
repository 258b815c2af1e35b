"""PSTH and statistics of items and batches are those of the responses as they are now."""

import pickle

import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader, Subset

from deepSTRF.datasets import ChunkLoader, NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.packed import ItemBlock
from deepSTRF.lazy import Pending, stored
from deepSTRF.metrics.batches import powers_of_stimuli
from deepSTRF.models.regression.trials import read_trials
from deepSTRF.utils import neural_collate

NAN = float("nan")


def make(dtype=torch.float64):
    """Two stimuli of different length; neuron 1 has fewer repeats and a lost bin, neuron 2 heard only the second."""
    generator = torch.Generator().manual_seed(0)
    ds = NeuralDataset("made", 5.0)
    ds.N_neurons = 3
    ds.nrn_meta, ds.stim_meta = [{} for _ in range(3)], [{}, {}]
    ds.stims = [torch.rand(1, 4, bins, generator=generator).to(dtype) for bins in (40, 25)]
    rows = [[torch.rand(r, bins, generator=generator).to(dtype) for r in (4, 2, 3)] for bins in (40, 25)]
    rows[0][1][0, 3:6] = NAN
    rows[0][2] = torch.full((1, 1), NAN, dtype=dtype)
    ds.responses = rows
    ds.validate()
    return ds


def assert_current(ds):
    """The statistics of all batches equal what is computed from their responses."""
    for size in (1, len(ds)):
        for start in range(0, len(ds), size):
            items = [ds[i] for i in range(start, min(start + size, len(ds)))]
            batch = neural_collate(items)
            responses = batch["responses"]
            torch.testing.assert_close(batch["psth"], responses.nanmean(2, keepdim=True), equal_nan=True)
            for own, expected in zip(batch["statistics"], powers_of_stimuli(responses), strict=True):
                torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-12)
            for b, item in enumerate(items):
                bins = item["psth"].shape[-1]
                torch.testing.assert_close(batch["psth"][b, :, 0, :bins], item["psth"], equal_nan=True)
                assert item["statistics"].signal.tolist() == batch["statistics"].signal[b].tolist()


def test_they_are_made_with_the_block_and_shared_by_parts():
    ds = make()
    psth = ds.responses[0].block.summary.psth
    assert_current(ds)
    assert ds.subset([0]).responses[0].block.summary.psth is psth
    assert (ds + ds).responses[0].block.summary.psth is psth
    assert ds.responses[0].block.summary.psth is psth


@pytest.mark.parametrize(
    "change",
    [
        lambda ds: ds.smooth_responses(),
        lambda ds: ds.normalize_responses("max"),
        lambda ds: ds.normalize_responses("zscore"),
        lambda ds: ds.select_population([2, 0]),
        lambda ds: ds.select_neuron(1),
        lambda ds: ds.select_stim(1),
        lambda ds: ds.responses[0].__setitem__(2, torch.rand(5, 40, dtype=torch.float64)),
        lambda ds: ds.responses.__setitem__(0, list(torch.rand(3, 2, 40, dtype=torch.float64))),
        lambda ds: ds.responses[0][0].mul_(3.0),
        lambda ds: ds.responses[1][1].__setitem__((0, slice(4, 9)), NAN),
    ],
)
def test_they_follow_every_change_of_the_responses(change):
    ds = make()
    assert_current(ds)
    change(ds)
    assert_current(ds)


def test_what_numpy_writes_is_seen_after_invalidating():
    ds = make()
    ds.responses[0][0].numpy()[:] = 2.0
    ds._invalidate_nrn_masks()
    assert_current(ds)
    assert ds[0]["psth"][0].unique().tolist() == [2.0]


@pytest.mark.parametrize(
    "derive",
    [
        lambda ds: ds.subset([1, 0]),
        lambda ds: ds + make(),
        lambda ds: ds.averaged(),
        lambda ds: ds.in_blocks(2, gap_ms=15),
        lambda ds: ds.select("repeats>2"),
        lambda ds: pickle.loads(pickle.dumps(ds)),
    ],
)
def test_parts_sums_and_copies_have_their_own(derive):
    derived = derive(make())
    assert_current(derived)


def test_writing_to_an_average_leaves_the_source_alone():
    ds = make()
    averaged = ds.averaged()
    for row in averaged.responses:
        row.block.values.fill_(7.0)
    assert_current(averaged)
    assert_current(ds)


@pytest.mark.parametrize("wrap", [lambda ds: Subset(ds, [1]), lambda ds: ConcatDataset([ds, ds])])
def test_wrapped_data_sets_keep_them(wrap):
    assert_current(wrap(make()))


def test_exchanged_responses_have_statistics_of_their_own():
    ds = make()
    items = [{**ds[i], "responses": [2 * response for response in ds[i]["responses"]]} for i in range(2)]
    batch, plain = neural_collate(items), neural_collate([ds[i] for i in range(2)])
    torch.testing.assert_close(batch["psth"], 2 * plain["psth"], equal_nan=True)
    torch.testing.assert_close(batch["statistics"].signal, 4 * plain["statistics"].signal)


def test_an_element_exchanged_in_place_counts_in_copies_of_the_item_too():
    item = make()[0]
    twin = item.copy()
    twin["responses"][0] = torch.full((1, 40), 2.0, dtype=torch.float64)
    for one in (item, twin):
        assert neural_collate([one])["psth"][0, 0].unique().tolist() == [2.0]


def test_items_without_them_get_them_in_the_batch():
    ds = make()
    keys = ("stims", "responses", "valid_mask", "stim_meta")
    batch = neural_collate([{key: ds[i][key] for key in keys} for i in range(2)])
    expected = neural_collate([ds[i] for i in range(2)])
    torch.testing.assert_close(batch["psth"], expected["psth"], equal_nan=True)


def test_an_item_and_a_batch_share_no_memory_with_the_data_set():
    ds = make()
    item, batch = ds[1], neural_collate([ds[1]])
    for tensor in (item["psth"], batch["psth"], *item["statistics"], *batch["statistics"], batch["responses"]):
        tensor.fill_(5.0)
    assert_current(ds)


def test_nothing_is_made_for_an_item_of_a_recording_of_sounds():
    sound = AudioNeuralDataset.from_arrays([torch.rand(4, 40)], [torch.rand(2, 1, 40)], dt_ms=5.0)
    item = sound[0]
    assert all(isinstance(stored(item, key), Pending) for key in ("responses", "psth", "statistics"))
    (trial,) = read_trials(sound, "train")  # reads what is there, as no copy of a long recording would do
    assert trial.psth.data_ptr() == sound.responses[0].block.values.data_ptr()


def test_responses_are_not_collated_before_someone_asks(monkeypatch):
    ds = make()
    shapes = []
    place = ItemBlock.place

    def recording(self, values, row, *missing):
        shapes.append(tuple(values.shape))
        return place(self, values, row, *missing)

    monkeypatch.setattr(ItemBlock, "place", recording)
    batch = neural_collate([ds[1]])
    _ = batch["psth"], batch["statistics"]
    assert all(4 not in shape[1:2] for shape in shapes)
    assert batch["responses"].shape == (1, 3, 4, 25)
    assert (3, 4, 25) in shapes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_averages_in_full(dtype):
    ds = make(dtype)
    batch = neural_collate([ds[0]])
    assert batch["responses"].dtype == dtype
    assert batch["psth"].dtype == torch.float32
    expected = batch["responses"].float().nanmean(2, keepdim=True)
    torch.testing.assert_close(batch["psth"], expected, equal_nan=True)


def test_chunks_carry_those_of_their_bins():
    for batch in ChunkLoader(make(), chunk_bins=15, batch_size=2):
        expected = batch["responses"].nanmean(2, keepdim=True)
        torch.testing.assert_close(batch["psth"], expected, equal_nan=True)
        for own, of_responses in zip(batch["statistics"], powers_of_stimuli(batch["responses"]), strict=True):
            torch.testing.assert_close(own, of_responses)
        assert torch.equal(batch["valid_mask"], ~batch["responses"].isnan())


@pytest.mark.slow
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_worker_processes_send_them(context):
    ds = make()
    loader = DataLoader(ds, batch_size=2, collate_fn=neural_collate, num_workers=1, multiprocessing_context=context)
    (batch,) = loader
    expected = neural_collate([ds[0], ds[1]])
    assert list(batch) == list(expected)
    for name in ("stims", "responses", "valid_mask", "psth"):
        torch.testing.assert_close(batch[name], expected[name], equal_nan=True)
    assert all(torch.equal(own, other) for own, other in zip(batch["statistics"], expected["statistics"], strict=True))
