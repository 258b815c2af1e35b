"""Tables of trials of every usual kind say the same."""

import numpy as np
import pytest

from deepSTRF.datasets.sources.trials import check_heard, named_stimuli, seconds_per, trial_table

ONSETS = [0.5, 2.5, 4.5]
STIMULI = ["birds", "rain", "birds"]
NAMES = ["rain", "birds"]


def _frame(columns):
    return pytest.importorskip("pandas").DataFrame(columns)


class _Table:
    def to_dataframe(self):
        return _frame({"start_time": ONSETS, "stop_time": [1, 3, 5], "stimulus": STIMULI})


TABLES = {
    "dict": lambda: {"onset": np.array(ONSETS), "stimulus": STIMULI},
    "pandas": lambda: _frame({"Trial": [0, 1, 2], "Start_Time": ONSETS, "stim_name": STIMULI}),
    "dynamic table": _Table,
    "structured array": lambda: np.array(
        list(zip(ONSETS, STIMULI, strict=True)), dtype=[("onset", float), ("stimulus", "U9")]
    ),
    "bytes": lambda: np.array(list(zip(ONSETS, STIMULI, strict=True)), dtype=[("onset", float), ("stimulus", "S9")]),
    "tuples": lambda: list(zip(ONSETS, STIMULI, strict=True)),
    "dicts": lambda: [{"onset": o, "trial_type": s} for o, s in zip(ONSETS, STIMULI, strict=True)],
    "indices": lambda: {"onset": ONSETS, "stimulus": [1, 0, 1]},
    "indices as floats": lambda: np.array([ONSETS, [1, 0, 1]]).T,
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_of_table(kind):
    table = trial_table(TABLES[kind](), NAMES)
    np.testing.assert_array_equal(table.onsets_s, ONSETS)
    assert table.stimulus_of_trial.tolist() == [1, 0, 1]


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_files(tmp_path, separator):
    lines = [
        separator.join(map(str, row))
        for row in [("onset", "duration", "trial_type"), (500, 1, "birds"), (2500, 1, "rain")]
    ]
    (tmp_path / "events.tsv").write_text("\n".join(lines) + "\n\n")
    table = trial_table(tmp_path / "events.tsv", NAMES, unit="ms")
    assert table.onsets_s.tolist() == [0.5, 2.5]
    assert table.stimulus_of_trial.tolist() == [1, 0]


def test_files_of_spreadsheets(tmp_path):
    file = tmp_path / "trials.csv"
    file.write_bytes(b"\xef\xbb\xbfonset,trial_type,,\r\n0.5,birds,,\r\n\r\n,,,\r\n2.5,rain,,\r\n,,,\r\n")
    table = trial_table(file, NAMES, unit="s")
    assert table.onsets_s.tolist() == [0.5, 2.5]
    file.write_text("onset,trial_type\n0.5,birds\n\n2,5,rain\n")
    with pytest.raises(ValueError, match=r"line 4 of .* has 3 values, its first line names 2 columns; write decimals"):
        trial_table(file, NAMES, unit="s")
    with pytest.raises(FileNotFoundError, match=r"there is no file .* with the table of trials"):
        trial_table(tmp_path / "none.csv", NAMES, unit="s")


def test_events_of_neo_keep_their_unit():
    neo = pytest.importorskip("neo")
    event = neo.Event(times=[500.0, 2500.0, 4500.0], labels=STIMULI, units="ms")
    table = trial_table(event, NAMES, unit="s")
    np.testing.assert_allclose(table.onsets_s, ONSETS)
    assert table.stimulus_of_trial.tolist() == [1, 0, 1]


def test_names_that_are_numbers():
    table = trial_table([(0, 20.0), (1, "10"), (2, np.int64(20))], ["10", "20"])
    assert table.stimulus_of_trial.tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="trial 0: unknown stimulus '1'; available: 10, 20"):
        trial_table([(0, 1)], ["10", "20"])


def test_columns_can_be_named():
    columns = {"t": ONSETS, "which": STIMULI, "onset": [0, 0, 0]}
    table = trial_table(columns, NAMES, onset_column="t", stimulus_column="which")
    assert table.onsets_s.tolist() == ONSETS


def test_stimuli_without_names_are_counted():
    assert trial_table([(0.0, 2), (1.0, 0)], 3).stimulus_of_trial.tolist() == [2, 0]


BAD = [
    (3, {}, TypeError, "trials must be a table with the onset and the stimulus of each trial"),
    ([], {}, ValueError, "trials must have at least one trial, got an empty table"),
    ([(0.1, "rain"), 3], {}, ValueError, r"trial 1 must be a pair \(onset, stimulus\), got 3"),
    ([(0.1, "rain"), (0.2, "brids")], {}, ValueError, "trial 1: unknown stimulus 'brids'.*Did you mean 'birds'"),
    ([(0.1, 1), (0.2, 2)], {}, ValueError, "trial 1 has the stimulus '2', but there are 2 stimuli; .* counted from 0"),
    ([(0.1, None)], {}, ValueError, "trial 0 has no stimulus"),
    ([(0.1, np.nan)], {}, ValueError, "trial 0 has no stimulus"),
    ([("soon", "rain")], {}, ValueError, "the onsets of trials .column 'onset'. must be numbers, got 'soon'"),
    ([(0.1, "rain"), (np.nan, "rain")], {}, ValueError, "trial 1 has the onset nan"),
    ({"onset": [1, 2], "stimulus": ["rain"]}, {}, ValueError, "2 onsets and 1 stimuli"),
    (
        {"when": [1], "stimulus": ["rain"]},
        {},
        ValueError,
        "its columns are when, stimulus; say which with onset_column=",
    ),
    ({"onset": [1], "what": ["rain"]}, {}, ValueError, "say which with stimulus_column="),
    ({"onset": [1], "stimulus": ["rain"]}, {"onset_column": "onst"}, ValueError, "unknown column of trials 'onst'"),
    ({"onset": [1], "stimulus": ["rain"]}, {"unit": "us"}, ValueError, "unit must be one of 's', 'ms'; got 'us'"),
    ({"onset": 1.0, "stimulus": "rain"}, {}, TypeError, "the column 'onset' of trials must be a list"),
    ([{"onset": 1, "stimulus": "rain"}, {"onset": 1}], {}, ValueError, "trial 1 has the keys onset, trial 0"),
]


@pytest.mark.parametrize(("trials", "options", "error", "message"), BAD)
def test_bad_tables(trials, options, error, message):
    with pytest.raises(error, match=message):
        trial_table(trials, NAMES, **options)


def test_stimuli_that_nobody_heard():
    with pytest.raises(ValueError, match="1 of 2 stimuli have no trial: 'rain'; leave them out of stims"):
        check_heard(np.array([1, 1]), NAMES)
    check_heard(np.array([1, 0]), 2)


def test_names_of_stimuli():
    assert named_stimuli([[1.0]]) == ([[1.0]], None)
    with pytest.raises(ValueError, match="two stimuli have the name '1'"):
        named_stimuli({1: [1.0], "1": [2.0]})


def test_the_unit_has_no_default():
    assert seconds_per("s") == 1.0
    assert seconds_per("samples", rate_hz=500.0) == 0.002
    with pytest.raises(TypeError, match='unit="s" if the times are in seconds'):
        seconds_per(None)
