"""Movies of any size are predicted and trained in bounded memory, with the numbers of the whole."""

import pytest
import torch
from torch import nn

from deepSTRF.datasets import ChunkLoader, NeuralDataset
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.datasets.video import SimulatedMovieDataset, VideoNeuralDataset
from deepSTRF.metrics import mse_loss
from deepSTRF.models import from_recording
from deepSTRF.models.audio import StateNet
from deepSTRF.models.bin_by_bin import predict_in_pieces
from deepSTRF.models.from_recording import place_neurons
from deepSTRF.models.video import ConvGRUNet, ConvNet3D, VideoEncodingModel, VideoLinearNonlinear
from deepSTRF.registry import get_recipe
from deepSTRF.runs.scores import predict_stimuli
from deepSTRF.training import Fitter, memory
from deepSTRF.training.memory import chunks_in_memory, saved_bytes_per_bin
from deepSTRF.training.prediction import predict_batch
from deepSTRF.training.recipes import fit_recipe

MODELS = {
    "convnet3d": lambda size: ConvNet3D(size, (3, 4), (3, 3), (3, 2), out_neurons=2),
    "convgru": lambda size: ConvGRUNet(size, 3, 2, encoder_channels=2, hidden_channels=3, spatial_kernel=3),
    "video-ln": lambda size: VideoLinearNonlinear(size, 4, 2, rank=1),
}


