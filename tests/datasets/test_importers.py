import numpy as np
import pytest
import torch

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset

STIMS = [np.random.default_rng(0).random((4, 10)), np.random.default_rng(1).random((1, 4, 6))]


def test_ragged_lists():
    responses = [
        [np.ones((3, 10)), np.arange(10), None],
        [torch.ones(2, 6), None, torch.full((1, 1), float("nan"))],
    ]
    ds = AudioNeuralDataset.from_arrays(STIMS, responses, 5.0, nrn_meta=[{"id": k} for k in "abc"], path="mine")
    assert type(ds) is AudioNeuralDataset
    assert (ds.F, ds.path, ds.dt, ds.N_neurons) == (4, "mine", 5.0, 3)
    assert [tuple(stim.shape) for stim in ds.stims] == [(1, 4, 10), (1, 4, 6)]
    assert ds.stims[0].dtype == torch.float32
    assert ds.nrn_masks.tolist() == [[True, True, False], [True, False, False]]
    assert ds.responses[0][1].tolist() == [[float(k) for k in range(10)]]
    assert ds.stim_meta == [{}, {}]
    assert ds.stim_meta[0] is not ds.stim_meta[1]


def test_arrays_and_counts():
    counts = np.random.default_rng(0).poisson(0.3, (2, 3, 10))
    padded = torch.rand(2, 3, 6)
    padded[0, 2] = float("nan")
    padded[1] = float("nan")
    ds = NeuralDataset.from_arrays(STIMS, [counts, padded], dt_ms=5.0)
    assert type(ds) is NeuralDataset
    np.testing.assert_array_equal(ds.responses[0][1], counts[1])
    assert ds.responses[1][0].shape == (2, 6)
    assert ds.nrn_masks.tolist() == [[True, True], [True, False]]


def test_one_array_for_everything():
    ds = NeuralDataset.from_arrays(np.ones((5, 4, 10)), np.ones((5, 3, 2, 10)), dt_ms=5.0)
    assert (ds.get_S(), ds.get_N()) == (5, 3)


def test_data_are_copied():
    stim, response = np.ones((4, 10), dtype=np.float32), torch.ones(2, 3, 10)
    ds = NeuralDataset.from_arrays([stim], [response], dt_ms=5.0)
    stim[:] = 7
    response[:] = 7
    assert ds.stims[0].max() == 1
    assert ds.responses[0][0].max() == 1


def test_a_subclass_with_another_constructor():
    class Mine(AudioNeuralDataset):
        def __init__(self, folder, animal):
            raise NotImplementedError

    assert type(Mine.from_arrays(STIMS[:1], [np.ones((2, 3, 10))], 5.0)) is Mine


GOOD = [np.ones((2, 3, 10)), np.ones((2, 3, 6))]


@pytest.mark.parametrize(
    ("stims", "responses", "error", "message"),
    [
        ([], [], ValueError, "at least one stimulus"),
        (STIMS, GOOD[:1], ValueError, "1 responses, 2 stimuli"),
        ([np.ones(10)], GOOD[:1], ValueError, r"stims\[0\] must be a spectrogram .* got \(10,\)"),
        ([np.ones((2, 4, 10))], GOOD[:1], ValueError, r"stims\[0\] must be a spectrogram"),
        ([["a"]], GOOD[:1], TypeError, r"stims\[0\] must be an array of numbers"),
        ([3], GOOD[:1], TypeError, r"stims\[0\] must be a NumPy array"),
        ([np.ones((4, 10)), np.ones((5, 6))], GOOD, ValueError, r"same number of bands, got \[4, 5\]"),
        ([np.full((4, 10), np.nan)], GOOD[:1], ValueError, r"stims\[0\] holds NaN"),
        (STIMS, [GOOD[0], np.ones((3, 3, 6))], ValueError, r"responses\[1\] has 3 neurons, responses\[0\] has 2"),
        (STIMS, [GOOD[0], np.ones((2, 3, 7))], ValueError, r"responses\[1\] has 7 bins, its stimulus has 6"),
        (STIMS, [GOOD[0], np.ones((3, 6))], ValueError, r"responses\[1\] is an array of shape \(3, 6\)"),
        (STIMS, [GOOD[0], [None, np.ones(5)]], ValueError, r"responses\[1\]\[1\] has 5 bins, stimulus 1 has 6"),
        (STIMS, [GOOD[0], [None, np.ones((1, 1, 6))]], ValueError, r"responses\[1\]\[1\] must have shape"),
        (STIMS, [GOOD[0], [None, "spikes"]], TypeError, r"responses\[1\]\[1\] must be a NumPy array"),
        (STIMS, [GOOD[0], 3], TypeError, r"responses\[1\] must be an array"),
        (STIMS, [GOOD[0], 1j * GOOD[1]], TypeError, r"responses\[1\] is complex"),
        (STIMS, [GOOD[0], GOOD[1] * np.inf], ValueError, r"responses\[1\]\[0\] holds infinite"),
    ],
)
def test_clear_errors(stims, responses, error, message):
    with pytest.raises(error, match=message):
        NeuralDataset.from_arrays(stims, responses, dt_ms=5.0)


def test_metadata_of_the_wrong_length():
    with pytest.raises(ValueError, match="nrn_meta has 1 entries"):
        NeuralDataset.from_arrays(STIMS, GOOD, 5.0, nrn_meta=[{}])
