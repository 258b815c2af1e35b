"""NWB files of several layouts give the tensors of from_arrays."""

import tracemalloc

import numpy as np
import pytest
import soundfile
import torch

pytest.importorskip("pynwb", reason="needs the extra nwb")

import h5py
from nwb_files import DT_MS, add_trials, add_units, histograms, interval_table, new_file, save
from pynwb import TimeSeries
from pynwb.base import ImageReferences, Images
from pynwb.image import GrayscaleImage, ImageSeries, IndexSeries

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.cache import cache_entries
from deepSTRF.datasets.sources.hdf5_links import with_linked_files
from deepSTRF.datasets.spectrograms import sound_stimuli
from deepSTRF.datasets.video import VideoNeuralDataset

ONSETS = {"birds": [1.0, 7.03, 21.5], "rain": [4.2, 11.0]}
SPECTROGRAMS = {"rain": np.random.default_rng(1).random((6, 80)), "birds": np.random.default_rng(2).random((6, 100))}


def same(dataset, other):
    """Whether two data sets hold the same bits."""
    assert len(dataset.stims) == len(other.stims)
    for own, expected in zip(dataset.stims, other.stims, strict=True):
        assert torch.equal(own, expected)
    for own, expected in zip(dataset.responses, other.responses, strict=True):
        assert torch.equal(own.block.values.nan_to_num(-1), expected.block.values.nan_to_num(-1))
        assert own.block.neurons.tolist() == expected.block.neurons.tolist()
        assert own.block.repeats.tolist() == expected.block.repeats.tolist()


def trials_file(tmp_path, labels=None, column="stimulus", **options):
    nwb = new_file()
    times = add_units(nwb, **options)
    pairs = sorted((onset, name) for name, onsets in ONSETS.items() for onset in onsets)
    add_trials(nwb, [onset for onset, _ in pairs], labels or [name for _, name in pairs], column)
    return save(nwb, tmp_path / "session.nwb"), times


def expected(times, stims=SPECTROGRAMS, cls=AudioNeuralDataset, names=("birds", "rain")):
    counts = [histograms(times, ONSETS[name], stims[name].shape[-1]) for name in names]
    return cls.from_arrays([stims[name] for name in names], counts, DT_MS)


@pytest.mark.parametrize("column", ["stimulus", "stim_name", "what the bird heard"])
def test_trials_with_a_column_of_names_give_the_tensors_of_histograms(tmp_path, column):
    path, times = trials_file(tmp_path, column=column)
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=SPECTROGRAMS)
    same(ds, expected(times))
    assert ds.stim_meta == [{"name": "birds"}, {"name": "rain"}]
    assert ds.nrn_meta[1] == {"cell_id": "11", "quality": "mua"}
    assert ds.path == str(path)


def test_areas_come_from_the_electrodes(tmp_path):
    path, _ = trials_file(tmp_path, electrodes=True)
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=SPECTROGRAMS)
    assert [entry["area"] for entry in ds.nrn_meta] == ["A1", "AAF", "A1"]


def test_names_may_be_those_of_files(tmp_path):
    labels = ["stimuli/birds.wav", "rain.wav", "birds.wav", "C:\\stimuli\\rain.wav", "birds"]
    path, times = trials_file(tmp_path, labels=labels)
    same(AudioNeuralDataset.from_nwb(path, DT_MS, stims=SPECTROGRAMS), expected(times))


def test_trials_count_the_stimuli_of_a_list_from_0(tmp_path):
    path, times = trials_file(tmp_path, labels=[1, 0, 1, 0, 1], column="stim_id")
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=[SPECTROGRAMS["rain"], SPECTROGRAMS["birds"]])
    same(ds, expected(times))


def test_trials_outside_of_obs_intervals_are_missing(tmp_path):
    path, times = trials_file(tmp_path, obs_intervals=[[[0, 60]], [[0, 5], [6, 60]], [[3, 60]]])
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=SPECTROGRAMS)
    birds, rain = ds.responses[0], ds.responses[1]
    assert torch.isnan(birds[2]).all(1).tolist() == [True, False, False]
    assert not torch.isnan(birds[1]).any()
    assert rain[1].shape == (2, 80)
    assert torch.isfinite(rain[1]).tolist() == [[True] * 80] * 2  # 4.2 to 5 s is inside, to rounding
    assert np.array_equal(birds[0].numpy(), histograms(times, ONSETS["birds"], 100)[0])


