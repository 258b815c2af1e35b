"""Training on a device of its own: the history of the CPU; no step waits; data that fit are copied there once."""

import itertools
from dataclasses import replace

import pytest
import torch
from accelerator import DEVICE, accelerator
from torch.utils.data import DataLoader

from deepSTRF import devices
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.datasets.video import SimulatedMovieDataset
from deepSTRF.metrics import poisson_loss
from deepSTRF.models.audio import Linear, LinearNonlinear
from deepSTRF.registry import get_recipe
from deepSTRF.training import Fitter, memory
from deepSTRF.training.recipes import fit_recipe
from deepSTRF.utils import neural_collate


def _many(n_stims=15):
    return SimulatedDataset(n_neurons=3, n_stims=n_stims, duration_s=0.3)


def _few():
    return SimulatedDataset(n_neurons=3, n_stims=5, duration_s=1.5)


def _movies():
    return SimulatedMovieDataset(n_neurons=2, n_stims=6, duration_s=0.8, dt_ms=20.0, spatial_resol=(5, 6))


def _sparse():
    generator = torch.Generator().manual_seed(0)
    bins = range(40, 55)
    stims = [torch.rand(34, n, generator=generator) for n in bins]
    responses = [[torch.rand(2, n, generator=generator) if (n + k) % 2 else None for k in range(3)] for n in bins]
    return AudioNeuralDataset.from_arrays(stims, responses, dt_ms=5.0)


def _fit(recording, model="linear", batch_size=1, epochs=2, members=1, **options):
    """Fit a recipe; also the number of waits and of copies to the device after each epoch, if there is a log."""
    log, marks = options.pop("log", None), []
    recipe = get_recipe(model)
    settings = replace(recipe.settings, epochs=epochs, batch_size=batch_size, members=members)
    train, val, _ = recording.split("holdout:1")
    fit = fit_recipe(
        recipe, settings, train, val, seed=0, window_ms=25.0,
        on_epoch=lambda *_: log and marks.append((len(log.waits), len(log.uploads))), **options,
    )  # fmt: skip
    return fit, [tuple(b - a for a, b in zip(*pair, strict=True)) for pair in itertools.pairwise(marks)]


def _assert_same(history, expected):
    """The bias in front of a batch normalisation has no gradient but rounding, which AdamW makes steps of."""
    for got, want in zip(history, expected, strict=True):
        assert got.keys() == want.keys()
        for name in want:
            a, b = (torch.as_tensor(row[name]) for row in (got, want))
            torch.testing.assert_close(a, b, rtol=0.01, atol=0.005, equal_nan=True)


@pytest.fixture
def room(monkeypatch):
    """Function that says how many bytes are free on the device."""

    def say(free):
        monkeypatch.setattr(memory, "free_memory", lambda device: free if device.type == DEVICE.type else 0)

    return say


@pytest.mark.parametrize(
    ("make", "model", "free", "has_float64"),
    [
        pytest.param(_many, "linear", 1e9, True, id="kept"),
        pytest.param(_many, "linear", 0, False, id="streamed, without float64"),
        pytest.param(_sparse, "linear", 1e9, False, id="sparse, without float64"),
        pytest.param(_sparse, "linear", 0, True, id="sparse, streamed"),
        pytest.param(_few, "linear-nonlinear", 1e9, True, id="chunks"),
        pytest.param(_movies, "video-ln", 1e9, False, id="movies, without float64"),
    ],
)
def test_a_fit_is_that_of_the_cpu(make, model, free, has_float64, room, monkeypatch):
    expected, _ = _fit(make(), model)
    room(free)
    if not has_float64:
        monkeypatch.setattr(devices, "WITHOUT_FLOAT64", {DEVICE.type})
    with accelerator(has_float64=has_float64):
        fit, _ = _fit(make(), model, device=DEVICE)
        _assert_same(fit.history, expected.history)
        fit.model.cpu()
        for got, want in zip(fit.model.parameters(), expected.model.parameters(), strict=True):
            if want.ndim > 1:
                torch.testing.assert_close(got.detach(), want.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("free", "members"), [(0, 1), (1e9, 1), (1e9, 2)], ids=["streamed", "kept", "kept, of an ensemble"]
)
def test_an_epoch_waits_as_often_whatever_its_number_of_steps(free, members, room):
    room(free)
    waits = set()
    for n_stims in (15, 20):
        with accelerator() as log:
            _, epochs = _fit(_many(n_stims), log=log, members=members, device=DEVICE)
        waits |= {epoch[0] for epoch in epochs}
    assert len(waits) == 1
    assert waits.pop() < 20 * members  # the loss of the epoch, and the statistics of its scores


