"""A tidy table of spikes gives the tensors of from_arrays."""

import numpy as np
import pytest
import torch

from deepSTRF.datasets.audio import AudioNeuralDataset

pd = pytest.importorskip("pandas")

STIMS = {"rain": np.random.default_rng(0).random((4, 60)), "birds": np.random.default_rng(1).random((4, 80))}


def tidy(seed=0):
    """A shuffled table, and counts by numpy.histogram in the order of STIMS."""
    rng = np.random.default_rng(seed)
    rows, counts = [], []
    for name, n_bins, repeats in (("rain", 60, (1, 2)), ("birds", 80, (1, 2, 3))):
        block = np.zeros((2, len(repeats), n_bins), dtype=np.float32)
        for neuron, unit in enumerate((2, 10)):
            for repeat in repeats:
                times = rng.uniform(0, n_bins / 100, rng.integers(1, 20))
                rows += [(unit, name, repeat, time) for time in times]
                block[neuron, repeat - 1] = np.histogram(times, np.arange(n_bins + 1) / 100)[0]
        counts.append(block)
    frame = pd.DataFrame(rows, columns=["neuron", "stimulus", "repeat", "time"]).sample(frac=1, random_state=seed)
    return frame, counts


def rows_of(dataset, stimulus):
    return torch.stack(list(dataset.responses[stimulus])).numpy()


def test_a_row_per_spike_gives_the_counts_of_histograms():
    frame, counts = tidy()
    ds = AudioNeuralDataset.from_frame(STIMS, frame, 10.0, unit="s")
    other = AudioNeuralDataset.from_arrays(list(STIMS.values()), counts, 10.0)
    for own, one in zip(ds.responses, other.responses, strict=True):
        assert torch.equal(own.block.values, one.block.values)
    assert all(torch.equal(own, one) for own, one in zip(ds.stims, other.stims, strict=True))
    assert [meta["cell_id"] for meta in ds.nrn_meta] == ["2", "10"]
    assert [meta["name"] for meta in ds.stim_meta] == ["rain", "birds"]


def test_other_names_units_and_files(tmp_path):
    frame, counts = tidy()
    frame["time"] *= 1000
    frame = frame.rename(columns={"neuron": "unit id", "time": "ms", "repeat": "trial"})
    names = {"neuron": "unit id", "time": "ms", "repeat": "trial"}
    frame.to_csv(tmp_path / "spikes.csv", index=False)
    for table in (frame, frame.to_dict("list"), tmp_path / "spikes.csv"):
        ds = AudioNeuralDataset.from_frame(STIMS, table, 10.0, unit="ms", **names)
        assert np.array_equal(rows_of(ds, 1), counts[1])


def test_a_row_without_time_is_a_recorded_repeat():
    frame = {"neuron": ["a", "b", "a"], "stimulus": ["rain"] * 3, "repeat": [1, 1, 2], "time": [0.1, 0.2, np.nan]}
    ds = AudioNeuralDataset.from_frame(STIMS, frame, 10.0, unit="s")
    assert rows_of(ds, 0).sum(-1).tolist() == [[1, 0], [1, 0]]
    ds = AudioNeuralDataset.from_frame(STIMS, frame, 10.0, unit="s", complete=False)
    assert [response.shape[0] for response in ds.responses[0]] == [2, 1]
    assert len(ds.stims) == 1


def test_samples_of_a_continuous_response():
    frame = {
        "neuron": ["a"] * 3,
        "stimulus": ["rain"] * 3,
        "repeat": [0] * 3,
        "time": [0.0, 0.01, 0.03],
        "dff": [1, 2.5, 3],
    }
    ds = AudioNeuralDataset.from_frame(STIMS, frame, 10.0, unit="s", value="dff")
    assert np.array_equal(rows_of(ds, 0)[0, 0, :5], [1, 2.5, np.nan, 3, np.nan], equal_nan=True)
    frame["time"][1] = 0.0
    with pytest.raises(ValueError, match="rows 0 and 1 of frame have values for the same bin"):
        AudioNeuralDataset.from_frame(STIMS, frame, 10.0, unit="s", value="dff")


def test_what_is_wrong_is_said():
    frame, _ = tidy()
    with pytest.raises(TypeError, match="unit must be given"):
        AudioNeuralDataset.from_frame(STIMS, frame, 10.0)
    with pytest.raises(
        ValueError, match=r"unknown column 'neuron'; available: .* The column with the neuron of each row"
    ):
        AudioNeuralDataset.from_frame(STIMS, frame.rename(columns={"neuron": "cell"}), 10.0, unit="s")
    with pytest.raises(ValueError, match="far away from stimuli"):
        AudioNeuralDataset.from_frame(STIMS, frame.assign(time=1000 * frame["time"]), 10.0, unit="s")
    with pytest.raises(ValueError, match="frame has the stimulus 'wind', but the stimuli are 'rain', 'birds'"):
        AudioNeuralDataset.from_frame(STIMS, frame.replace("rain", "wind"), 10.0, unit="s")
    with pytest.raises(TypeError, match="frame must be a table, such as a data frame or a dict of columns, got a list"):
        AudioNeuralDataset.from_frame(STIMS, [1, 2], 10.0, unit="s")
    with pytest.raises(ValueError, match="the column of time must hold numbers"):
        AudioNeuralDataset.from_frame(STIMS, frame.assign(time="soon"), 10.0, unit="s")
    with pytest.raises(ValueError, match=r"row 0 of frame has no neuron, and \d+ more"):
        AudioNeuralDataset.from_frame(STIMS, frame.assign(neuron=None), 10.0, unit="s")
    with pytest.raises(ValueError, match="frame has no rows"):
        AudioNeuralDataset.from_frame(STIMS, frame.iloc[:0], 10.0, unit="s")
