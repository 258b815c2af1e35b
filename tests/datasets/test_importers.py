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
        (STIMS, GOOD[:1], ValueError, "1 response, 2 stimuli"),
        ([np.ones((1, 2, 3, 10))], GOOD[:1], ValueError, r"stims\[0\] must be a spectrogram .* got \(1, 2, 3, 10\)"),
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


def recording_of(response, stim=None):
    stim = np.random.default_rng(0).random((2, 4)) if stim is None else stim
    return NeuralDataset.from_arrays([stim], [response], dt_ms=5.0)


def test_masked_responses_are_missing_and_masked_stimuli_an_error():
    values = np.ma.masked_array(np.arange(8.0).reshape(1, 2, 4), mask=np.zeros((1, 2, 4), bool))
    values[0, 1, 2] = np.ma.masked
    response = recording_of(values).responses[0][0]
    assert response.isnan().nonzero().tolist() == [[1, 2]]
    stim = np.ma.masked_array(np.ones((2, 4)), mask=[[0, 0, 0, 1], [0, 0, 0, 0]])
    with pytest.raises(ValueError, match=r"stims\[0\] has 1 masked values"):
        recording_of(values, stim)


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x[..., ::-1][..., ::-1],
        lambda x: x.astype(">f8"),
        lambda x: x.astype(np.longdouble),
        lambda x: np.asfortranarray(x),
        lambda x: torch.from_numpy(x),
        lambda x: x.tolist(),
    ],
    ids=["negative strides", "big-endian", "longdouble", "Fortran", "torch", "lists"],
)
def test_arrays_of_any_layout(convert):
    values = np.random.default_rng(1).random((1, 2, 4))
    data = recording_of([convert(values[0])], convert(np.random.default_rng(0).random((2, 4))))
    np.testing.assert_allclose(data.responses[0][0].numpy(), values[0].astype(np.float32))
    assert data.stims[0].dtype == torch.float32


class Frame:
    """What is asked of a pandas frame; pandas itself is not a dependency."""

    def __init__(self, values, columns):
        self.values, self.columns = values, columns

    def to_numpy(self):
        return self.values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)

    def __len__(self):
        return len(self.values)


def test_columns_of_a_data_frame_are_neurons():
    counts = np.arange(8.0).reshape(4, 2)
    data = recording_of(Frame(counts, ["a1", "b2"]))
    assert [meta["cell_id"] for meta in data.nrn_meta] == ["a1", "b2"]
    assert data.responses[0][1].tolist() == [[1.0, 3.0, 5.0, 7.0]]


def test_sparse_matrices_and_one_band():
    scipy_sparse = pytest.importorskip("scipy.sparse")
    data = recording_of([scipy_sparse.csr_matrix(np.eye(4)[:2])], np.arange(4.0))
    assert data.responses[0][0].tolist() == np.eye(4)[:2].tolist()
    assert data.stims[0].shape == (1, 1, 4)


@pytest.mark.parametrize(
    ("response", "error", "message"),
    [
        (np.zeros((3, 4)), ValueError, r"for single trials of 3 neurons pass responses\[:, None\]"),
        ([[np.array([1.0, 2.0]), np.array([3.0])]], TypeError, "spike times, give them to from_spike_times"),
        ([np.array([[1.0, 2.0], [3.0, 4.0]])], ValueError, "cut both to the shorter|spike times"),
        (np.zeros((1, 2, 5)), ValueError, r"cut both to the shorter: \[..., :4\]"),
        (np.zeros((1, 2, 20)), ValueError, r"5 bins per bin of the stimulus, add them up"),
        ([np.zeros(1, dtype=[("t", "f8"), ("id", "i4")])], TypeError, "a struct with the fields t, id"),
        ([np.array([None, 3], dtype=object)], TypeError, "array of numbers, got one of objects"),
    ],
)
def test_what_else_an_array_might_be(response, error, message):
    with pytest.raises(error, match=message):
        recording_of(response)


def test_a_bin_width_in_seconds():
    with pytest.raises(ValueError, match=r"in milliseconds, got 0\.005; did you mean 5\?"):
        NeuralDataset.from_arrays([np.ones((2, 4))], [np.ones((1, 1, 4))], dt_ms=0.005)


def test_frequencies_of_the_bands_are_kept():
    def make(frequencies):
        arrays = [np.ones((2, 4))] * 2, [np.ones((1, 1, 4))] * 2
        return AudioNeuralDataset.from_arrays(*arrays, 5.0, frequencies_hz=frequencies)

    data = make([500, 1000.0])
    assert data.frequencies_hz == data.subset([1]).frequencies_hz == (data + data).frequencies_hz == (500.0, 1000.0)
    for bad in ([500.0], [-1.0, 5.0]):
        with pytest.raises(ValueError, match="frequencies_hz"):
            make(bad)
    for bad in (["low", "high"], 3.0):
        with pytest.raises(TypeError, match="frequencies_hz"):
            make(bad)
