"""Stimuli whose time is not the last axis are named wherever the responses show it."""

import numpy as np
import pytest
from folder_files import write_folder

from deepSTRF.datasets import check_recording, read_folder
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset

RNG = np.random.default_rng(0)
BANDS, BINS, DT = 12, 100, 5.0
GOOD = {"rain": RNG.random((BANDS, BINS)), "birds": RNG.random((BANDS, BINS))}
TIME_FIRST = {name: stim.T for name, stim in GOOD.items()}
SPIKES = {name: {"a": [np.sort(RNG.uniform(0, 0.5, 40)), RNG.uniform(0, 0.499, 30)]} for name in GOOD}
MOVIE_FIRST = [RNG.random((BINS, 6, 8)), RNG.random((BINS, 6, 8))]


def expect(what=r"seems to be the first: .*\(100, 12\).* transpose all of them, as stim\.T"):
    return pytest.raises(ValueError, match=what)


def test_arrays():
    counts = [np.ones((2, 3, BINS))] * 2
    AudioNeuralDataset.from_arrays(GOOD, counts, DT)
    with expect():
        AudioNeuralDataset.from_arrays(TIME_FIRST, counts, DT)
    with expect(r"numpy\.moveaxis\(stim, 0, -1\)"):
        VideoNeuralDataset.from_arrays(MOVIE_FIRST, counts, DT)
    with expect("same number of bands, got .* the last axis has 12 in all of them"):
        AudioNeuralDataset.from_arrays([np.ones((80, 12)), np.ones((60, 12))], counts, DT)


def test_spike_times():
    AudioNeuralDataset.from_spike_times(GOOD, SPIKES, DT, unit="s")
    with expect():
        AudioNeuralDataset.from_spike_times(TIME_FIRST, SPIKES, DT, unit="s")
    with expect():
        AudioNeuralDataset.from_spike_times(TIME_FIRST, SPIKES, DT, unit="s", before_ms=20, after_ms=10)
    with expect(r"numpy\.moveaxis"):
        VideoNeuralDataset.from_spike_times(MOVIE_FIRST, list(SPIKES.values()), DT, unit="s")


def test_spikes_after_short_stimuli_are_no_mistake():
    """More bands than bins, and a recording that goes on after the stimulus."""
    short = {name: RNG.random((40, 30)) for name in GOOD}
    AudioNeuralDataset.from_spike_times(short, SPIKES, DT, unit="s")


@pytest.mark.parametrize("column", ["duration", "stop_time"])
def test_a_session_with_ends_of_trials(column):
    onsets = np.arange(1, 9, 1.0)
    trials = {"onset": onsets, "stimulus": ["rain", "birds"] * 4}
    trials[column] = np.full(8, 0.5) + (onsets if column == "stop_time" else 0)
    units, eeg = {1: RNG.uniform(0, 10, 500)}, RNG.random((3, 1000))
    AudioNeuralDataset.from_spike_times(GOOD, units, DT, unit="s", trials=trials)
    with expect():
        AudioNeuralDataset.from_spike_times(TIME_FIRST, units, DT, unit="s", trials=trials)
    with expect():
        AudioNeuralDataset.from_signals(TIME_FIRST, eeg, 100.0, DT, unit="s", trials=trials)


def test_signals():
    signals = [RNG.random((3, 2, 250))] * 2  # 0.5 s at 500 Hz
    AudioNeuralDataset.from_signals(GOOD, signals, 500.0, DT)
    with expect():
        AudioNeuralDataset.from_signals(TIME_FIRST, signals, 500.0, DT)


def transposed_folder(folder, as_spikes):
    write_folder(folder, toml='dt_ms = 5.0\nunit = "s"\n', spikes="neuron,stimulus,repeat,time\n" + "".join(
        f"a,{name},{repeat},{time:.4f}\n" for name, neurons in SPIKES.items()
        for repeat, times in enumerate(neurons["a"], 1) for time in times
    ))  # fmt: skip
    for name, stim in TIME_FIRST.items():
        (folder / "stimuli" / f"{name}.wav").unlink()
        np.save(folder / "stimuli" / f"{name}.npy", stim)
    if not as_spikes:
        (folder / "spikes.csv").unlink()
        np.savez(folder / "responses.npz", **{name: np.ones((2, 3, BINS)) for name in GOOD})
    return folder


@pytest.mark.parametrize("as_spikes", [True, False])
def test_a_folder(tmp_path, as_spikes):
    folder = transposed_folder(tmp_path / "mine", as_spikes)
    with expect():
        read_folder(folder, cache=False)
    found = [suspicion for suspicion in check_recording(folder).suspicions if suspicion.kind in ("axes", "length")]
    assert found
    assert "transpose all of them" in found[0].text
    assert {suspicion.kind for suspicion in found} == {"axes"}


def test_more_bands_than_bins_is_suspicious():
    ds = AudioNeuralDataset.from_arrays(TIME_FIRST, [np.ones((1, 2, BANDS))] * 2, DT)
    assert any("100 bands and at most 12 bins" in suspicion.text for suspicion in check_recording(ds).suspicions)
