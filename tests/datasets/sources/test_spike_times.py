"""Spike times, by stimulus or of one session, give the tensors of from_arrays with counts of numpy.histogram."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from own_data import (
    DT_MS,
    N_BINS,
    NAMES,
    assert_same_recording,
    histogram,
    nested_times,
    session,
    session_counts,
    sounds,
)

from deepSTRF.datasets import NeuralDataset
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.collate import neural_collate
from deepSTRF.datasets.video import VideoNeuralDataset


def _reference(times=None, cls=AudioNeuralDataset):
    counts = [
        [np.array([histogram(repeat, bins) for repeat in neuron]) for neuron in row]
        for row, bins in zip(times or nested_times(), N_BINS, strict=True)
    ]
    return cls.from_arrays(list(sounds().values()), counts, DT_MS)


def _object_array(nested):
    array = np.empty((len(nested), len(nested[0]), len(nested[0][0])), dtype=object)
    for index in np.ndindex(array.shape):
        array[index] = nested[index[0]][index[1]][index[2]][None]  # (1, K), as a cell of MATLAB
    return array


FORMS = {
    "lists": lambda times: times,
    "lists of numbers": lambda times: [[[repeat.tolist() for repeat in neuron] for neuron in row] for row in times],
    "object array": _object_array,
    "dict of stimuli": lambda times: dict(zip(reversed(NAMES), reversed(times), strict=True)),
    "dicts of neurons": lambda times: [{f"cell {n}": neuron for n, neuron in enumerate(row)} for row in times],
    "unsorted": lambda times: [[[repeat[::-1] for repeat in neuron] for neuron in row] for row in times],
}


@pytest.mark.parametrize("form", FORMS)
def test_times_by_stimulus(form):
    ds = AudioNeuralDataset.from_spike_times(sounds(), FORMS[form](nested_times()), DT_MS, unit="s")
    assert_same_recording(ds, _reference())
    assert [meta["name"] for meta in ds.stim_meta] == list(NAMES)
    assert "cell_id" in ds.nrn_meta[0] if form == "dicts of neurons" else ds.nrn_meta == [{}] * 3


def test_milliseconds_and_base_class():
    in_ms = [[[repeat * 1000 for repeat in neuron] for neuron in row] for row in nested_times()]
    ds = NeuralDataset.from_spike_times(list(sounds().values()), in_ms, DT_MS, unit="ms")
    assert_same_recording(ds, _reference(cls=NeuralDataset))


def test_movies():
    movies = [np.random.default_rng(0).random((4, 5, bins)) for bins in N_BINS]
    ds = VideoNeuralDataset.from_spike_times(movies, nested_times(), DT_MS, unit="s", before_ms=10)
    assert ds.stims[0].shape == (1, 4, 5, 102)
    assert ds.responses[1][2].shape == (4, 62)


def test_what_was_not_recorded_is_missing_and_a_silent_repeat_is_zero():
    times = [
        [[[0.012, 0.4], []], None],
        [[None, [0.2]], [[0.1]]],
    ]
    ds = AudioNeuralDataset.from_spike_times(sounds(), times, DT_MS, unit="s")
    assert ds.nrn_masks.tolist() == [[True, False], [True, True]]
    assert ds.responses[0][0].sum(-1).tolist() == [2, 0]
    assert bool(ds.responses[1][0][0].isnan().all())
    assert ds.responses[1][0][1].sum() == 1
    by_name = {"rain": {"a": [[0.012, 0.4], []]}, "birds": {"a": [None, [0.2]], "b": [[0.1]]}}
    assert_same_recording(ds, AudioNeuralDataset.from_spike_times(sounds(), by_name, DT_MS, unit="s"))
    nobody = AudioNeuralDataset.from_spike_times(sounds(), [times[0], None], DT_MS, unit="s")
    assert nobody.nrn_masks.tolist() == [[True, False], [False, False]]


def test_single_repeats():
    times = [[neuron[0] for neuron in row] for row in nested_times()]
    times[1][0] = []
    ds = AudioNeuralDataset.from_spike_times(sounds(), times, DT_MS, unit="s")
    assert ds.responses[0][1].shape == (1, 100)
    assert ds.responses[1][0].sum() == 0


def test_window_before_and_after():
    ds = AudioNeuralDataset.from_spike_times(
        sounds(), nested_times(), DT_MS, unit="s", before_ms=50, after_ms=25.0, silence=-80.0
    )
    assert ds.stims[1].shape == (1, 8, 10 + 60 + 5)
    assert bool((ds.stims[1][..., :10] == -80).all() and (ds.stims[1][..., -5:] == -80).all())
    np.testing.assert_array_equal(ds.stims[1][0, :, 10:70], sounds()["birds"].astype(np.float32))
    for s, row in enumerate(nested_times()):
        expected = [[histogram(repeat, N_BINS[s] + 15, -0.05) for repeat in neuron] for neuron in row]
        np.testing.assert_array_equal(torch.stack(list(ds.responses[s])), expected)


def test_onset_in_the_clock_of_the_trial():
    later = [
        [[repeat + onset for repeat in neuron] for neuron in row]
        for row, onset in zip(nested_times(), [0.2, 0.5], strict=True)
    ]
    ds = AudioNeuralDataset.from_spike_times(sounds(), later, DT_MS, unit="s", onset_ms=[200, 500])
    assert_same_recording(ds, _reference())


@pytest.mark.parametrize("form", ["dict", "list", "frame"])
def test_session(form):
    units, onsets, stimuli = session()
    if form == "frame":
        pandas = pytest.importorskip("pandas")
        given = pandas.DataFrame({"spike_times": list(units.values()), "area": "A1"}, index=list(units))
    else:
        given = units if form == "dict" else list(units.values())
    ds = AudioNeuralDataset.from_spike_times(
        sounds(), given, DT_MS, unit="s", trials={"start_time": onsets, "stimulus": stimuli}
    )
    assert_same_recording(ds, _session(units, onsets, stimuli))
    assert [meta.get("cell_id") for meta in ds.nrn_meta] == ([None] * 3 if form == "list" else list(units))
    assert form != "frame" or ds.nrn_meta[0]["area"] == "A1"


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), before=st.integers(0, 30), after=st.integers(0, 30))
def test_the_sum_over_bins_is_the_number_of_spikes_in_the_window(seed, before, after):
    units, onsets, stimuli = session(seed, n_units=1)
    ds = AudioNeuralDataset.from_spike_times(
        sounds(), units, DT_MS, unit="s", trials=list(zip(onsets, stimuli, strict=True)),
        before_ms=before * DT_MS, after_ms=after * DT_MS,
    )  # fmt: skip
    for s, name in enumerate(NAMES):
        starts = onsets[np.array(stimuli) == name] - before * 0.005
        stops = starts + (N_BINS[s] + before + after) * 0.005
        times = units["unit 0"]
        expected = [((times >= start) & (times < stop)).sum() for start, stop in zip(starts, stops, strict=True)]
        assert ds.responses[s][0].sum(-1).tolist() == expected


def test_session_with_window_in_milliseconds():
    units, onsets, stimuli = session()
    in_ms = {unit: times * 1000 for unit, times in units.items()}
    trials = list(zip(onsets * 1000, stimuli, strict=True))
    depths = [{"depth": depth} for depth in "abc"]
    ds = AudioNeuralDataset.from_spike_times(
        sounds(), in_ms, DT_MS, unit="ms", trials=trials, before_ms=20, after_ms=10, nrn_meta=depths
    )
    expected = session_counts(units, onsets, stimuli, before_bins=4, after_bins=2)
    for s in range(2):
        np.testing.assert_array_equal(torch.stack(list(ds.responses[s])), expected[s])
    assert ds.nrn_meta[1] == {"cell_id": "unit 1", "depth": "b"}


def test_session_with_intervals_of_recording():
    units, onsets, stimuli = session()
    recorded = [None, [[0, 15]], [[0, 10], [20, 40]]]
    trials = {"onset": onsets, "stimulus": stimuli}
    ds = AudioNeuralDataset.from_spike_times(sounds(), units, DT_MS, unit="s", trials=trials, recorded=recorded)
    recorded_repeats = sum(int((~ds.responses[s][1].isnan()).all(1).sum()) for s in range(2))
    stops = onsets + [0.005 * N_BINS[NAMES.index(name)] for name in stimuli]
    assert recorded_repeats == (stops <= 15).sum()
    whole = AudioNeuralDataset.from_spike_times(sounds(), units, DT_MS, unit="s", trials=trials, recorded=(0, 40))
    assert_same_recording(whole, AudioNeuralDataset.from_spike_times(sounds(), units, DT_MS, unit="s", trials=trials))


def test_times_of_neo_keep_their_unit():
    neo = pytest.importorskip("neo")

    def train(times):
        return neo.SpikeTrain(np.sort(times) * 1000, units="ms", t_start=-200, t_stop=30_000)

    trains = [[[train(repeat) for repeat in neuron] for neuron in row] for row in nested_times()]
    assert_same_recording(AudioNeuralDataset.from_spike_times(sounds(), trains, DT_MS, unit="s"), _reference())
    units, onsets, stimuli = session()
    event = neo.Event(times=onsets * 1000, labels=stimuli, units="ms")
    trains = [train(times) for times in units.values()]
    ds = AudioNeuralDataset.from_spike_times(sounds(), trains, DT_MS, unit="s", trials=event)
    assert_same_recording(ds, _session(units, onsets, stimuli))


def test_objects_of_pynapple_are_in_seconds():
    nap = pytest.importorskip("pynapple")
    units, onsets, stimuli = session()
    group = nap.TsGroup({n: nap.Ts(np.sort(times)) for n, times in enumerate(units.values())})
    trials = nap.IntervalSet(start=onsets, end=onsets + 0.001, metadata={"stimulus": stimuli})
    ds = AudioNeuralDataset.from_spike_times(sounds(), group, DT_MS, unit="s", trials=trials)
    assert_same_recording(ds, _session(units, onsets, stimuli))


def _session(units, onsets, stimuli):
    return AudioNeuralDataset.from_arrays(sounds(), session_counts(units, onsets, stimuli), DT_MS)


def test_items_and_batches_are_those_of_any_data_set():
    ds = AudioNeuralDataset.from_spike_times(
        sounds(), nested_times(), DT_MS, unit="s", frequencies_hz=range(100, 900, 100)
    )
    batch = neural_collate([ds[0], ds[1]])
    assert batch["responses"].shape == (2, 3, 4, 100)
    assert ds.frequencies_hz[0] == 100.0


def _session_options(**changes):
    units, onsets, stimuli = session()
    return {"spikes": units, "unit": "s", "trials": {"onset": onsets, "stimulus": stimuli}, **changes}


def _shifted_trials(shift=0.0, factor=1.0):
    _, onsets, stimuli = session()
    return {"onset": onsets * factor + shift, "stimulus": stimuli}


def _nested(change=lambda times: times, **options):
    return {"spikes": change(nested_times()), "unit": "s", **options}


def _with(times, stimulus, neuron, repeat, value):
    times[stimulus][neuron][repeat] = value
    return times


def _scaled(factor, shift=0.0):
    return lambda times: [[[repeat * factor + shift for repeat in neuron] for neuron in row] for row in times]


inside = [[[np.linspace(0.01, 0.2, 5)] * 4] * 3] * 2
counts = np.random.default_rng(0).poisson(0.3, 100)

BAD = {
    "no unit": (_nested(unit=None), TypeError, 'unit="s" if the times are in seconds'),
    "another unit": (_nested(unit="us"), ValueError, "unit must be one of 's', 'ms'; got 'us'"),
    "ms read as s": (_nested(_scaled(1000)), ValueError, 'if they are in milliseconds, give unit="ms"'),
    "s read as ms": (_nested(lambda _: inside, unit="ms"), ValueError, 'if they are in seconds, give unit="s"'),
    "times of the session": (_nested(_scaled(1, 3e6)), ValueError, "far away from stimuli .* give trials="),
    "all before": (_nested(_scaled(1, -5.0)), ValueError, "no spike is inside the window .* onset_ms right"),
    "NaN": (
        _nested(lambda t: _with(t, 1, 2, 0, [0.1, np.nan])),
        ValueError,
        r"spikes\[1\]\[2\]\[0\] has 1 spike times that are NaN",
    ),
    "counts": (
        _nested(lambda t: _with(t, 0, 1, 3, counts)),
        ValueError,
        r"spikes\[0\]\[1\]\[3\] has the time 0 .* are these counts per bin",
    ),
    "raster": (_nested(lambda t: _with(t, 0, 0, 0, np.ones(100, bool))), TypeError, "is an array of bool; a raster"),
    "text": (
        _nested(lambda t: _with(t, 0, 0, 0, "0.1 0.2")),
        TypeError,
        r"spikes\[0\]\[0\]\[0\] must be an array of spike times, got a str",
    ),
    "a level too deep": (
        _nested(lambda t: [[[neuron, neuron] for neuron in row] for row in t]),
        TypeError,
        "spikes are given by stimulus, neuron and repeat",
    ),
    "fewer stimuli": (
        _nested(lambda t: t[:1]),
        ValueError,
        "1 entries, 2 stimuli; the order is stimulus, neuron, repeat",
    ),
    "units without trials": (
        _nested(lambda t: [row[0][0] for row in [*t, *t]]),
        ValueError,
        "4 entries, 2 stimuli; for one long session.*give trials=",
    ),
    "other neurons": (_nested(lambda t: [t[0], t[1][:2]]), ValueError, r"spikes\[1\] has 2 neurons, spikes\[0\] has 3"),
    "no repeat": (
        _nested(lambda t: [[[], *t[0][1:]], t[1]]),
        ValueError,
        r"spikes\[0\]\[0\] is empty, so that it has no repeat: give None",
    ),
    "unknown stimulus": (
        _nested(lambda t: dict(zip(["rain", "brids"], t, strict=True))),
        ValueError,
        "unknown stimulus 'brids'; .* Did you mean 'birds'",
    ),
    "a number for a stimulus": (
        _nested(lambda t: [t[0], 3.0]),
        TypeError,
        r"spikes\[1\] must hold the spikes of each neuron, got a float",
    ),
    "no entry": (
        _nested(lambda t: {"rain": t[0]}),
        ValueError,
        "spikes has no entry for the stimulus 'birds'; give None",
    ),
    "dicts and lists": (
        _nested(lambda t: [dict(enumerate(t[0])), t[1]]),
        TypeError,
        r"spikes\[1\] is a list, others are dicts",
    ),
    "a column": (
        _nested(lambda t: [[t[0][0][0][:, None], *t[0][1:]], t[1]]),
        ValueError,
        r"repeats of one spike, or one repeat as a column\?",
    ),
    "no spike": (_nested(lambda t: [[[[]] * 4] * 3] * 2), ValueError, "no spike at all"),
    "nothing": (_nested(lambda t: [None, None]), ValueError, "None for every stimulus"),
    "nrn_meta of others": (
        _nested(lambda t: [dict(enumerate(row)) for row in t], nrn_meta=[{}]),
        ValueError,
        "nrn_meta must have one entry for each of 3",
    ),
    "part of a bin": (
        _nested(before_ms=12),
        ValueError,
        "before_ms must be a whole number of bins of 5 ms, got 12; next to it are 10 and 15",
    ),
    "negative window": (_nested(after_ms=-5), ValueError, "after_ms must be at least 0"),
    "onsets": (_nested(onset_ms=[0, 0, 0]), ValueError, "one for each of 2 stimuli, got 3"),
    "bins in seconds": (_nested(dt_ms=0.005), ValueError, "in milliseconds, got 0.005; did you mean 5"),
    "a path": (_nested(lambda _: "sorted/"), TypeError, "from_phy reads folders"),
    "recorded without trials": (_nested(recorded=(0, 1)), ValueError, "recorded belongs to one long session"),
    "session: onsets in ms": (_session_options(trials=_shifted_trials(factor=1000)), ValueError, "by a factor 1000"),
    "session: spikes in ms": (
        _session_options(spikes={0: session()[0]["unit 0"] * 1000}),
        ValueError,
        "by a factor 1000",
    ),
    "session: another clock": (
        _session_options(spikes=[[29.9], np.linspace(0, 0.3, 100)]),
        ValueError,
        "no spike is inside a trial",
    ),
    "session: beyond the recording": (
        _session_options(trials=_shifted_trials(8)),
        ValueError,
        "trials are beyond the recording: trial",
    ),
    "session: before the recording": (
        _session_options(before_ms=5000),
        ValueError,
        "begins at -.* before the recording",
    ),
    "session: negative times": (
        _session_options(spikes=[[-0.5, 1.0, 3.0, 29]]),
        ValueError,
        "1 of 4 spike times are negative, the first at -0.5 s",
    ),
    "session: same id": (
        _session_options(spikes={1: [1.0], "1": [2.0]}),
        ValueError,
        "stand for more than one unit, such as '1'",
    ),
    "session: NaN": (
        _session_options(spikes={"a": [1.0, np.nan]}),
        ValueError,
        r"spikes\['a'\] has 1 spike times that are NaN",
    ),
    "session: one flat unit": (
        _session_options(spikes=[1.0, 2.0]),
        TypeError,
        r"times of a single unit go in a list, \[times\]",
    ),
    "session: no units": (_session_options(spikes={}), ValueError, "spikes has no unit"),
    "session: a number": (_session_options(spikes=3), TypeError, "spikes must hold the times of each unit"),
    "session: silent": (_session_options(spikes=[[], []]), ValueError, "no spike at all"),
    "session: unheard": (
        _session_options(trials=[(1.0, "rain")]),
        ValueError,
        "1 of 2 stimuli have no trial: 'birds'",
    ),
    "session: unknown name": (
        _session_options(trials=[(1.0, "rian")]),
        ValueError,
        "trial 0: unknown stimulus 'rian'.*Did you mean 'rain'",
    ),
    "session: onset_ms": (_session_options(onset_ms=100), ValueError, "onset_ms belongs to times per stimulus"),
    "session: intervals": (_session_options(recorded=[(0, 1)]), ValueError, "one entry for each of 3 units, got 1"),
    "session: no such interval": (_session_options(recorded=(50, 60)), ValueError, "no trial is wholly inside"),
    "session: turned interval": (
        _session_options(recorded=(30, 0)),
        ValueError,
        r"recorded\[0\] must be intervals \(start, stop\)",
    ),
}


@pytest.mark.parametrize("mistake", BAD)
def test_usual_mistakes(mistake):
    options, error, message = BAD[mistake]
    options = {"dt_ms": DT_MS, **options}
    with pytest.raises(error, match=message):
        AudioNeuralDataset.from_spike_times(sounds(), **options)
