"""Allen calcium imaging: every bin is the mean of its samples, and sparse noise gives back the field put in."""

import h5py
import numpy as np
import pytest
import torch

pytest.importorskip("pynwb", reason="needs the extra nwb")

from allen_calcium_files import BLOCKS, FIELD, FRAME_S, IDS, MOVIE, NOISE, NOISE_S, SAMPLE_S, write_release
from recording_files import rows

from deepSTRF.analysis import spike_triggered_average
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.video import AllenCalciumDataset
from deepSTRF.testing import check_dataset


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("allen")
    return folder, write_release(folder)


def means(truth, response, onset, n_bins, dt_s):
    """Means over bins of samples that last until the next one, in steps of 0.1 ms; NaN where one was lost."""
    edges = onset + dt_s * np.arange(n_bins + 1)
    values = np.full((3, n_bins), np.nan)
    for k in range(n_bins):
        fine = np.arange(edges[k] + 0.5e-4, edges[k + 1], 1e-4)
        sample = np.searchsorted(truth.times, fine, side="right") - 1
        if (fine - truth.times[sample] <= SAMPLE_S + 1e-4).all():
            values[:, k] = truth.traces[response][sample].mean(0)
    return values


def test_a_movie_in_bins_of_its_frames(release):
    folder, truth = release
    ds = AllenCalciumDataset(folder, downsample=1)
    assert ds.dt == pytest.approx(1000 / 30)
    assert torch.equal(ds.stims[0][0], torch.from_numpy(truth.movie).permute(1, 2, 0).float())
    expected = np.stack([means(truth, "dff", onset, MOVIE[0], FRAME_S) for onset in truth.movie_onsets], 1)
    np.testing.assert_array_equal(np.isnan(rows(ds)), np.isnan(expected))
    assert np.isnan(expected).any(), "the microscope lost samples"
    np.testing.assert_allclose(rows(ds), expected, atol=0.02)
    assert [meta["cell_id"] for meta in ds.nrn_meta] == list(map(str, IDS))
    assert ds.nrn_meta[0] == {
        "cell_id": "517410165", "area": "VISp", "session": "530026508-StimC", "animal_id": "516024042",
        "contamination_ratio": 0.1,
    }  # fmt: skip
    check_dataset(ds)


def test_sparse_noise_in_two_blocks(release):
    folder, truth = release
    ds = AllenCalciumDataset(folder, stimulus="locally_sparse_noise", response="events")
    assert ds.dt == pytest.approx(250.0)
    assert [meta["name"] for meta in ds.stim_meta] == ["locally_sparse_noise 0", "locally_sparse_noise 1"]
    assert [tuple(stim.shape) for stim in ds.stims] == [(1, *NOISE[1:], count) for count in BLOCKS]
    together = torch.cat([stim[0] for stim in ds.stims], -1).permute(2, 0, 1)
    assert torch.equal(together, torch.from_numpy(truth.noise[: sum(BLOCKS)]).float())
    for s, first in enumerate((0, BLOCKS[0])):
        expected = means(truth, "events", truth.noise_onsets[first], BLOCKS[s], NOISE_S)
        np.testing.assert_allclose(rows(ds, s)[:, 0], expected, rtol=0.02, atol=0.01)
    check_dataset(ds)


def test_the_average_before_events_is_the_field(release):
    folder, _ = release
    ds = AllenCalciumDataset(folder, stimulus="locally_sparse_noise", response="events", dt_ms=125.0)
    field = spike_triggered_average(ds, n_lags=4, neurons=0).fields[0]
    peak = np.unravel_index(int(field.argmax()), field.shape)
    assert peak[:2] == FIELD
    others = field[..., peak[2]].flatten().sort().values
    assert others[-1] > 2 * others[-2]


def test_part_of_the_frame_and_of_the_neurons(release):
    folder, truth = release
    ds = AllenCalciumDataset(
        folder, stimulus="locally_sparse_noise", rows=(2, 6), columns=(4, 8), downsample=2, max_contamination_ratio=0.5
    )
    assert (ds.H, ds.W, ds.N_neurons) == (2, 2, 2)
    np.testing.assert_allclose(ds.stims[0][0, 0, 0, 7], truth.noise[7, 2:4, 4:6].mean(), rtol=1e-6)
    corrected = AllenCalciumDataset(folder, response="corrected")
    np.testing.assert_allclose(rows(corrected) - 1, rows(AllenCalciumDataset(folder)), atol=1e-5)


def test_frames_that_came_twice_at_once_or_were_blank(tmp_path):
    write_release(tmp_path)
    file = tmp_path / "sub-516024042_ses-530026508-StimC_behavior+image+ophys.nwb"
    whole = rows(AllenCalciumDataset(file))
    with h5py.File(file, "a") as content:
        shown = content["stimulus/presentation/natural_movie_one_stimulus"]
        frames, onsets = shown["data"][:], shown["timestamps"][:]
        onsets[60] = onsets[59]  # times were rounded to samples of the microscope
        frames[-1] = 2**32 - 1  # -1 without its sign: a blank screen
        shown["data"][:], shown["timestamps"][:] = frames, onsets
    changed = rows(AllenCalciumDataset(file))
    assert np.isnan(changed[:, 0, 59]).all()
    assert np.isnan(changed[:, 1, -1]).all()
    differs = ~((changed == whole) | (np.isnan(changed) & np.isnan(whole)))
    assert set(zip(*np.nonzero(differs[0]), strict=True)) == {(0, 59), (0, 60), (1, 179)}


def test_what_is_wrong_is_said(release, tmp_path):
    folder, _ = release
    with pytest.raises(ValueError, match=r"no presentations of 'natural_movie_three', but: locally_sparse_noise"):
        AllenCalciumDataset(folder, stimulus="natural_movie_three")
    with pytest.raises(ValueError, match="natural_scenes"):
        AllenCalciumDataset(folder, stimulus="natural_scenes")
    with pytest.raises(ValueError, match=r"none of the 3 neurons .* contamination ratio of at most 0\.05"):
        AllenCalciumDataset(folder, max_contamination_ratio=0.05)
    with pytest.raises(RecordingError, match="holds no processed fluorescence"):
        AllenCalciumDataset(folder / "sub-516024042_ses-530026508-StimC_ophys.nwb")
    with pytest.raises(FileNotFoundError, match="no NWB file with processed fluorescence"):
        AllenCalciumDataset(tmp_path)
    write_release(tmp_path)
    file = tmp_path / "sub-516024042_ses-530026508-StimC_behavior+image+ophys.nwb"
    with h5py.File(file, "a") as content:
        del content["processing/ophys/DfOverF/DfOverFEvents"]
    with pytest.raises(ValueError, match="has no 'events'"):
        AllenCalciumDataset(tmp_path, response="events")
