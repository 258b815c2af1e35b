"""Objects of pynapple give the tensors of from_arrays."""

import numpy as np
import pytest
import torch

pytest.importorskip("pynapple", reason="needs the extra nwb")

import pynapple as nap

from deepSTRF.datasets.audio import AudioNeuralDataset

STIMS = {"rain": np.random.default_rng(0).random((4, 60)), "birds": np.random.default_rng(1).random((4, 80))}
ONSETS = np.array([1.0, 4.0, 7.03, 12.0])
NAMES = ["birds", "rain", "birds", "rain"]


def spike_times(n=3):
    rng = np.random.default_rng(2)
    return [np.sort(rng.uniform(0, 20, 300)) for _ in range(n)]


def group(times, **options):
    units = {5 + index: nap.Ts(own) for index, own in enumerate(times)}
    return nap.TsGroup(units, metadata={"area": ["A1", "AAF", "A1"][: len(times)]}, **options)


def trials(names=NAMES):
    return nap.IntervalSet(ONSETS, ONSETS + 1, metadata={"stimulus": names})


def counts(times, name, n_bins):
    edges = np.arange(n_bins + 1) / 100
    onsets = ONSETS[np.array(NAMES) == name]
    return np.array([[np.histogram(own, onset + edges)[0] for onset in onsets] for own in times], dtype=np.float32)


def rows(dataset, stimulus):
    return torch.stack(list(dataset.responses[stimulus])).numpy()


def test_units_and_intervals_give_the_counts_of_histograms():
    times = spike_times()
    ds = AudioNeuralDataset.from_pynapple(STIMS, group(times), trials(), 10.0)
    assert [meta["name"] for meta in ds.stim_meta] == ["birds", "rain"]
    assert np.array_equal(rows(ds, 0), counts(times, "birds", 80))
    assert np.array_equal(rows(ds, 1), counts(times, "rain", 60))
    assert ds.nrn_meta[1]["cell_id"] == "6"
    assert ds.nrn_meta[1]["area"] == "AAF"
    other = AudioNeuralDataset.from_arrays(
        [STIMS["birds"], STIMS["rain"]], [counts(times, "birds", 80), counts(times, "rain", 60)], 10.0
    )
    assert all(torch.equal(own, one) for own, one in zip(ds.stims, other.stims, strict=True))
    assert all(
        torch.equal(own.block.values, one.block.values) for own, one in zip(ds.responses, other.responses, strict=True)
    )


def test_trials_outside_of_the_time_support_are_missing():
    times = spike_times()
    support = nap.IntervalSet([0, 8], [4.5, 20])
    ds = AudioNeuralDataset.from_pynapple(STIMS, group(times, time_support=support), trials(), 10.0)
    assert rows(ds, 0).shape == (3, 1, 80)  # the second trial is in the gap
    assert np.isnan(rows(ds, 1)).all((0, 2)).tolist() == [True, False]


def test_a_support_that_ends_with_the_last_spike_says_nothing():
    times = [np.array([1.2, 4.1]), np.array([1.3, 12.1])]
    ds = AudioNeuralDataset.from_pynapple(STIMS, group(times), trials(), 10.0)
    assert not np.isnan(rows(ds, 0)).any()
    assert not np.isnan(rows(ds, 1)).any()


def test_signals_at_the_rate_of_the_bins_stay_as_they_are():
    values = np.random.default_rng(3).random((2000, 2)).astype(np.float32)
    signal = nap.TsdFrame(t=np.arange(2000) / 100, d=values, columns=["v", "w"], metadata={"depth": [100, 200]})
    ds = AudioNeuralDataset.from_pynapple(STIMS, signal, trials(), 10.0)
    assert np.array_equal(rows(ds, 1)[1], np.stack([values[400:460, 1], values[1200:1260, 1]]))
    assert ds.nrn_meta == [{"cell_id": "v", "depth": 100}, {"cell_id": "w", "depth": 200}]
    single = nap.Tsd(t=np.arange(2000) / 100, d=values[:, 0])
    assert np.array_equal(
        rows(AudioNeuralDataset.from_pynapple(STIMS, single, trials(), 10.0), 1)[0, 0], values[400:460, 0]
    )


def test_one_stimulus_needs_no_metadata():
    times = spike_times()
    intervals = nap.IntervalSet(ONSETS, ONSETS + 1)
    ds = AudioNeuralDataset.from_pynapple({"rain": STIMS["rain"]}, group(times), intervals, 10.0)
    assert rows(ds, 0).shape == (3, 4, 60)
    message = r"trials has no metadata, which say which of 2 stimuli .* metadata=\{\"stimulus\": names\}"
    with pytest.raises(ValueError, match=message):
        AudioNeuralDataset.from_pynapple(STIMS, group(times), intervals, 10.0)


def test_wrong_objects_and_names():
    times = spike_times()
    with pytest.raises(TypeError, match=r"responses must be a TsGroup, .* got a list; plain arrays of times go to"):
        AudioNeuralDataset.from_pynapple(STIMS, times, trials(), 10.0)
    with pytest.raises(TypeError, match="trials must be an IntervalSet of pynapple, or a table, got a TsGroup"):
        AudioNeuralDataset.from_pynapple(STIMS, group(times), group(times), 10.0)
    with pytest.raises(
        ValueError, match="the column 'stimulus' of trials names 'wind', for which there is no stimulus"
    ):
        AudioNeuralDataset.from_pynapple(STIMS, group(times), trials(["wind", *NAMES[1:]]), 10.0)
    with pytest.raises(ValueError, match="no neuron fires in any trial"):
        AudioNeuralDataset.from_pynapple(STIMS, group([own / 1000 for own in times]), trials(), 10.0)
