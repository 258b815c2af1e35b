"""What is wrong with an NWB file, or not clear, is said with what it holds and which argument chooses."""

import builtins

import h5py
import numpy as np
import pytest

pytest.importorskip("pynwb", reason="needs the extra nwb")

from nwb_files import DT_MS, add_trials, add_units, interval_table, new_file, save
from pynwb import TimeSeries
from pynwb.image import ImageSeries
from pynwb.misc import Units

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset

STIMS = {"rain": np.ones((4, 50)), "birds": np.ones((4, 60))}


def read(nwb, tmp_path, cls=AudioNeuralDataset, **options):
    options.setdefault("stims", STIMS)
    return cls.from_nwb(save(nwb, tmp_path / "session.nwb"), DT_MS, **options)


@pytest.fixture
def nwb():
    file = new_file()
    add_units(file)
    return file


def test_no_units(tmp_path):
    file = new_file()
    add_trials(file, [1.0], ["rain"])
    with pytest.raises(
        ValueError, match=r"session.nwb has no responses: neither a table of units with spike_times nor"
    ):
        read(file, tmp_path)


def test_no_trials(nwb, tmp_path):
    message = r"has no trials: no table of intervals .* trials=. session.nwb holds .* units: units \(3 units\)"
    with pytest.raises(ValueError, match=message):
        read(nwb, tmp_path)


def test_no_column_names_stimuli(nwb, tmp_path):
    add_trials(nwb, [1.0, 2.0], ["left", "left"], column="choice")
    message = r"no column of trials \(start_time, stop_time, choice\) names stimuli \(the stimuli are 'rain', 'birds'\)"
    with pytest.raises(ValueError, match=message):
        read(nwb, tmp_path)


def test_wrong_column(nwb, tmp_path):
    add_trials(nwb, [1.0], ["rain"])
    with pytest.raises(
        ValueError, match="trials has no column 'sound'; its columns are start_time, stop_time, stimulus"
    ):
        read(nwb, tmp_path, trials="trials", stimulus_column="sound")


def test_names_without_stimulus(nwb, tmp_path):
    add_trials(nwb, [1.0, 2.0], ["rain", "wind"])
    message = r"the column 'stimulus' of trials names 'wind', for which there is no stimulus .* skip=\['wind'\]"
    with pytest.raises(ValueError, match=message):
        read(nwb, tmp_path)


def test_trials_without_stimulus(nwb, tmp_path):
    add_trials(nwb, [1.0, 2.0], ["rain", ""])
    with pytest.raises(ValueError, match=r"1 of 2 rows of trials have no stimulus .* skip=\[''\]"):
        read(nwb, tmp_path)


def test_onsets_that_are_nan(nwb, tmp_path):
    add_trials(nwb, [1.0, np.nan], ["rain", "rain"])
    with pytest.raises(ValueError, match="row 1 of trials begins at nan s"):
        read(nwb, tmp_path)


def test_spike_times_that_are_nan(tmp_path):
    file = new_file()
    file.add_unit(spike_times=np.array([0.5, np.nan]), id=4)
    add_trials(file, [0.0], ["rain"])
    with pytest.raises(ValueError, match="unit 4 has 1 spike times that are NaN or infinite"):
        read(file, tmp_path)


def test_onsets_that_may_count_from_the_start_of_the_trial(nwb, tmp_path):
    add_trials(nwb, [10.0, 20.0], ["rain", "rain"], stim_onset=[0.3, 0.4])
    with pytest.raises(
        ValueError, match="not always between start and stop of the trial: choose one with onset_column="
    ):
        read(nwb, tmp_path)


def test_two_tables_name_the_same_stimuli(nwb, tmp_path):
    add_trials(nwb, [1.0, 2.0], ["rain", "rain"])
    nwb.add_time_intervals(interval_table("playback", [1.0], [2.0], sound=["rain"]))
    with pytest.raises(
        ValueError, match=r"several tables whose rows name the same stimuli: .*; choose one with trials="
    ):
        read(nwb, tmp_path)


def test_two_columns_name_stimuli(nwb, tmp_path):
    add_trials(nwb, [1.0, 2.0], ["rain", "rain"], column="first", second=["birds", "birds"])
    with pytest.raises(ValueError, match="the columns 'first', 'second' of trials all name stimuli; choose"):
        read(nwb, tmp_path)


def test_a_table_of_another_name(nwb, tmp_path):
    add_trials(nwb, [1.0], ["rain"])
    message = r"unknown table of intervals 'trails'; available: trials. Did you mean 'trials'\?"
    with pytest.raises(ValueError, match=message):
        read(nwb, tmp_path, trials="trails")
    with pytest.raises(TypeError, match="trials must be"):
        read(nwb, tmp_path, trials=3)


def test_units_in_two_tables(nwb, tmp_path):
    other = Units(name="other units", description="of another sorter")
    other.add_unit(spike_times=np.array([1.0, 2.0]))
    nwb.create_processing_module(name="ecephys", description="sorted again").add(other)
    add_trials(nwb, [1.0], ["rain"])
    with pytest.raises(
        ValueError, match=r"has 2 sets of responses; choose one with responses='(units|other units)' or"
    ):
        read(nwb, tmp_path)


def test_no_stimuli(nwb, tmp_path):
    add_trials(nwb, [1.0], ["rain"])
    with pytest.raises(
        ValueError, match=r"session.nwb holds no stimuli \(its stimulus/ is empty\): give them with stims="
    ):
        read(nwb, tmp_path, stims=None)