def test_invalid_times_are_missing_for_all(tmp_path):
    nwb = new_file()
    add_units(nwb)
    add_trials(nwb, [1.0, 3.0, 5.0], ["rain"] * 3)
    nwb.add_invalid_time_interval(start_time=3.5, stop_time=3.6)
    ds = AudioNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), DT_MS, stims=SPECTROGRAMS)
    assert torch.isnan(ds.responses[0][0]).all(1).tolist() == [False, True, False]


def test_one_table_per_stimulus(tmp_path):
    nwb = new_file()
    times = add_units(nwb)
    for name, onsets in ONSETS.items():
        nwb.add_time_intervals(
            interval_table(f"{name}_presentations", onsets, np.add(onsets, 1.0), stimulus_block=np.arange(len(onsets)))
        )
    nwb.add_time_intervals(interval_table("spontaneous_presentations", [40.0], [50.0]))
    ds = AudioNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), DT_MS, stims=SPECTROGRAMS)
    same(ds, expected(times))


def test_bands_of_the_file_at_the_rate_of_the_bins_stay_as_they_are(tmp_path):
    nwb = new_file()
    times = add_units(nwb)
    pairs = sorted((onset, name) for name, onsets in ONSETS.items() for onset in onsets)
    add_trials(nwb, [onset for onset, _ in pairs], [name for _, name in pairs])
    for name, values in SPECTROGRAMS.items():
        series = TimeSeries(name=name, data=values.T, rate=1000 / DT_MS, unit="dB")
        nwb.add_stimulus_template(series) if name == "rain" else nwb.add_stimulus(series)
    same(AudioNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), DT_MS), expected(times))


def test_presented_series_are_trials_at_their_starting_times(tmp_path):
    nwb = new_file()
    times = add_units(nwb)
    rng = np.random.default_rng(0)
    data = [rng.random(50), rng.random((60, 3))[:, 0]]
    nwb.add_stimulus(TimeSeries(name="b", data=data[1], timestamps=20.0 + np.arange(60) / 100, unit="V"))
    nwb.add_stimulus(TimeSeries(name="a", data=data[0], rate=100.0, starting_time=10.0, unit="V"))
    ds = AudioNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), DT_MS)
    assert [meta["name"] for meta in ds.stim_meta] == ["a", "b"]
    counts = [histograms(times, [10.0], 50), histograms(times, [20.0], 60)]
    same(ds, AudioNeuralDataset.from_arrays(data, counts, DT_MS))


# --- movies and pictures ---------------------------------------------------------------------------------------------


def movie_file(tmp_path, rate=50.0):
    nwb = new_file()
    times = add_units(nwb)
    movies = {"cats": np.random.default_rng(3).integers(0, 255, (40, 5, 7), dtype=np.uint8)}
    movies["dogs"] = np.random.default_rng(4).integers(0, 255, (30, 5, 7), dtype=np.uint8)
    for name, movie in movies.items():
        nwb.add_stimulus_template(ImageSeries(name=name, data=movie, rate=rate, unit="n.a."))
    return nwb, times, movies


def test_movies_by_name_have_a_bin_per_frame(tmp_path):
    nwb, times, movies = movie_file(tmp_path)
    add_trials(nwb, [1.0, 3.0, 5.0], ["cats", "dogs", "cats"])
    ds = VideoNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"))
    assert ds.dt == pytest.approx(20.0)
    counts = [histograms(times, [1.0, 5.0], 40, 20.0), histograms(times, [3.0], 30, 20.0)]
    same(ds, VideoNeuralDataset.from_arrays([np.moveaxis(m, 0, -1) for m in movies.values()], counts, 20.0))


