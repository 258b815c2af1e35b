"""Long recordings in chunks: what is in them, and that training on them is truncated backpropagation."""

import copy

import pytest
import torch

from deepSTRF.datasets import ChunkLoader, NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.metrics import mse_loss
from deepSTRF.models.audio import StateNet
from deepSTRF.training import Fitter
from deepSTRF.training.units import calibrate_new_model, in_units_of_scale


def recording(*lengths, n_neurons=3, bands=8):
    torch.manual_seed(0)
    return AudioNeuralDataset.from_arrays(
        [torch.randn(bands, n) for n in lengths], [torch.rand(n_neurons, 2, n) for n in lengths], dt_ms=10.0
    )


def test_chunks_make_up_the_recordings_in_order():
    dataset = recording(25, 10, 7)
    batches = list(ChunkLoader(dataset, chunk_bins=10))
    assert [(batch["stims"].shape[-1], batch["onset"]) for batch in batches] == [
        (8, True),
        (8, False),
        (9, False),
        (10, True),
        (7, True),
    ]
    assert torch.equal(torch.cat([batch["stims"] for batch in batches[:3]], -1)[0], dataset.stims[0])
    assert torch.equal(torch.cat([batch["responses"] for batch in batches[:3]], -1)[0, 1], dataset.responses[0][1])
    assert [batch["stim_meta"] for batch in batches[3:]] == [[dataset.stim_meta[1]], [dataset.stim_meta[2]]]


def test_stimuli_side_by_side_are_padded_as_in_a_batch():
    dataset = recording(25, 12)
    batches = list(ChunkLoader(dataset, chunk_bins=10, batch_size=2))
    whole = neural_collate([dataset[0], dataset[1]])
    assert len(batches) == 3
    for name in ("stims", "responses", "valid_mask"):
        joined = torch.cat([batch[name] for batch in batches], -1)
        assert torch.equal(joined.nan_to_num(-1), whole[name].nan_to_num(-1))


def test_waveforms_are_cut_at_bins():
    dataset = NeuralDataset("", 10.0)
    dataset.stims, dataset.responses = [torch.randn(1, 160 * 7)], [[torch.rand(2, 7)]]
    dataset.stim_meta, dataset.nrn_meta, dataset.N_neurons = [{}], [{}], 1
    dataset.validate()
    batches = list(ChunkLoader(dataset, chunk_bins=4))
    assert [batch["stims"].shape for batch in batches] == [(1, 1, 480), (1, 1, 640)]
    dataset.stims[0] = torch.randn(1, 160 * 7 + 1)
    with pytest.raises(ValueError, match="whole number of samples per bin"):
        list(ChunkLoader(dataset, chunk_bins=4))


def test_a_gap_is_left_out_and_what_follows_begins_anew():
    responses = torch.rand(1, 3, 2, 40)
    responses[..., 10:20] = torch.nan
    dataset = AudioNeuralDataset.from_arrays([torch.randn(8, 40)], list(responses), dt_ms=10.0)
    batches = list(ChunkLoader(dataset, chunk_bins=10))
    assert [batch["onset"] for batch in batches] == [True, True, False]
    assert torch.equal(batches[1]["stims"], dataset.stims[0][None, ..., 20:30])


def test_the_order_is_drawn_from_the_generator():
    dataset = recording(*range(5, 25))
    loader = ChunkLoader(dataset, 100, shuffle=True, generator=torch.Generator().manual_seed(1))
    first, second = ([batch["stims"].shape[-1] for batch in loader] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(5, 25))
    assert first != second
    again = ChunkLoader(dataset, 100, shuffle=True, generator=torch.Generator().manual_seed(1))
    assert [batch["stims"].shape[-1] for batch in again] == first


@pytest.mark.parametrize("arguments", [{"chunk_bins": 0}, {"chunk_bins": 5, "batch_size": -1}])
def test_impossible_sizes(arguments):
    with pytest.raises(ValueError, match="must be a positive integer"):
        ChunkLoader(recording(10), **arguments)
    with pytest.raises(TypeError):
        ChunkLoader(recording(10), chunk_bins=2.5)


def make_model():
    torch.manual_seed(1)
    return StateNet(8, out_neurons=3, kernel_size=4, hidden_channels=2)


def fitter(model, loader, **options):
    val = [neural_collate([recording(30)[0]])]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Fitter(model, loader, val, optimizer=optimizer, max_epochs=2, patience=9, log_fn=None, **options)


def test_training_on_chunks_is_the_hand_written_loop():
    dataset = recording(24, 18)
    model = make_model()
    reference = copy.deepcopy(model)
    history = fitter(model, ChunkLoader(dataset, chunk_bins=6)).fit()

    calibrate_new_model(reference, ChunkLoader(dataset, chunk_bins=6), mse_loss)
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        losses.append([])
        for s in range(2):
            state, response = None, torch.stack(list(dataset.responses[s]))[None].mean(2, keepdim=True)
            for start in range(0, response.shape[-1], 6):
                piece = dataset.stims[s][None, ..., start : start + 6]
                pred, state = reference.step(piece, state)
                loss = mse_loss(*in_units_of_scale(reference, pred, response[..., start : start + 6]))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                state = (*state[:2], state[2].detach(), *state[3:])
                losses[-1].append(loss.item())
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert [row["train_loss"] for row in history] == pytest.approx([sum(row) / len(row) for row in losses])


def test_a_chunk_as_long_as_the_recording_is_ordinary_training():
    dataset = recording(23, 17)
    chunked, whole = make_model(), make_model()
    fitter(chunked, ChunkLoader(dataset, chunk_bins=23)).fit()
    fitter(whole, torch.utils.data.DataLoader(dataset, 1, collate_fn=neural_collate)).fit()
    for ours, theirs in zip(chunked.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_evaluating_in_chunks_predicts_what_the_whole_does():
    dataset = recording(64)
    model = make_model()
    cc = fitter(model, [1]).evaluate(ChunkLoader(dataset, chunk_bins=9))["cc"]
    whole = fitter(model, [1]).evaluate([neural_collate([dataset[0]])])["cc"]
    torch.testing.assert_close(cc, whole)


def test_a_training_on_chunks_resumes(tmp_path):
    dataset = recording(23, 17)

    def train(name, epochs):
        training = fitter(make_model(), ChunkLoader(dataset, 6, shuffle=True), ckpt_path=tmp_path / name, resume=True)
        training.max_epochs = epochs
        torch.manual_seed(3)
        return [row["train_loss"] for row in training.fit()]

    train("killed.pt", 1)
    assert train("killed.pt", 2) == train("whole.pt", 2)


def test_a_model_without_a_state_to_carry_is_named():
    with pytest.raises(TypeError, match=r"Conv2d .*forward_chunk"):
        fitter(torch.nn.Conv2d(1, 3, (8, 1)), ChunkLoader(recording(12), 6)).fit()
