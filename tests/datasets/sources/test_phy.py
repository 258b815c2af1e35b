"""Folders as Kilosort and phy write them."""

import numpy as np
import pytest
from own_data import DT_MS, assert_same_recording, session, session_counts, sounds

from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.sources.phy import read_phy

RATE = 30_000.0
LABELS = {2: "good", 5: "mua", 7: "good", 11: "noise"}


@pytest.fixture
def trials():
    _, onsets, stimuli = session()
    return {"onset": onsets, "stimulus": stimuli}


@pytest.fixture
def folder(tmp_path):
    """Four clusters, of which two are good, as phy leaves them."""
    rng = np.random.default_rng(0)
    samples = np.sort(rng.integers(0, 30 * 30_000, 2000)).astype(np.uint64)
    clusters = rng.choice(list(LABELS), 2000).astype(np.int32)
    np.save(tmp_path / "spike_times.npy", samples[:, None])  # Kilosort writes a column
    np.save(tmp_path / "spike_clusters.npy", clusters)
    (tmp_path / "params.py").write_text(
        "dat_path = r'recording.dat'\nn_channels_dat = 385\nsample_rate = 30000.  # Hz\nimport missing\n"
    )
    rows = [f"{unit}\t{'good' if unit < 6 else 'mua'}\t{10 * unit}\t{2.5}\t{label}" for unit, label in LABELS.items()]
    (tmp_path / "cluster_info.tsv").write_text("\n".join(["cluster_id\tKSLabel\tdepth\tfr\tgroup", *rows, ""]))
    return tmp_path


def _times(folder):
    samples, clusters = np.load(folder / "spike_times.npy").ravel(), np.load(folder / "spike_clusters.npy")
    return {int(unit): samples[clusters == unit] / RATE for unit in np.unique(clusters)}


def test_good_units_by_default(folder, trials):
    ds = AudioNeuralDataset.from_phy(folder, sounds(), trials, DT_MS, unit="s")
    times = _times(folder)
    counts = session_counts({unit: times[unit] for unit in (2, 7)}, **_named(trials))
    assert_same_recording(ds, AudioNeuralDataset.from_arrays(sounds(), counts, DT_MS))
    assert ds.nrn_meta[1] == {"cell_id": 7, "KSLabel": "mua", "depth": 70, "fr": 2.5, "group": "good"}
    assert ds.path == str(folder)


def _named(trials):
    return {"onsets": trials["onset"], "stimuli": trials["stimulus"]}


@pytest.mark.parametrize(
    ("groups", "units"), [("mua", [5]), (["good", "mua"], [2, 5, 7]), (None, [2, 5, 7, 11]), (("noise",), [11])]
)
def test_groups(folder, groups, units):
    assert list(read_phy(folder, groups).times_s) == units


@pytest.mark.parametrize("unit", ["ms", "samples"])
def test_onsets_in_other_units(folder, trials, unit):
    onsets = trials["onset"] * 1000 if unit == "ms" else np.round(trials["onset"] * RATE).astype(int)
    in_seconds = onsets / 1000 if unit == "ms" else onsets / RATE
    ds = AudioNeuralDataset.from_phy(
        folder, sounds(), {**trials, "onset": onsets}, DT_MS, unit=unit, before_ms=20, groups=None
    )
    other = AudioNeuralDataset.from_spike_times(
        sounds(), _times(folder), DT_MS, unit="s", trials={**trials, "onset": in_seconds}, before_ms=20
    )
    assert_same_recording(ds, other)


def test_stimuli_that_are_named_by_numbers(folder):
    stims = dict(zip(["1", "0"], sounds().values(), strict=True))
    ds = AudioNeuralDataset.from_phy(folder, stims, [(1.0, 1), (2.0, 0), (3.0, 0)], DT_MS, unit="s")
    assert [ds.responses[s][0].shape[0] for s in range(2)] == [1, 2]


def test_labels_of_kilosort_where_nobody_gave_any(folder):
    (folder / "cluster_info.tsv").unlink()
    assert {meta["group"] for meta in read_phy(folder, None).metadata} == {"unsorted"}
    (folder / "cluster_KSLabel.tsv").write_text("cluster_id\tKSLabel\n2\tgood\n5\tgood\n7\tmua\n99\tgood\n")
    assert list(read_phy(folder).times_s) == [2, 5]
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n5\tnoise\n7\tgood\n2\tunsorted\n")
    assert list(read_phy(folder).times_s) == [2, 7]


