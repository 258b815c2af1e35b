"""Every recipe fits itself to what is there: few and many bands or pixels, neurons, short and long windows and bins."""

import numpy as np
import pytest
import torch

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.datasets.video import VideoNeuralDataset
from deepSTRF.models.audio import StateNet
from deepSTRF.registry import get_recipe, model_cards

# Frame of a stimulus, neurons, ms of a bin, ms of the window, bins of a stimulus.
SOUNDS = {
    "one band, one neuron": ((1,), 1, 5.0, 150.0, 40),
    "two hundred bands": ((200,), 2, 5.0, 20.0, 40),
    "two thousand neurons": ((4,), 2000, 5.0, 10.0, 12),
    "four bands, a long window": ((4,), 2, 5.0, 500.0, 110),
    "one bin as window": ((8,), 2, 50.0, 30.0, 20),
    "bins of 1 ms": ((4,), 2, 1.0, 60.0, 80),
}
MOVIES = {
    "one pixel": ((1, 1), 2, 10.0, 100.0, 30),
    "a bar": ((1, 20), 2, 10.0, 30.0, 20),
    "one bin as window": ((5, 4), 2, 50.0, 30.0, 20),
    "many neurons": ((4, 4), 500, 10.0, 50.0, 20),
    "a long window": ((4, 4), 1, 10.0, 500.0, 60),
    "many pixels": ((60, 60), 2, 20.0, 40.0, 12),
}
N_STIMS = 6


def recording(cls, frame, n_neurons, dt_ms, n_bins, waveforms=False):
    generator = np.random.default_rng(0)
    data = cls.from_arrays(
        [generator.random((*frame, n_bins)) for _ in range(N_STIMS)],
        [generator.poisson(0.5, (n_neurons, 1, n_bins)) for _ in range(N_STIMS)],
        dt_ms=dt_ms,
    )
    if waveforms:
        data.audio_fs, data.return_waveform = 16000, True
        data.stims = [torch.randn(1, n_bins * data.hop) for _ in range(N_STIMS)]
    return data


CASES = [
    pytest.param(
        name,
        size,
        id=f"{name}-{label}",
        # Their closed form, and waveforms, take seconds where cores are busy.
        marks=pytest.mark.slow
        if (name in ("ridge", "linear-nonlinear") and label.startswith("two")) or name == "icnet"
        else (),
    )
    for name, card in model_cards().items()
    for label, size in (MOVIES if card.stimulus == "movie" else SOUNDS).items()
]


@pytest.mark.filterwarnings("ignore:the best penalty")  # there is nothing to find in noise
@pytest.mark.parametrize(("name", "size"), CASES)
def test_a_recipe_is_built_and_makes_a_step(name, size):
    frame, n_neurons, dt_ms, window_ms, n_bins = size
    cls = VideoNeuralDataset if model_cards()[name].stimulus == "movie" else AudioNeuralDataset
    torch.manual_seed(0)
    data = recording(cls, frame, n_neurons, dt_ms, n_bins, waveforms=model_cards()[name].stimulus == "waveform")
    recipe = get_recipe(name)
    torch.manual_seed(0)
    model = recipe.build(data, data, window_ms)
    batch = neural_collate([data[0], data[1]])
    if recipe.settings is not None:
        model.train()
        (model(batch["stims"]) - 0.5).square().mean().backward()
        assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)
    with torch.no_grad():
        prediction = model.eval()(batch["stims"])
    assert prediction.shape == (2, n_neurons, 1, n_bins)
    assert bool(prediction.isfinite().all())


def test_a_network_with_a_window_sees_that_window():
    data = recording(AudioNeuralDataset, (8,), 2, 5.0, 40)
    for name in ("linear", "nrf", "dnet", "transformer"):
        assert get_recipe(name).build(data, data, 60.0).T == 12
    assert get_recipe("convnet2d").build(data, data, 60.0).T == 10  # three convolutions of four bins


def test_a_constructor_says_which_kernel_fits():
    with pytest.raises(ValueError, match="kernel_size=7 is more than the 4 bands: give kernel_size=4 or less"):
        StateNet(n_frequency_bands=4)
