"""Objects of Neo give the tensors of from_arrays, whatever units their times have."""

import numpy as np
import pytest
import torch

pytest.importorskip("neo", reason="needs the extra nwb")

import neo
import quantities as pq

from deepSTRF.datasets.audio import AudioNeuralDataset

STIMS = {"rain": np.random.default_rng(0).random((4, 60)), "birds": np.random.default_rng(1).random((4, 80))}
NAMES = ["birds", "rain", "birds"]


def times_of(n_segments=3, n_units=2, duration=0.8):
    rng = np.random.default_rng(2)
    return [[np.sort(rng.uniform(0, duration, 20)) for _ in range(n_units)] for _ in range(n_segments)]


def segment(times, name, unit=pq.s, start=0.0, stop=0.8, **annotations):
    made = neo.Segment(stimulus=name)
    for index, own in enumerate(times):
        scaled = (own * pq.s).rescale(unit)
        train = neo.SpikeTrain(scaled, t_start=(start * pq.s).rescale(unit), t_stop=(stop * pq.s).rescale(unit))
        train.annotate(unit_id=7 + index, area="A1", **annotations)
        made.spiketrains.append(train)
    return made


def histograms(times, n_bins, onset=0.0):
    edges = onset + np.arange(n_bins + 1) / 100
    return np.array([np.histogram(own, edges)[0] for own in times], dtype=np.float32)


def rows(dataset, stimulus):
    return torch.stack(list(dataset.responses[stimulus])).numpy()


@pytest.mark.parametrize("unit", [pq.s, pq.ms, pq.us])
def test_segments_are_repeats_and_units_of_time_are_honoured(unit):
    times = times_of()
    block = neo.Block()
    block.segments.extend([segment(own, name, unit) for own, name in zip(times, NAMES, strict=True)])
    ds = AudioNeuralDataset.from_neo(STIMS, block, 10.0)
    birds = np.stack([histograms(times[0], 80), histograms(times[2], 80)], 1)
    other = AudioNeuralDataset.from_arrays(
        [STIMS["birds"], STIMS["rain"]], [birds, histograms(times[1], 60)[:, None]], 10.0
    )
    for own, one in zip(ds.responses, other.responses, strict=True):
        assert torch.equal(own.block.values, one.block.values)
    assert ds.nrn_meta == [{"cell_id": "7", "unit_id": 7, "area": "A1"}, {"cell_id": "8", "unit_id": 8, "area": "A1"}]


def test_bins_that_a_train_does_not_cover_and_units_that_a_segment_lacks_are_missing():
    times = times_of()
    segments = [segment(own, "birds", stop=0.8) for own in times]
    segments[1] = segment([own[own < 0.5] for own in times[1]], "birds", stop=0.5)
    segments[2].spiketrains = segments[2].spiketrains[1:]
    ds = AudioNeuralDataset.from_neo(STIMS, segments, 10.0)
    first, second = (response.numpy() for response in ds.responses[0])
    assert np.isnan(second[1]).tolist() == [False] * 50 + [True] * 30
    assert np.array_equal(second[2], histograms(times[2], 80)[1])
    assert first.shape == (2, 80)


def test_a_clock_that_includes_0_is_that_of_the_stimulus_and_another_begins_with_it():
    times = times_of(1)[0]
    before = segment([own - 0.1 for own in times], "rain", start=-0.1, stop=0.7)
    later = segment([own + 100 for own in times], "rain", start=100.0, stop=100.8)
    ds = AudioNeuralDataset.from_neo(STIMS, [before, later], 10.0)
    assert np.array_equal(rows(ds, 0)[:, 0], histograms(times, 60, 0.1))
    assert np.array_equal(rows(ds, 0)[:, 1], histograms(times, 60))
    ds = AudioNeuralDataset.from_neo(STIMS, [before], 10.0, before_ms=100)
    assert np.array_equal(rows(ds, 0)[:, 0], histograms(times, 70))


def test_one_segment_with_epochs_is_a_session():
    rng = np.random.default_rng(5)
    times = [np.sort(rng.uniform(0, 20, 400)) for _ in range(2)]
    session = segment(times, "none", pq.ms, stop=20.0)
    onsets = np.array([1000.0, 4000.0, 9030.0]) * pq.ms
    session.epochs.append(neo.Epoch(onsets, durations=[0.8] * 3 * pq.s, labels=NAMES, name="playback"))
    session.events.append(neo.Event([1.0] * pq.s, labels=["lick"]))
    ds = AudioNeuralDataset.from_neo(STIMS, session, 10.0)
    birds = np.stack([histograms(times, 80, 1.0), histograms(times, 80, 9.03)], 1)
    assert np.array_equal(rows(ds, 0), birds)
    session.events.append(neo.Event([1.0] * pq.s, labels=["rain"], name="again"))
    with pytest.raises(
        ValueError, match="2 epochs or events name stimuli: 'playback', 'again'; choose one with stimulus="
    ):
        AudioNeuralDataset.from_neo(STIMS, session, 10.0)
    assert np.array_equal(rows(AudioNeuralDataset.from_neo(STIMS, session, 10.0, stimulus="playback"), 0), birds)


def test_analog_signals_respond_where_there_are_no_trains():
    values = np.random.default_rng(3).random((100, 2)).astype(np.float32)
    made = neo.Segment(name="rain")
    made.analogsignals.append(
        neo.AnalogSignal(values, units="uV", sampling_rate=0.1 * pq.kHz, t_start=50 * pq.s, name="LFP")
    )
    ds = AudioNeuralDataset.from_neo(STIMS, [made, made], 10.0)
    assert np.array_equal(rows(ds, 0)[1], np.stack([values[:60, 1]] * 2))
    assert [meta["cell_id"] for meta in ds.nrn_meta] == ["LFP 0", "LFP 1"]


def test_what_is_wrong_is_said():
    times = times_of()
    with pytest.raises(TypeError, match=r"recording must be a Block, a Segment or a list of Segments, got an int"):
        AudioNeuralDataset.from_neo(STIMS, 3, 10.0)
    with pytest.raises(TypeError, match=r"recording\[0\] must be a Segment of Neo, got a ndarray"):
        AudioNeuralDataset.from_neo(STIMS, [np.ones(3)], 10.0)
    with pytest.raises(ValueError, match="segment 0 has the stimulus 'wind', but the stimuli are 'rain', 'birds'"):
        AudioNeuralDataset.from_neo(STIMS, [segment(times[0], "wind")], 10.0)
    with pytest.raises(ValueError, match="the segments hold neither spike trains nor analog signals"):
        AudioNeuralDataset.from_neo(STIMS, [neo.Segment(stimulus="rain")], 10.0)
    unnamed = segment(times[0], "rain")
    unnamed.annotations.clear()
    with pytest.raises(ValueError, match="segment 0 doesn't say which stimulus it had: neither an annotation"):
        AudioNeuralDataset.from_neo(STIMS, [unnamed], 10.0)
    with pytest.raises(ValueError, match="segment 0 has no annotation 'sound'; its annotations are stimulus"):
        AudioNeuralDataset.from_neo(STIMS, [segment(times[0], "rain")], 10.0, stimulus="sound")
    segments = [segment(times[0], "rain"), segment(times[1][:1], "rain")]
    for one in segments:
        for train in one.spiketrains:
            train.annotations.clear()
    with pytest.raises(ValueError, match=r"different numbers of spike trains \(2, 1 ...\), and these have no names"):
        AudioNeuralDataset.from_neo(STIMS, segments, 10.0)
