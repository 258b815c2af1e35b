"""Grasshopper: amplitudes averaged in bins, and every spike in its bin."""

import numpy as np
import pytest
from grasshopper_files import write_release

from deepSTRF.datasets.audio import GrasshopperDataset
from deepSTRF.datasets.download import RecordingError


@pytest.mark.parametrize("dt_ms", [1.0, 2.5])
def test_stimuli_and_spikes(tmp_path, dt_ms):
    truth = write_release(tmp_path)
    ds = GrasshopperDataset(tmp_path, dt_ms=dt_ms)
    for k in (1, 2):
        bins = np.arange(0, 6_000_001, dt_ms * 1000)
        assert np.array_equal(ds.responses[k - 1][0][0], np.histogram(truth.spikes_us[k], bins)[0])
        expected = truth.amplitudes[k].reshape(-1, round(dt_ms * 20)).mean(1)
        assert ds.stims[k - 1].shape == (1, 1, len(expected))
        np.testing.assert_allclose(ds.stims[k - 1][0, 0], expected, rtol=1e-6)


def test_one_of_the_stimuli(tmp_path):
    truth = write_release(tmp_path)
    ds = GrasshopperDataset(tmp_path, stimuli=["gauss_800hz"])
    assert ds.stim_meta[0]["cutoff_hz"] == 800.0
    assert ds.responses[0][0].sum() == len(truth.spikes_us[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"dt_ms": 0.07}, "0.05 ms"), ({"stimuli": ["song"]}, "gauss_200hz"), ({"dt_ms": -1.0}, "dt_ms")],
)
def test_wrong_arguments(tmp_path, arguments, message):
    write_release(tmp_path)
    with pytest.raises(ValueError, match=message):
        GrasshopperDataset(tmp_path, **arguments)


def test_missing_and_damaged_files(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"stimulus1\.txt is missing; the package nitime"):
        GrasshopperDataset(tmp_path)
    write_release(tmp_path)
    file = tmp_path / "grasshopper_stimulus1.txt"
    file.write_text(file.read_text()[:-9])  # cut off within a line
    with pytest.raises(RecordingError, match=r"stimulus1\.txt"):
        GrasshopperDataset(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"deepSTRF\[examples\]"):
        GrasshopperDataset()
