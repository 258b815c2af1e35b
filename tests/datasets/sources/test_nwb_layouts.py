"""Less usual layouts of NWB files: types of extensions, colours, other bins, deprecated links, peak channels."""

import numpy as np
import pytest
import torch

pytest.importorskip("pynwb", reason="needs the extra nwb")

import h5py
import pynwb
from nwb_files import DT_MS, add_trials, add_units, histograms, interval_table, new_file, save
from pynwb import TimeSeries
from pynwb.base import Images
from pynwb.image import ImageSeries, IndexSeries, OpticalSeries, RGBImage
from pynwb.spec import NWBGroupSpec, NWBNamespaceBuilder

from deepSTRF.analysis import spike_triggered_average
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.spectrograms import sound_stimuli
from deepSTRF.datasets.video import VideoNeuralDataset


def rows(dataset, stimulus):
    return torch.stack(list(dataset.responses[stimulus])).numpy()


def test_sounds_of_an_extension_are_sounds(tmp_path):
    builder = NWBNamespaceBuilder("sounds", "ndx-waves", version="0.1.0", author="a", contact="a@b.c")
    builder.include_type("TimeSeries", namespace="core")
    spec = NWBGroupSpec(doc="a sound", neurodata_type_def="WaveformSeries", neurodata_type_inc="TimeSeries")
    builder.add_spec("waves.extensions.yaml", spec)
    builder.export("waves.namespace.yaml", outdir=str(tmp_path))
    pynwb.load_namespaces(str(tmp_path / "waves.namespace.yaml"))
    nwb = new_file()
    times = add_units(nwb)
    add_trials(nwb, [1.0, 3.0], ["rain", "rain"])
    noise = np.random.default_rng(0).normal(size=16_000)
    series = pynwb.get_class("WaveformSeries", "ndx-waves")
    nwb.add_stimulus(series(name="rain", data=noise, rate=16_000.0, unit="V"))
    ds = AudioNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), DT_MS)
    assert torch.equal(ds.stims[0], sound_stimuli([noise], 16_000, DT_MS)[0][0])
    assert np.array_equal(rows(ds, 0), histograms(times, [1.0, 3.0], 100))


def test_integers_have_the_scale_of_the_series(tmp_path):
    nwb = new_file()
    add_units(nwb)
    add_trials(nwb, [1.0], ["rain"])
    samples = np.arange(100, dtype=np.int16)
    nwb.add_stimulus(TimeSeries(name="rain", data=samples, rate=100.0, unit="V", conversion=0.5, offset=2.0))
    ds = AudioNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), DT_MS)
    assert np.array_equal(ds.stims[0][0, 0].numpy(), 2 + samples / 2)


@pytest.mark.parametrize(
    ("dt_ms", "expected"), [(10.0, [0, 0, 1, 1, 2, 2, 3, 3]), (20.0, [0, 1, 2, 3]), (40.0, [0.5, 2.5])]
)
def test_frames_in_shorter_and_longer_bins(tmp_path, dt_ms, expected):
    nwb = new_file()
    times = add_units(nwb)
    add_trials(nwb, [1.0, 3.0], ["cats", "cats"])
    movie = np.broadcast_to(np.arange(4.0)[:, None, None], (4, 2, 3)).copy()
    nwb.add_stimulus_template(ImageSeries(name="cats", data=movie, rate=50.0, unit="n.a."))
    ds = VideoNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), dt_ms)
    assert ds.stims[0][0, 1, 2].tolist() == expected
    assert np.array_equal(rows(ds, 0), histograms(times, [1.0, 3.0], len(expected), dt_ms))


def test_colours_are_channels(tmp_path):
    nwb = new_file()
    add_units(nwb)
    rng = np.random.default_rng(0)
    film = rng.random((6, 4, 5, 3))
    nwb.add_stimulus(
        OpticalSeries(
            name="film", data=film, timestamps=10 + np.arange(6) / 30, unit="n.a.", distance=0.1,
            field_of_view=[0.1, 0.1], orientation="up",
        )
    )  # fmt: skip
    ds = VideoNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"))
    assert torch.equal(ds.stims[0], torch.from_numpy(np.moveaxis(film, (3, 0), (0, 3))).float())
    assert ds.dt == pytest.approx(1000 / 30)

    nwb = new_file()
    add_units(nwb)
    pictures = [RGBImage(name=f"p{index}", data=rng.random((4, 5, 3))) for index in range(2)]
    nwb.add_stimulus_template(Images(name="pictures", images=pictures))
    add_trials(nwb, [1.0, 2.0, 3.0], ["p1", "p0", "p1"], lasting=0.5)
    ds = VideoNeuralDataset.from_nwb(save(nwb, tmp_path / "b.nwb"), DT_MS)
    assert ds.stims[0].shape == (3, 4, 5, 50)
    assert torch.equal(ds.stims[0][..., 9], torch.from_numpy(np.moveaxis(pictures[1].data, 2, 0)).float())