def test_movies_for_the_audio_class_and_sounds_for_the_video_class(nwb, tmp_path):
    add_trials(nwb, [1.0], ["cats"])
    nwb.add_stimulus_template(ImageSeries(name="cats", data=np.ones((9, 3, 4)), rate=30.0, unit="n.a."))
    with pytest.raises(ValueError, match=r"\(cats\) are movies or pictures: call VideoNeuralDataset.from_nwb"):
        read(nwb, tmp_path, stims=None)
    file = new_file()
    add_units(file)
    file.add_stimulus(TimeSeries(name="rain", data=np.ones(9000), rate=1e4, unit="V"))
    with pytest.raises(ValueError, match=r"\(rain\) are no movies or pictures: call from_nwb of AudioNeuralDataset"):
        read(file, tmp_path, VideoNeuralDataset, stims=None)


def test_a_movie_outside_of_the_file(nwb, tmp_path):
    add_trials(nwb, [1.0], ["cats"])
    nwb.add_stimulus_template(
        ImageSeries(
            name="cats",
            external_file=["cats.avi"],
            format="external",
            unit="n.a.",
            starting_frame=[0],
            timestamps=[1.0, 1.1],
        )
    )
    with pytest.raises(ValueError, match=r"the movie 'cats' is not in the file, but outside of it \(cats.avi\)"):
        read(nwb, tmp_path, VideoNeuralDataset, stims=None)


def test_stimuli_at_the_same_time_and_no_trials(nwb, tmp_path):
    for name in ("rain", "birds"):
        nwb.add_stimulus(TimeSeries(name=name, data=np.ones(9000), rate=1e4, unit="V"))
    with pytest.raises(ValueError, match="shown at the same time"):
        read(nwb, tmp_path, stims=None)


def test_a_recording_of_the_sound_is_not_taken_for_trials_that_name_others(nwb, tmp_path):
    add_trials(nwb, [1.0, 2.0], ["tone", "noise"])
    nwb.add_stimulus(TimeSeries(name="microphone", data=np.random.default_rng(0).random(60_000), rate=2e4, unit="V"))
    path = save(nwb, tmp_path / "a.nwb")
    with pytest.raises(ValueError, match=r"names 'tone', 'noise', for .* were presented, trials='presentation'"):
        AudioNeuralDataset.from_nwb(path)
    ds = AudioNeuralDataset.from_nwb(path, trials="presentation")
    assert ds.responses[0][0].shape == (1, 600)


def test_trials_on_another_clock(nwb, tmp_path):
    add_trials(nwb, [1000.0, 2000.0], ["rain", "rain"])
    with pytest.raises(ValueError, match="no neuron fires in any trial"):
        read(nwb, tmp_path)


def test_stimuli_without_names_for_trials_with_names(nwb, tmp_path):
    add_trials(nwb, [1.0], ["rain"])
    path = save(nwb, tmp_path / "a.nwb")
    with pytest.raises(ValueError, match=r"names 'rain', .*\(there are 2, counted from 0; a dict gives them names"):
        AudioNeuralDataset.from_nwb(path, DT_MS, stims=list(STIMS.values()))
    with pytest.raises(ValueError, match="stims is empty; expected at least one stimulus"):
        AudioNeuralDataset.from_nwb(path, DT_MS, stims={})
    with pytest.raises(ValueError, match="rate is that of waveforms in stims"):
        AudioNeuralDataset.from_nwb(path, DT_MS, rate=16_000)


def test_arrays_in_bins_need_their_width(nwb, tmp_path):
    add_trials(nwb, [1.0], ["rain"])
    with pytest.raises(ValueError, match="how wide these are only you know: pass dt_ms"):
        AudioNeuralDataset.from_nwb(save(nwb, tmp_path / "a.nwb"), stims=STIMS)


def test_files_that_are_no_nwb_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        AudioNeuralDataset.from_nwb(tmp_path / "none.nwb")
    with pytest.raises(ValueError, match=r"is a folder; expected an \.nwb file"):
        AudioNeuralDataset.from_nwb(tmp_path)
    text = tmp_path / "text.nwb"
    text.write_text("no HDF5")
    with pytest.raises(ValueError, match=r"text.nwb is not an NWB file: NWB files are HDF5 files"):
        AudioNeuralDataset.from_nwb(text)
    other = tmp_path / "other.nwb"
    with h5py.File(other, "w") as file:
        file["spikes"] = np.ones(3)
    with pytest.raises(ValueError, match="is an HDF5 file, but not an NWB file: it holds spikes"):
        AudioNeuralDataset.from_nwb(other)
    with h5py.File(other, "w") as file:
        file["nwb_version"] = "NWB-1.0.6"
    with pytest.raises(ValueError, match="is a file of NWB 1"):
        AudioNeuralDataset.from_nwb(other)


def test_a_damaged_file(nwb, tmp_path):
    path = save(nwb, tmp_path / "a.nwb")
    with h5py.File(path, "a") as file:
        del file["identifier"]
    with pytest.raises(ValueError, match="can't be read by pynwb"):
        AudioNeuralDataset.from_nwb(path)


def test_pynwb_is_missing(nwb, tmp_path, monkeypatch):
    path = save(nwb, tmp_path / "a.nwb")
    original = builtins.__import__

    def without_pynwb(name, *rest):
        if name == "pynwb":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_pynwb)
    with pytest.raises(ImportError, match=r"pip install 'deepSTRF\[nwb\]'"):
        AudioNeuralDataset.from_nwb(path)