def test_a_row_per_frame_is_a_movie_and_a_new_beginning_a_repeat(tmp_path):
    nwb, times, movies = movie_file(tmp_path)
    onsets = np.concatenate([2 + np.arange(120) / 50, 10 + np.arange(40) / 50])
    frames = np.tile(np.arange(40.0), 4)
    nwb.add_time_intervals(interval_table("cats_presentations", onsets, onsets + 0.02, frame=frames))
    ds = VideoNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"))
    assert [meta["name"] for meta in ds.stim_meta] == ["cats"]
    counts = histograms(times, [2.0, 2.8, 3.6, 10.0], 40, 20.0)
    assert torch.equal(ds.stims[0], torch.from_numpy(np.moveaxis(movies["cats"], 0, -1).astype(np.float32))[None])
    assert np.array_equal(torch.stack(list(ds.responses[0])).numpy(), counts)


def test_a_movie_that_the_user_gives_fits_a_table_of_frames(tmp_path):
    nwb = new_file()
    times = add_units(nwb)
    onsets = np.concatenate([2 + np.arange(30) / 30, 10 + np.arange(30) / 30])
    table = interval_table(
        "natural_movie_one_presentations", onsets, onsets + 1 / 30, frame=np.tile(np.arange(30.0), 2),
        stimulus_name=["natural_movie_one"] * 60, stimulus_block=np.repeat([1.0, 2.0], 30),
    )  # fmt: skip
    nwb.add_time_intervals(table)
    movie = np.random.default_rng(0).random((4, 6, 30))
    path = save(nwb, tmp_path / "a.nwb")
    ds = VideoNeuralDataset.from_nwb(path, stims={"natural_movie_one": movie})
    assert torch.equal(ds.stims[0][0], torch.from_numpy(movie).float())
    assert np.array_equal(torch.stack(list(ds.responses[0])), histograms(times, [2.0, 10.0], 30, ds.dt))


def pictures(n=3, shuffled=False):
    rng = np.random.default_rng(5)
    images = [GrayscaleImage(name=f"scene{index}", data=rng.random((4, 6))) for index in range(n)]
    stack = Images(name="scenes", images=images)
    order = images[::-1] if shuffled else images
    stack.order_of_images = ImageReferences(name="order_of_images", data=order)
    return stack, order


def test_pictures_of_an_index_series_are_stimuli_and_what_shows_them_again_repeats(tmp_path):
    nwb = new_file()
    times = add_units(nwb)
    stack, order = pictures(shuffled=True)
    nwb.add_stimulus_template(stack)
    onsets = 2 + 0.25 * np.arange(6)
    shown = [0, 2, 1, 2, 0, 1]
    nwb.add_stimulus(
        IndexSeries(name="shown", data=np.array(shown, np.uint32), indexed_images=stack, unit="N/A", timestamps=onsets)
    )
    ds = VideoNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), DT_MS)
    assert [meta["name"] for meta in ds.stim_meta] == ["scene2", "scene0", "scene1"]
    for s, index in enumerate([0, 2, 1]):
        picture = torch.from_numpy(np.asarray(order[index].data)).float()
        assert torch.equal(ds.stims[s], picture[None, ..., None].expand(1, 4, 6, 25))
        counts = histograms(times, onsets[np.array(shown) == index], 25)
        assert np.array_equal(torch.stack(list(ds.responses[s])), counts)


def test_brief_pictures_of_an_index_series_are_a_movie(tmp_path):
    nwb = new_file()
    times = add_units(nwb)
    stack, order = pictures()
    nwb.add_stimulus_template(stack)
    onsets = np.concatenate([2 + 0.02 * np.arange(20), 8 + 0.02 * np.arange(20)])
    shown = np.tile(np.random.default_rng(0).integers(0, 3, 20), 2)
    nwb.add_stimulus(
        IndexSeries(name="shown", data=shown.astype(np.uint32), indexed_images=stack, unit="N/A", timestamps=onsets)
    )
    ds = VideoNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"))
    assert len(ds) == 1
    assert ds.stims[0].shape == (1, 4, 6, 20)
    assert torch.equal(ds.stims[0][0, ..., 7], torch.from_numpy(np.asarray(order[shown[7]].data)).float())
    assert np.array_equal(torch.stack(list(ds.responses[0])), histograms(times, [2.0, 8.0], 20, ds.dt))


