"""Allen Neuropixels: every spike in its frame, every pixel in its place, and the odd cases of the real files."""

import dataclasses

import h5py
import numpy as np
import pytest
import torch
from allen_neuropixels_files import AREAS, GABOR, GOOD, write_release
from file_server import FileServer, Page
from recording_files import rows

from deepSTRF.analysis import spike_triggered_average
from deepSTRF.datasets import recording_folder
from deepSTRF.datasets.download import RemoteFile
from deepSTRF.datasets.public_recordings import RECORDINGS
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.video import AllenNeuropixelsDataset


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("allen")
    return folder, write_release(folder)


def squares(frames, side):
    """Means over squares of pixels, by loops."""
    height, width = frames.shape[1] // side, frames.shape[2] // side
    means = np.empty((len(frames), height, width))
    for row in range(height):
        for column in range(width):
            part = frames[:, row * side : (row + 1) * side, column * side : (column + 1) * side]
            means[:, row, column] = part.reshape(len(frames), -1).mean(1)
    return means


def test_every_spike_and_every_frame_of_a_movie(release):
    folder, truth = release
    ds = AllenNeuropixelsDataset(folder)
    assert ds.dt == pytest.approx(1000 / 30), "of a screen that is a thousandth slower"
    np.testing.assert_array_equal(rows(ds), truth.counts[list(GOOD)])
    assert ds.stims[0].shape == (1, 2, 3, 180)
    np.testing.assert_allclose(ds.stims[0][0].permute(2, 0, 1), squares(truth.movie, 8), rtol=1e-6)
    assert np.isnan(rows(ds)).any(), "some frames were not shown"
    assert [meta["area"] for meta in ds.nrn_meta] == [AREAS[unit] for unit in GOOD]
    assert ds.nrn_meta[1]["probe"] == "probeB"
    assert (ds.nrn_meta[0]["cell_id"], ds.nrn_meta[0]["session"], ds.nrn_meta[0]["snr"]) == ("950000", "721123822", 2.0)
    assert "waveform_mean" not in ds.nrn_meta[0]
    assert rows(ds)[2][np.isfinite(rows(ds)[2])].sum() == 0, "the silent unit has counts, and they are 0"


def test_bins_shorter_and_longer_than_a_frame(release):
    folder, truth = release
    frame_ms = 1000 / 30
    half = AllenNeuropixelsDataset(folder, dt_ms=frame_ms / 2, downsample=1)
    np.testing.assert_array_equal(rows(half).reshape(3, 6, 180, 2).sum(-1), truth.counts[list(GOOD)])
    assert torch.equal(half.stims[0][0, ..., ::2], torch.from_numpy(truth.movie).permute(1, 2, 0).float())
    double = AllenNeuropixelsDataset(folder, dt_ms=2 * frame_ms, downsample=1)
    by_two = truth.counts[list(GOOD)].reshape(3, 6, 90, 2).sum(-1)
    np.testing.assert_array_equal(rows(double), by_two)
    np.testing.assert_allclose(double.stims[0][0, ..., 1].numpy(), truth.movie[2:4].mean(0))


def test_part_of_the_frame_and_a_template_of_ones_own(release, tmp_path):
    folder, truth = release
    ds = AllenNeuropixelsDataset(folder, rows=(4, 12), columns=(0, 24), downsample=2, template=255 - truth.movie)
    np.testing.assert_allclose(ds.stims[0][0].permute(2, 0, 1), squares(255.0 - truth.movie[:, 4:12], 2), rtol=1e-6)
    np.save(tmp_path / "frames.npy", truth.movie)
    again = AllenNeuropixelsDataset(folder, template=tmp_path / "frames.npy", downsample=1)
    assert torch.equal(again.stims[0][0, ..., 0], torch.from_numpy(truth.movie[0]).float())
    with pytest.raises(RecordingError, match=r"frame 179 was shown, but the template has 5"):
        AllenNeuropixelsDataset(folder, template=truth.movie[:5])


def test_pictures_and_blank_screens(release):
    folder, truth = release
    ds = AllenNeuropixelsDataset(folder, stimulus="natural_scenes")
    pictures, onsets = truth.scene_rows
    assert [meta["name"] for meta in ds.stim_meta] == [f"natural_scenes {k}" for k in range(3)]
    assert (ds.dt, ds.stims[0].shape) == (10.0, (1, 2, 3, 25))
    for s in range(3):
        expected = np.array(
            [
                [
                    np.histogram(truth.spikes[unit], np.linspace(onset, onset + 0.25, 26))[0]
                    for onset in onsets[pictures == s]
                ]
                for unit in GOOD
            ]
        )
        np.testing.assert_array_equal(rows(ds, s), expected)
        picture = squares(truth.scenes[s : s + 1], 16)[0]
        np.testing.assert_allclose(ds.stims[s][0], np.broadcast_to(picture[..., None], (2, 3, 25)), rtol=1e-6)


def test_gabors_map_the_receptive_field(release):
    folder, truth = release
    ds = AllenNeuropixelsDataset(folder, stimulus="gabors", dt_ms=50.0)
    assert ds.stims[0].shape == (1, 3, 3, 900 * 5)
    shown = ds.stims[0][0, ..., ::5].permute(2, 0, 1)
    assert torch.equal(shown.flatten(1).argmax(1), torch.from_numpy(3 * truth.gabors[0] + truth.gabors[1]))
    assert torch.equal(shown.flatten(1).sum(1), torch.ones(900))
    assert ds.stim_meta[0]["x_positions_deg"] == [-10.0, 0.0, 10.0]
    assert ds.stim_meta[0]["y_positions_deg"] == [10.0, 0.0, -10.0]
    field = spike_triggered_average(ds, n_lags=6, neurons=0).fields[0]
    assert np.unravel_index(int(field[..., -1].argmax()), (3, 3)) == GABOR
    assert (field[GABOR][-2:] > 0.5).all(), (
        "spikes come 50 to 100 ms after the onset: the bins of the onset and after it"
    )
    assert (field[GABOR][:-2] < 0.1).all()