def test_the_deprecated_link_to_a_series(tmp_path):
    nwb = new_file()
    times = add_units(nwb)
    movie = np.random.default_rng(0).random((5, 2, 3))
    nwb.add_stimulus_template(ImageSeries(name="scenes", data=movie, rate=1.0, unit="n.a."))
    stack = Images(name="none", images=[RGBImage(name="p", data=np.ones((2, 2, 3)))])
    nwb.add_stimulus_template(stack)
    nwb.add_stimulus(
        IndexSeries(
            name="shown",
            data=np.array([4, 1, 4], np.uint32),
            indexed_images=stack,
            unit="N/A",
            timestamps=[1.0, 2.0, 3.0],
        )
    )
    path = save(nwb, tmp_path / "a.nwb")
    with h5py.File(path, "a") as file:
        del file["stimulus/presentation/shown/indexed_images"]
        file["stimulus/presentation/shown/indexed_timeseries"] = h5py.SoftLink("/stimulus/templates/scenes")
    ds = VideoNeuralDataset.from_nwb(path, DT_MS)
    assert [meta["name"] for meta in ds.stim_meta] == ["scenes 4", "scenes 1"]
    assert torch.equal(ds.stims[1][0, ..., 0], torch.from_numpy(movie[1]).float())
    assert np.array_equal(rows(ds, 0), histograms(times, [1.0, 3.0], 100))


def test_peak_channels_say_the_area(tmp_path):
    nwb = new_file()
    probe = nwb.create_device(name="probe")
    group = nwb.create_electrode_group(name="shank", description="shank", location="unknown", device=probe)
    for index, area in enumerate(("VISp", "CA1")):
        nwb.add_electrode(id=850 + index, location=area, group=group)
    nwb.add_unit_column(name="peak_channel_id", description="channel")
    for channel in (851, 850):
        nwb.add_unit(spike_times=np.arange(0, 60, 0.1), peak_channel_id=channel)
    nwb.add_time_intervals(interval_table("flash_presentations", [1.0], [2.0], stimulus_name=["flash"]))
    path = save(nwb, tmp_path / "a.nwb")
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims={"flash": np.ones((1, 20))})
    assert [(meta["area"], meta["peak_channel_id"]) for meta in ds.nrn_meta] == [("CA1", 851), ("VISp", 850)]


def test_covariates_go_by_the_name_of_the_stimulus(tmp_path):
    nwb = new_file()
    add_units(nwb)
    add_trials(nwb, [1.0, 2.0], ["birds", "rain"])
    stims = {"rain": np.ones((1, 20)), "birds": np.ones((1, 30))}
    speed = {"rain": np.full(20, 7.0), "birds": np.full(30, 8.0)}
    path = save(nwb, tmp_path / "a.nwb")
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=stims, covariates={"speed": speed})
    assert ds[0]["speed"].unique().tolist() == [8.0]


def test_a_retina_that_watches_a_checkerboard_once_and_a_movie_often(tmp_path):
    """The average before its spikes is where the cell looks, in the movie that the file holds."""
    rng = np.random.default_rng(0)
    nwb = new_file()
    checks = rng.choice([0, 255], (3000, 6, 8)).astype(np.uint8)
    film = rng.integers(0, 256, (40, 6, 8), dtype=np.uint8)
    for name, frames in (("checkerboard", checks), ("film", film)):
        nwb.add_stimulus_template(ImageSeries(name=name, data=frames, rate=30.0, unit="n.a."))
    add_trials(nwb, [5.0, 120.0, 125.0, 130.0], ["checkerboard", "film", "film", "film"])
    driven = 5.0 + np.flatnonzero(checks[:, 2, 5])[:, None] / 30 + rng.uniform(2 / 30, 3 / 30, (1, 2))
    nwb.add_unit(spike_times=np.sort(np.concatenate([driven.ravel(), rng.uniform(0, 140, 800)])))
    nwb.add_unit(spike_times=np.sort(rng.uniform(0, 140, 900)))
    ds = VideoNeuralDataset.from_nwb(save(nwb, tmp_path / "retina.nwb"))
    assert [tuple(stim.shape) for stim in ds.stims] == [(1, 6, 8, 3000), (1, 6, 8, 40)]
    assert [len(block[0]) for block in ds.responses] == [1, 3]
    field = spike_triggered_average(ds, n_lags=5, neurons=0).fields[0]
    assert np.unravel_index(int(field.argmax()), field.shape) == (2, 5, 2), "two frames before the spike"
    around = ds.crop((1, 4), (4, 7))
    assert torch.equal(spike_triggered_average(around, n_lags=5, neurons=0).fields[0], field[1:4, 4:7])