def test_a_template_of_pictures_named_as_its_table(tmp_path):
    nwb = new_file()
    times = add_units(nwb)
    rng = np.random.default_rng(5)
    images = [GrayscaleImage(name=f"ICwcfg1_presentations{n}", data=rng.random((4, 6))) for n in range(12)]
    nwb.add_stimulus_template(Images(name="ICwcfg1_presentations", images=images))
    onsets, frames = [2.0, 3.0, 4.0], [11.0, 2.0, 11.0]
    nwb.add_time_intervals(interval_table("ICwcfg1_presentations", onsets, np.add(onsets, 0.4), frame=frames))
    ds = VideoNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), DT_MS)
    assert [meta["name"] for meta in ds.stim_meta] == ["ICwcfg1_presentations11", "ICwcfg1_presentations2"]
    assert torch.equal(ds.stims[0][0, ..., 3], torch.from_numpy(np.asarray(images[11].data)).float())
    assert np.array_equal(torch.stack(list(ds.responses[0])), histograms(times, [2.0, 4.0], 40))


def test_the_base_class_takes_what_has_bands(tmp_path):
    path, times = trials_file(tmp_path)
    same(NeuralDataset.from_nwb(path, DT_MS, stims=SPECTROGRAMS), expected(times, cls=NeuralDataset))


# --- sounds ----------------------------------------------------------------------------------------------------------

RATE = 20000


def sounds():
    rng = np.random.default_rng(6)
    return {"rain": rng.normal(size=16010), "birds": np.round(1000 * rng.normal(size=20000)).astype(np.int16)}


def of_sounds(times, waves, dt_ms=5.0):
    stims, spectrogram, _ = sound_stimuli([waves["birds"], waves["rain"]], RATE, dt_ms)
    counts = [histograms(times, ONSETS[name], t, dt_ms) for name, t in (("birds", 200), ("rain", 160))]
    return AudioNeuralDataset.from_arrays(stims, counts, dt_ms), spectrogram


def sound_file(tmp_path, stereo=False):
    nwb = new_file()
    times = add_units(nwb)
    pairs = sorted((onset, name) for name, onsets in ONSETS.items() for onset in onsets)
    add_trials(nwb, [onset for onset, _ in pairs], [name for _, name in pairs])
    for name, wave in sounds().items():
        data = np.stack([wave, wave], 1) if stereo else wave
        nwb.add_stimulus(TimeSeries(name=name, data=data, rate=float(RATE), unit="V", starting_time=0.0))
    return save(nwb, tmp_path / "sounds.nwb"), times


@pytest.mark.parametrize("stereo", [False, True])
def test_sounds_of_the_file_need_no_argument(tmp_path, stereo):
    path, times = sound_file(tmp_path, stereo)
    ds = AudioNeuralDataset.from_nwb(path)
    other, spectrogram = of_sounds(times, sounds())
    same(ds, other)
    assert ds.dt == 5.0
    assert ds.spectrogram == spectrogram
    assert len(ds.frequencies_hz) == ds.F == 34


def test_sound_files_beside_the_file(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    path, times = trials_file(tmp_path)
    folder = tmp_path / "wav"
    folder.mkdir()
    waves = {name: (0.1 * wave / np.abs(wave).max()).astype(np.float32) for name, wave in sounds().items()}
    for name, wave in waves.items():
        soundfile.write(folder / f"{name}.wav", wave, RATE, subtype="FLOAT")
    soundfile.write(folder / "never played.wav", waves["rain"], RATE)
    other, _ = of_sounds(times, waves)
    same(AudioNeuralDataset.from_nwb(path, stims=folder), other)
    same(AudioNeuralDataset.from_nwb(path, stims={name: folder / f"{name}.wav" for name in waves}), other)
    same(AudioNeuralDataset.from_nwb(path, stims=waves, rate=RATE), other)


def test_bins_before_the_sound_are_silent_and_counted(tmp_path):
    path, times = sound_file(tmp_path)
    ds = AudioNeuralDataset.from_nwb(path, before_ms=50, after_ms=100, onset_ms=20)
    counts = histograms(times, np.add(ONSETS["birds"], 0.02 - 0.05), 230, 5.0)
    assert np.array_equal(torch.stack(list(ds.responses[0])).numpy(), counts)
    assert (ds.stims[0][..., :10] == ds.stims[0].min()).all()


def test_sounds_may_stay_waveforms(tmp_path):
    path, times = sound_file(tmp_path)
    ds = AudioNeuralDataset.from_nwb(path, spectrogram="waveform", before_ms=50)
    assert ds.return_waveform
    assert ds.stims[0].shape == (1, 210 * ds.hop)
    assert (ds.stims[0][0, : 10 * ds.hop] == 0).all()
    assert np.array_equal(
        torch.stack(list(ds.responses[0])).numpy(), histograms(times, np.add(ONSETS["birds"], -0.05), 210, 5.0)
    )


# --- columns and choices ---------------------------------------------------------------------------------------------


def test_a_column_of_onsets_inside_of_the_trials_counts(tmp_path):
    nwb = new_file()
    times = add_units(nwb)
    starts = np.array([1.0, 3.0])
    add_trials(nwb, starts, ["rain", "rain"], lasting=1.5, stim_onset=starts + 0.25)
    path = save(nwb, tmp_path / "a.nwb")
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=SPECTROGRAMS)
    assert np.array_equal(torch.stack(list(ds.responses[0])).numpy(), histograms(times, starts + 0.25, 80))
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=SPECTROGRAMS, onset_column="start_time")
    assert np.array_equal(torch.stack(list(ds.responses[0])).numpy(), histograms(times, starts, 80))