def movies(*lengths, size=(6, 5), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return VideoNeuralDataset.from_arrays(
        [torch.randn(*size, n, generator=generator) for n in lengths],
        [torch.rand(2, 2, n, generator=generator) for n in lengths],
        dt_ms=20.0,
    )


@pytest.fixture(params=MODELS)
def model(request):
    torch.manual_seed(0)
    made = MODELS[request.param]((6, 5)).train()
    made(torch.randn(1, 1, 6, 5, 40))  # statistics of the normalisation that are not those of a new model
    return made.eval()


@pytest.mark.parametrize("n_bins", [1, 5, 23])
def test_a_movie_in_pieces_is_predicted_as_the_whole(model, n_bins):
    stims = torch.randn(2, 1, 6, 5, 47)
    with torch.no_grad():
        torch.testing.assert_close(predict_in_pieces(model, stims, n_bins * 60), model(stims), rtol=1e-5, atol=1e-5)


def test_pieces_do_not_grow_with_the_movie(model, monkeypatch):
    monkeypatch.setattr("deepSTRF.models.bin_by_bin._VALUES_AT_ONCE", 300)
    sizes = []
    model.prefiltering.register_forward_hook(lambda _, inputs, __: sizes.append(inputs[0].numel()))
    dataset = movies(80, 20)
    fitter = Fitter(model, [1], [1], log_fn=None)
    whole = [model(stim[None])[0, :, 0].detach() for stim in dataset.stims]
    assert max(sizes) == 80 * 30
    sizes.clear()
    for ours, theirs in zip(predict_stimuli(model, dataset.stims), whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    scores = fitter.evaluate(torch.utils.data.DataLoader(dataset, 1, collate_fn=neural_collate))
    assert max(sizes) <= 300
    pred = nn.utils.rnn.pad_sequence([w.T for w in whole], batch_first=True).transpose(1, 2)[:, :, None]
    expected = mse_loss(pred, neural_collate([dataset[0], dataset[1]])["responses"])
    assert scores["loss"] == pytest.approx(float(expected), rel=1e-4)


def test_a_gradient_and_a_model_that_cannot_go_in_pieces_need_the_whole(monkeypatch):
    monkeypatch.setattr("deepSTRF.models.bin_by_bin._VALUES_AT_ONCE", 300)

    class Centred(VideoEncodingModel):
        """Its convolution is no part that says how it treats time."""

        def __init__(self):
            super().__init__((6, 5), 1, out_neurons=2)
            self.core = nn.Conv3d(1, 2, (6, 5, 1))
            self.readout = nn.Flatten(2, 3)

    dataset, unknown = movies(50), Centred().eval()
    batch = neural_collate([dataset[0]])
    with torch.no_grad():
        whole = unknown(batch["stims"])
        assert torch.equal(predict_batch(unknown, batch), whole)
    assert chunks_in_memory(unknown, dataset, 1, most_bytes=1.0) is None
    stims = batch["stims"].requires_grad_()
    model = MODELS["convnet3d"]((6, 5)).eval()
    pred = predict_batch(model, {**batch, "stims": stims})
    assert torch.equal(pred, model(stims))


def kept_by_a_step(model, batch):
    kept = {}
    hooks = torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.update({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()}) or t, lambda t: t
    )
    with hooks:
        pred = model.forward_chunk(batch["stims"], onset=batch["onset"])
    total = sum(kept.values())
    del pred
    model.detach()
    return total


def test_what_a_step_keeps_does_not_grow_with_the_frames(model):
    most = 40 * saved_bytes_per_bin(model, (1, 6, 5))
    kept = []
    for n_bins in (100, 200, 400):
        dataset = movies(n_bins, n_bins)
        chunks = chunks_in_memory(model, dataset, batch_size=2, most_bytes=most)
        loader = iter(ChunkLoader(dataset, chunks.bins, chunks.batch_size))
        kept.append(max(kept_by_a_step(model, next(loader)) for _ in range(2)))
    assert kept[0] == kept[1] == kept[2] <= 1.5 * most + 1e5  # beside the weights


def test_larger_pictures_make_shorter_chunks_but_none_shorter_than_two_windows():
    small, large, model = movies(500), movies(500, size=(12, 10)), MODELS["convnet3d"]
    most = 100 * saved_bytes_per_bin(model((6, 5)), (1, 6, 5))
    assert chunks_in_memory(model((6, 5)), small, 1, most_bytes=most).bins == 100
    assert 20 <= chunks_in_memory(model((12, 10)), large, 1, most_bytes=most).bins <= 30
    assert chunks_in_memory(model((12, 10)), large, 1, most_bytes=1.0) == (2 * 4, 1)
    two = movies(500, 500)
    assert chunks_in_memory(model((6, 5)), two, 2, most_bytes=most) == (50, 2)
    assert chunks_in_memory(model((6, 5)), two, 2, most_bytes=most / 5) == (20, 1)  # rather than 10 bins of both
    assert chunks_in_memory(model((6, 5)), two, 2) is None


def test_sounds_are_left_whole():
    dataset = NeuralDataset.from_arrays([torch.rand(8, 1000)], [torch.rand(2, 1, 1000)], dt_ms=10.0)
    model = StateNet(8, out_neurons=2)
    assert chunks_in_memory(model, dataset, 1, most_bytes=1.0) is None
    assert chunks_in_memory(model, dataset, 1, chunk_bins=100) == (100, 1)
    assert chunks_in_memory(model, dataset, 1, chunk_bins=1) == (2 * model.T, 1)


@pytest.mark.parametrize("name", ["video-ln", "convnet3d", "convgru"])
def test_a_recipe_cuts_what_would_not_fit(name, monkeypatch):
    monkeypatch.setattr(memory, "saved_bytes_per_bin", lambda *_: memory._MOST_SAVED / 30)
    train, val, _ = SimulatedMovieDataset(3, 4, 1.5, 2, 25.0, spatial_resol=(5, 6)).split("holdout:1")
    recipe = get_recipe(name)
    fit = fit_recipe(recipe, recipe.settings, train, val, seed=0, max_epochs=1)
    assert isinstance(fit.fitter.train_loader, ChunkLoader)
    assert fit.fitter.train_loader.chunk_bins <= 30
    assert fit.history[0]["val_cc_norm"].isfinite().all()


def test_only_a_chunk_is_copied():
    dataset = movies(300)
    batches = list(ChunkLoader(dataset, 20))
    assert all(batch["stims"].untyped_storage().nbytes() == 20 * 30 * 4 for batch in batches)


def test_a_chunk_that_ends_in_zeros_is_not_taken_for_padded():
    grey = torch.randn(1, 1, 6, 5, 40)
    grey[..., 10:30] = 0.0
    dataset = VideoNeuralDataset.from_arrays(
        [grey[0, 0], grey[0, 0, ..., :25]], [torch.rand(2, 1, n) for n in (40, 25)], 20.0
    )
    chunks = list(ChunkLoader(dataset, 20, batch_size=2))
    assert [chunk["in_stimulus"].sum(1).tolist() for chunk in chunks] == [[20, 20], [20, 5]]
    seen = []
    model = MODELS["convnet3d"]((6, 5)).train()
    model.core.norms[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    for chunk in chunks:
        predict_batch(model, chunk)
        assert torch.equal(seen[-1][:, :20], chunk["in_stimulus"])
    assert all(norm.known is None for norm in model.core.norms)


def test_neurons_are_placed_by_all_parts_of_a_movie(monkeypatch):
    dataset = SimulatedMovieDataset(n_neurons=4, n_stims=2, duration_s=5.0, n_repeats=6)
    whole = place_neurons(dataset, 12)
    monkeypatch.setattr(from_recording, "_BINS_AT_ONCE", 77)
    assert torch.equal(place_neurons(dataset, 12), whole)
    assert place_neurons(movies(5, 300), 12).shape == (2, 2)  # shorter than the lags
    true = torch.tensor([[meta["row"], meta["column"]] for meta in dataset.nrn_meta])
    assert bool(((whole - true).abs() < 1.5).all())