def test_kilosort_without_phy(folder):
    (folder / "spike_clusters.npy").rename(folder / "spike_templates.npy")
    (folder / "params.py").unlink()
    assert len(read_phy(folder, sample_rate_hz=RATE).times_s[2]) == len(_times_of_templates(folder)[2])


def _times_of_templates(folder):
    (folder / "spike_templates.npy").rename(folder / "spike_clusters.npy")
    return _times(folder)


def _remove(name):
    return lambda folder: (folder / name).unlink()


def _write(name, text):
    return lambda folder: (folder / name).write_text(text)


def _save(name, values):
    return lambda folder: np.save(folder / name, values, allow_pickle=True)


def _move_down(folder):
    (folder / "sorter_output").mkdir()
    for name in ("spike_times.npy", "spike_clusters.npy"):
        (folder / name).rename(folder / "sorter_output" / name)


BAD = {
    "no such file": (
        _remove("spike_times.npy"),
        {},
        FileNotFoundError,
        "there is no spike_times.npy in .* Kilosort or phy",
    ),
    "the folder above": (_move_down, {}, FileNotFoundError, "did you mean .*sorter_output"),
    "no clusters": (_remove("spike_clusters.npy"), {}, FileNotFoundError, "there is no spike_templates.npy"),
    "damaged": (_write("spike_times.npy", "oops"), {}, ValueError, "spike_times.npy cannot be read"),
    "a pickle": (
        _save("spike_clusters.npy", np.array([{}])),
        {},
        ValueError,
        "spike_clusters.npy cannot be read: .*pickle",
    ),
    "seconds": (_save("spike_times.npy", np.linspace(0, 1, 2000)), {}, ValueError, "got float64: times in samples"),
    "another sorting": (
        _save("spike_clusters.npy", np.zeros(7, int)),
        {},
        ValueError,
        "2000 spike times, but clusters of 7",
    ),
    "no params": (_remove("params.py"), {}, ValueError, "there is no params.py in .*: give sample_rate_hz="),
    "no rate": (
        _write("params.py", "sample_rate = get_rate()\n"),
        {},
        ValueError,
        "has no line such as 'sample_rate = 30000.'",
    ),
    "no such label": (
        lambda _: None,
        {"groups": "godo"},
        ValueError,
        "the label 'godo'; there are 2 good, 1 mua, 1 noise",
    ),
    "table": (
        _write("cluster_group.tsv", "cluster_id,group\n2,good\n"),
        {},
        ValueError,
        "line 2 of .*cluster_group.tsv has no cluster_id",
    ),
    "no unit": (lambda _: None, {"unit": None}, TypeError, r'"samples" of the recording \(30000 Hz\)'),
    "unit": (lambda _: None, {"unit": "frames"}, ValueError, "unit must be one of"),
    "s as ms": (lambda _: None, {"unit": "ms"}, ValueError, "apart on average, .* are their unit"),
}


@pytest.mark.parametrize("mistake", BAD)
def test_usual_mistakes(folder, trials, mistake):
    change, options, error, message = BAD[mistake]
    change(folder)
    with pytest.raises(error, match=message):
        AudioNeuralDataset.from_phy(folder, sounds(), trials, DT_MS, **{"unit": "s", **options})


def test_files_that_windows_wrote(folder, trials):
    expected = AudioNeuralDataset.from_phy(folder, sounds(), trials, DT_MS, unit="s")
    (folder / "params.py").write_bytes(b"dat_path = r'C:\\Andr\xe9.dat'\r\nsample_rate = 30000.\r\n")
    table = folder / "cluster_info.tsv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n"))
    assert_same_recording(AudioNeuralDataset.from_phy(folder, sounds(), trials, DT_MS, unit="s"), expected)
    (folder / "params.py").write_bytes(b"\xef\xbb\xbfsample_rate = 30000.\r\n")
    assert_same_recording(AudioNeuralDataset.from_phy(folder, sounds(), trials, DT_MS, unit="s"), expected)


def test_params_are_not_executed(folder, trials):
    expected = AudioNeuralDataset.from_phy(folder, sounds(), trials, DT_MS, unit="s")
    (folder / "params.py").write_text("sample_rate = 30000.\nraise SystemExit('executed')\n")
    assert_same_recording(AudioNeuralDataset.from_phy(str(folder), sounds(), trials, DT_MS, unit="s"), expected)