def test_trials_can_be_skipped_and_a_table_of_ones_own_given(tmp_path):
    path, times = trials_file(tmp_path, labels=["birds", "rain", "", "catch", "birds"])
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=SPECTROGRAMS, skip=["catch", ""])
    assert [len(row[0]) for row in ds.responses] == [2, 1]
    table = {"start_time": ONSETS["birds"], "stimulus": ["birds"] * 3}
    ds = AudioNeuralDataset.from_nwb(path, DT_MS, stims=SPECTROGRAMS, trials=table)
    assert np.array_equal(torch.stack(list(ds.responses[0])).numpy(), histograms(times, ONSETS["birds"], 100))


def test_the_cache_of_a_file_and_of_what_it_links_to(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "sounds").mkdir()
    for name, loudness in (("birds", 0.1), ("rain", 0.2)):
        noise = np.random.default_rng(0).normal(size=8000) * loudness
        soundfile.write(tmp_path / "sounds" / f"{name}.wav", noise, 16000)
    path, _ = trials_file(tmp_path)
    linking = tmp_path / "linking.nwb"
    with h5py.File(linking, "w") as file:
        for name in ("intervals", "units"):
            file[name] = h5py.ExternalLink("session.nwb", name)

    def read(**options):
        return AudioNeuralDataset.from_nwb(path, DT_MS, stims=tmp_path / "sounds", **options)

    first = read()
    with monkeypatch.context() as patch:
        patch.setattr("deepSTRF.datasets.sources.nwb.open_nwb", lambda _: pytest.fail("the file was read again"))
        again = read()
    same(first, again)
    assert (again.spectrogram, again.nrn_meta) == (first.spectrogram, first.nrn_meta)
    same(read(cache=False), again)
    assert read(before_ms=2 * DT_MS).stims[0].shape[-1] == first.stims[0].shape[-1] + 2
    soundfile.write(tmp_path / "sounds" / "rain.wav", noise[::-1], 16000)
    assert not torch.equal(read().stims[1], first.stims[1])
    assert [file.name for file in with_linked_files(linking)] == ["linking.nwb", "session.nwb"]
    AudioNeuralDataset.from_nwb(path, DT_MS, stims=SPECTROGRAMS)  # arrays: nothing is kept
    assert len(cache_entries()) == 3


@pytest.mark.slow
def test_spike_times_are_read_unit_by_unit_and_memory_is_that_of_the_result(tmp_path):
    nwb = new_file()
    add_units(nwb, n_units=60, duration_s=600.0)
    add_trials(nwb, 1.2 * np.arange(450), ["rain", "birds", "wind"] * 150)
    path = save(nwb, tmp_path / "a.nwb")
    stims = {name: np.ones((2, 200)) for name in ("rain", "birds", "wind")}
    AudioNeuralDataset.from_nwb(path, 5.0, stims=stims)  # what is imported late is not counted
    tracemalloc.start()
    ds = AudioNeuralDataset.from_nwb(path, 5.0, stims=stims)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    packed = sum(row.block.values.numel() * 4 for row in ds.responses)
    assert packed == 60 * 450 * 200 * 4
    assert peak < 2 * packed