def test_which_units(release):
    folder, _ = release

    def ids(**kwargs):
        return [int(meta["cell_id"]) - 950_000 for meta in AllenNeuropixelsDataset(folder, **kwargs).nrn_meta]

    assert ids(areas="LGd") == [1]
    assert ids(areas=["VISp", "LGd"], min_firing_rate=8.5) == [0]
    assert ids(quality=None) == [0, 1, 2, 3]
    assert ids(max_amplitude_cutoff=None) == [0, 1, 2, 4]
    assert ids(min_presence_ratio=None, max_isi_violations=None) == [0, 1, 2, 5, 6]
    with pytest.raises(ValueError, match=r"none of the 7 units .* in the areas VISp, LGd; areas= is \['V1'\]"):
        AllenNeuropixelsDataset(folder, areas=["V1"])


def test_which_file(release, tmp_path):
    folder, _ = release
    one = folder / "sub-707296975_ses-721123822.nwb"
    assert AllenNeuropixelsDataset(one).path == AllenNeuropixelsDataset(folder, session=721123822).path == str(one)
    with pytest.raises(RecordingError, match="holds no units"):
        AllenNeuropixelsDataset(folder / "sub-707296975_ses-721123822_probe-810755797_ecephys.nwb")
    with pytest.raises(FileNotFoundError, match=r"no NWB file of session 5 with units .*--download"):
        AllenNeuropixelsDataset(folder, session=5)
    write_release(tmp_path)
    write_release(tmp_path, seed=1, session=715093703)
    with pytest.raises(ValueError, match=r"has 2 sessions .*choose one with session="):
        AllenNeuropixelsDataset(tmp_path)
    one, other = (AllenNeuropixelsDataset(tmp_path, session=number) for number in ("721123822", "715093703"))
    assert (one + other).N_neurons == 6
    assert other.nrn_meta[0]["session"] == "715093703"


def test_what_is_wrong_is_said(release, tmp_path):
    folder, _ = release
    with pytest.raises(ValueError, match="natural_movie_one"):
        AllenNeuropixelsDataset(folder, stimulus="natural_movie_two")
    with pytest.raises(ValueError, match=r"no presentations of 'natural_movie_three', but: gabors"):
        AllenNeuropixelsDataset(folder, stimulus="natural_movie_three")
    with pytest.raises(ValueError, match=r"rows must be two numbers between 0 and 16"):
        AllenNeuropixelsDataset(folder, rows=(0, 17))
    with pytest.raises(ValueError, match=r"columns must be two numbers .* got \(3,\)"):
        AllenNeuropixelsDataset(folder, columns=(3,))
    write_release(tmp_path)
    (tmp_path / "natural_movie_1.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"natural_movie_1\.h5 is missing .*--download"):
        AllenNeuropixelsDataset(tmp_path)
    (tmp_path / "natural_scene_1.tiff").write_bytes(b"no")
    with pytest.raises(RecordingError, match=r"natural_scene_1\.tiff is not a picture"):
        AllenNeuropixelsDataset(tmp_path, stimulus="natural_scenes")
    with pytest.raises(RecordingError, match=r"natural_scene_1\.tiff is not an array"):
        AllenNeuropixelsDataset(tmp_path, template=tmp_path / "natural_scene_1.tiff")
    file = tmp_path / "sub-707296975_ses-721123822.nwb"
    with h5py.File(file, "a") as content:
        del content["units/isi_violations"]
    with pytest.raises(RecordingError, match="no column 'isi_violations'; switch its limit off"):
        AllenNeuropixelsDataset(file, template=np.zeros((180, 8, 8)))
    with h5py.File(file, "a") as content:
        del content["units/spike_times"]
    with pytest.raises(RecordingError, match="is not a session of the Brain Observatory"):
        AllenNeuropixelsDataset(file, max_isi_violations=None, template=np.zeros((180, 8, 8)))
    file.write_bytes(b"no")
    with pytest.raises(RecordingError, match="damaged"):
        AllenNeuropixelsDataset(file)


def test_downloads_the_session_and_the_template_that_are_needed(release, tmp_path, monkeypatch):
    folder, truth = release
    names = ["sub-707296975_ses-721123822.nwb", "natural_movie_1.h5", "natural_movie_3.h5"]
    monkeypatch.setenv("DEEPSTRF_DATA_DIR", str(tmp_path))
    with FileServer().running() as server:
        server.pages |= {f"/{name}": Page((folder / name).read_bytes()) for name in names[:2]}
        files = tuple(
            RemoteFile(name, f"{server.url}/{name}", part=part)
            for name, part in zip(names, ("", "natural_movie_one", "natural_movie_three"), strict=True)
        )
        here = dataclasses.replace(RECORDINGS["Allen_Neuropixels"], files=files)
        monkeypatch.setattr(recording_folder, "RECORDINGS", {"Allen_Neuropixels": here})
        ds = AllenNeuropixelsDataset(download=True)
        assert sorted(path for _, path, _, _ in server.requests) == ["/natural_movie_1.h5", f"/{names[0]}"]
    np.testing.assert_array_equal(rows(ds), truth.counts[list(GOOD)])
    assert ds.path == str(tmp_path / "Allen_Neuropixels" / names[0])