def test_chunks_wait_once_for_each_group_of_stimuli(room):
    room(1e9)
    waits = []
    for duration in (1.5, 3.0):
        recording = SimulatedDataset(n_neurons=3, n_stims=5, duration_s=duration)
        with accelerator() as log:
            fit, epochs = _fit(recording, "linear-nonlinear", log=log, device=DEVICE)
        assert fit.fitter.train_loader.chunk_bins < duration * 200
        waits.append(epochs[-1][0])
    assert waits[0] == waits[1]


def test_data_that_fit_are_copied_once(room):
    copies = {}
    for free in (0, 1e9):
        room(free)
        with accelerator() as log:
            _, epochs = _fit(_many(), log=log, device=DEVICE)
        copies[free] = epochs[-1][1]
    assert copies == {0: 2 * 13 + 2, 1e9: 0}  # stimuli and averages of 13 training batches and one for validation


def test_data_that_do_not_fit_stay():
    recording = _many()
    takes = sum(stim.nbytes for stim in recording.stims) + sum(4 * 3 * stim.shape[-1] for stim in recording.stims)
    with pytest.MonkeyPatch.context() as patch, accelerator():
        for free, stays in ((takes / 0.4 - 9, True), (takes / 0.4 + 9, False)):
            patch.setattr(memory, "free_memory", lambda device, free=free: free)
            assert (memory.kept_on(DEVICE, recording) is recording) == stays


def test_a_fitter_with_loaders_of_the_user():
    train, val, _ = _many().split("holdout:2")

    def fit(device, batch_size=4):
        torch.manual_seed(0)
        loaders = [DataLoader(part, batch_size=batch_size, collate_fn=neural_collate) for part in (train, val)]
        model = LinearNonlinear(n_frequency_bands=train.F, temporal_window_size=5, out_neurons=3)
        log_of_epochs = []
        fitter = Fitter(
            model, *loaders, loss_fn=poisson_loss, max_grad_norm=1.0, max_epochs=2, device=device,
            track_per_cell_best=True, restore_best=True, log_fn=lambda _: log_of_epochs.append(len(log.waits)),
        )  # fmt: skip
        return fitter.fit(), log_of_epochs[1] - log_of_epochs[0]

    with accelerator() as log:
        expected, _ = fit("cpu")
        history, waits = fit(DEVICE)
        _assert_same(history, expected)
        assert fit(DEVICE, batch_size=1)[1] == waits


def test_other_losses_and_metrics():
    train, val, _ = _many().split("holdout:2")

    def fit(device):
        torch.manual_seed(0)
        loaders = [DataLoader(part, batch_size=4, collate_fn=neural_collate) for part in (train, val)]
        model = Linear(n_frequency_bands=train.F, temporal_window_size=5, out_neurons=3)
        return Fitter(
            model, *loaders, loss_fn=lambda pred, responses: (pred - responses).square().nanmean(), max_epochs=2,
            val_metrics={"own": lambda pred, responses: (pred - responses).abs().nanmean()}, monitor="val_own",
            device=device, log_fn=None,
        ).fit()  # fmt: skip

    with accelerator():
        _assert_same(fit(DEVICE), fit("cpu"))


def test_a_fit_is_resumed_on_the_device(tmp_path, room):
    room(1e9)
    options = {"ckpt_path": tmp_path / "best.pt", "resume": True, "device": DEVICE}
    with accelerator():
        whole, _ = _fit(_few(), "linear-nonlinear", device=DEVICE)
        _fit(_few(), "linear-nonlinear", max_epochs=1, **options)
        resumed, _ = _fit(_few(), "linear-nonlinear", **options)
        assert resumed.fitter.start_epoch == 1
        _assert_same(resumed.history, whole.history)
