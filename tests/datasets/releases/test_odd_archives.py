"""What archives look like on other machines: files of macOS, folders given one too high, a zip in their place."""

import importlib
import io
import json
import tarfile
import zipfile

import aa1_files
import aa2_files
import aa4_files
import h5py
import le_2025_files
import numpy as np
import pytest
from lbhb_files import csv_rows, write_archive
from matlab73_files import as_matlab_73

from deepSTRF.checks import unknown_name
from deepSTRF.datasets import audio
from deepSTRF.datasets.audio import CRCNSAA1Dataset, CRCNSAA2Dataset, CRCNSAA4Dataset, Le2025Dataset
from deepSTRF.datasets.audio.lbhb_archives import SiteArchive
from deepSTRF.datasets.audio.published_splits import published_split
from deepSTRF.datasets.audio.release_tables import read_rows
from deepSTRF.datasets.recording_error import RecordingError
from deepSTRF.datasets.sounds import read_sounds

APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X"


@pytest.mark.parametrize(
    ("files", "name", "options"),
    [
        ("nat4_files", "NAT4Dataset", {}),
        ("espejo_files", "EspejoDataset", {}),
        ("wingert2026_files", "Wingert2026Dataset", {}),
        ("aa1_files", "CRCNSAA1Dataset", {"dt_ms": 5.0}),
        ("aa4_files", "CRCNSAA4Dataset", {"dt_ms": 5.0, "stimuli": "mlnoise"}),
        ("le_2025_files", "Le2025Dataset", {"n_bands": 2}),
    ],
)
def test_files_that_macos_adds_are_no_part_of_a_recording(tmp_path, files, name, options):
    few = {"n_stims": 6, "n_units": (2, 1)} if files == "aa4_files" else {}
    importlib.import_module(files).write_release(tmp_path / "recording", **few)
    expected = getattr(audio, name)(tmp_path / "recording", **options)
    for file in [file for file in (tmp_path / "recording").rglob("*") if file.is_file()]:
        copy = tmp_path / "__MACOSX" / file.relative_to(tmp_path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        for hidden in (file.with_name(f"._{file.name}"), copy.with_name(f"._{file.name}")):
            hidden.write_bytes(APPLE_DOUBLE)
        (file.parent / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    got = getattr(audio, name)(tmp_path, **options)  # and its parent was given
    assert (got.nrn_meta, got.stim_meta) == (expected.nrn_meta, expected.stim_meta)
    np.testing.assert_array_equal(got.responses[0][0], expected.responses[0][0])


def test_hidden_members_of_an_archive_of_a_site(tmp_path):
    members = {"resp.epoch.csv": csv_rows([("STIM_a", 0, 1)], ("name", "start", "end"))}
    write_archive(tmp_path / "site.tgz", "site", members)
    with tarfile.open(tmp_path / "mac.tgz", "w:gz") as archive, tarfile.open(tmp_path / "site.tgz") as plain:
        for member in plain:
            archive.addfile(member, plain.extractfile(member))
            hidden = tarfile.TarInfo(member.name.replace("/", "/._"))
            hidden.size = len(APPLE_DOUBLE)
            archive.addfile(hidden, io.BytesIO(APPLE_DOUBLE))
    assert list(SiteArchive(tmp_path / "mac.tgz").presentations) == ["STIM_a"]


def test_an_archive_in_a_folder_of_the_folder_is_unpacked_there(tmp_path):
    aa1_files.write_release(tmp_path / "unpacked")
    (tmp_path / "given" / "downloads").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "given" / "downloads" / "crcns-aa1.zip", "w") as archive:
        for file in sorted((tmp_path / "unpacked").rglob("*")):
            archive.write(file, file.relative_to(tmp_path / "unpacked"))
    assert CRCNSAA1Dataset(tmp_path / "given").N_neurons == 4
    with pytest.raises(NotADirectoryError, match=r"crcns-aa1\.zip is a file; give the folder .*downloads, as path or"):
        CRCNSAA1Dataset(tmp_path / "given" / "downloads" / "crcns-aa1.zip")


def test_an_empty_file_of_spikes_was_not_recorded(tmp_path):
    aa1_files.write_release(tmp_path)
    expected = CRCNSAA1Dataset(tmp_path)
    file = tmp_path / "MLd_cells" / "gr0869_3_A" / "flatrip" / "spike1"
    name = file.with_name("stim1").read_text().strip()
    file.write_text("")
    got = CRCNSAA1Dataset(tmp_path)
    s = [meta["name"] for meta in got.stim_meta].index(name)
    n = [meta["cell_id"] for meta in got.nrn_meta].index("gr0869_3_A")
    assert bool(expected.nrn_masks[s, n])
    assert not bool(got.nrn_masks[s, n])
    assert int(expected.nrn_masks.sum() - got.nrn_masks.sum()) == 1


def test_tables_as_excel_writes_them(tmp_path):
    file = tmp_path / "A1_pred_correlation.csv"
    file.write_bytes(b"\xef\xbb\xbfcellid,sig_auditory\r\nAMT003c-11-1,TRUE\r\nAMT003c-12-2\r\n")
    rows = read_rows(file, ["cellid"])
    assert [list(row.values()) for row in rows] == [["AMT003c-11-1", "TRUE"], ["AMT003c-12-2", ""]]
    with pytest.raises(RecordingError, match=r"pred_correlation.csv: expected the columns \['area'\], got .*'cellid'"):
        read_rows(file, ["area"])


def test_published_splits_hold_every_stimulus_once():
    for_test = [k % 4 == 0 for k in range(60)]
    split = published_split(for_test)
    assert sorted(s for part in split.values() for s in part) == list(range(60))
    assert [len(part) for part in split.values()] == [41, 4, 15]
    assert all(for_test[s] for s in split["test"])


def test_another_case_is_suggested():
    assert unknown_name("data set", "NAT4", ["ns1", "nat4"]).endswith("Did you mean 'nat4'?")


def test_whole_milliseconds_in_float32_lie_in_their_own_bins(tmp_path):
    aa4_files.write_release(tmp_path, n_stims=3, n_units=(2, 1))
    times = np.arange(0, 290, 3) / 1000
    for file in tmp_path.glob("*/*.h5"):
        with h5py.File(file, "r+") as unit:
            trials = []
            unit.visititems(lambda name, item, found=trials: found.append(item) if "spike_times" in name else None)
            for trial in trials:
                group = trial.parent
                del group["spike_times"]
                group["spike_times"] = times.astype(np.float32)
    got = CRCNSAA4Dataset(tmp_path, dt_ms=1.0, smooth=False, cache=False)
    block = got.responses[0][int(got.nrn_masks[0].nonzero()[0])]
    assert np.flatnonzero(block[0]).tolist() == list(range(0, 290, 3))


@pytest.mark.parametrize(
    ("files", "name", "options"),
    [
        ("downer2025_files", "Downer2025Dataset", {"cache": False}),
        ("downer2025_files", "Downer2025Dataset", {"cache": False, "stimuli": "mvocs"}),
        ("crcns_ac1_files", "CRCNSAC1Dataset", {"experimenter": "wehr", "return_waveform": True, "audio_fs": 16000}),
    ],
)
def test_files_of_matlab_7_3(tmp_path, files, name, options):
    importlib.import_module(files).write_release(tmp_path)
    expected = getattr(audio, name)(tmp_path, **options)
    for file in tmp_path.rglob("*.mat"):
        file.write_bytes(as_matlab_73(file.read_bytes()))
    got = getattr(audio, name)(tmp_path, **options)
    assert (got.nrn_meta, got.stim_meta) == (expected.nrn_meta, expected.stim_meta)
    for own, of_5 in zip(got.responses, expected.responses, strict=True):
        for mine, theirs in zip(own, of_5, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_sounds_that_are_missing_are_named(tmp_path):
    aa1_files.write_release(tmp_path)
    sound = next(tmp_path.glob("all_stims/flatrip/*.wav"))
    sound.unlink()
    with pytest.warns(UserWarning, match=f"lacks sounds; responses to them are left out: {sound.name}$"):
        got = CRCNSAA1Dataset(tmp_path)
    assert sound.name not in [meta["name"] for meta in got.stim_meta]


def test_aa4_with_attributes_as_arrays(tmp_path):
    aa4_files.write_release(tmp_path, n_stims=3, n_units=(2, 1))
    expected = CRCNSAA4Dataset(tmp_path, dt_ms=5.0, cache=False)
    for file in tmp_path.glob("*/*.h5"):
        with h5py.File(file, "r+") as unit:
            for name, value in dict(unit.attrs).items():
                unit.attrs[name] = np.array([value.encode() if isinstance(value, str) else value])
    assert CRCNSAA4Dataset(tmp_path, dt_ms=5.0, cache=False).nrn_meta == expected.nrn_meta


@pytest.mark.parametrize(("events", "n_spikes"), [(None, 0), ([], 0), (0.1, 1), ([0.2, 0.1, 0.1], 3)])
def test_spike_times_of_json_as_some_write_them(tmp_path, events, n_spikes):
    le_2025_files.write_release(tmp_path)
    file = sorted(tmp_path.rglob("*.pprox"))[0]
    content = json.loads(file.read_text())
    content["pprox"][0]["events"] = events
    file.write_text(json.dumps(content))
    got = Le2025Dataset(tmp_path, n_bands=2, smooth=False)
    names = [meta["name"] for meta in got.stim_meta]
    assert got.responses[names.index(content["pprox"][0]["stimulus"]["name"])][0][0].sum() == n_spikes


def test_a_folder_of_sounds_without_what_macos_adds(tmp_path):
    (name,) = aa1_files.write_sounds(tmp_path, np.random.default_rng(0), [0.1])
    (tmp_path / f"._{name}").write_bytes(APPLE_DOUBLE)
    assert [sound.name for sound in read_sounds(tmp_path)] == [name.removesuffix(".wav")]


def in_file(pattern, change):
    """Changes the content of the first file of that name."""

    def damage(folder):
        file = sorted(folder.rglob(pattern))[0]
        file.write_bytes(change(file.read_bytes()))

    return damage


def in_archive(pattern, member, change):
    """Changes the content of a member of the first archive of that name."""

    def damage(folder):
        file = sorted(folder.rglob(pattern))[0]
        with tarfile.open(file) as archive:
            contents = {one.name: archive.extractfile(one).read() for one in archive}
        stem = file.name.removesuffix(".tgz")
        members = {name.rpartition(f"{stem}.")[2]: content for name, content in contents.items()}
        members[member] = change(members[member])
        write_archive(file, stem, members)

    return damage


EPOCHS = "resp.epoch.csv"


@pytest.mark.parametrize(
    ("files", "name", "damage", "message"),
    [
        ("aa1_files", "CRCNSAA1Dataset", in_file("stim1", lambda _: b"caf\xe9.wav"), "stim1 is no text"),
        ("aa1_files", "CRCNSAA1Dataset", lambda f: sorted(f.rglob("stim1"))[0].unlink(), "stim1.* is missing"),
        ("aa1_files", "CRCNSAA1Dataset", lambda f: [x.unlink() for x in f.rglob("*.wav")], "one of 0 chosen sounds"),
        ("aa2_files", "CRCNSAA2Dataset", in_file("cell_r*", lambda b: b + b"caf\xe9_1,OV"), "regions.csv is no text"),
        ("le_2025_files", "Le2025Dataset", in_file("song-b*", lambda b: b.replace(b"250", b"n/a")), "gaps of .* in ms"),
        ("nat4_files", "NAT4Dataset", in_archive("AMT*.tgz", EPOCHS, lambda b: b + b"\nSTIM_1,nan,2"), "a beginning"),
        ("nat4_files", "NAT4Dataset", in_archive("AMT*.tgz", EPOCHS, lambda _: b""), "without name, start and end"),
        (
            "nat4_files",
            "NAT4Dataset",
            in_archive("AMT*.tgz", EPOCHS, lambda b: b + b"\n\xe9,1,2"),
            "has epochs without",
        ),
        ("nat4_files", "NAT4Dataset", in_archive("A1*18.tgz", "resp.csv", lambda b: b"a,b,c,d,e\n" + b), "of numbers"),
        (
            "nat4_files",
            "NAT4Dataset",
            in_archive("A1*18.tgz", "resp.json", lambda _: b'{"chans": "abbc"}'),
            "cell b more",
        ),
        ("nat4_files", "NAT4Dataset", in_file("A1*18.tgz", lambda _: b"PK34"), "opened successfully.; download it"),
    ],
)
def test_damage_that_would_go_unnoticed_or_unexplained(tmp_path, files, name, damage, message):
    importlib.import_module(files).write_release(tmp_path)
    damage(tmp_path)
    with pytest.raises(RecordingError, match=message):
        getattr(audio, name)(tmp_path, cache=False)


def test_texts_of_other_systems(tmp_path):
    aa1_files.write_release(tmp_path)
    expected = CRCNSAA1Dataset(tmp_path, cache=False)
    for file in [*tmp_path.rglob("stim[0-9]*"), *tmp_path.rglob("spike[0-9]*")]:
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    got = CRCNSAA1Dataset(tmp_path, cache=False)
    for own, others in zip(got.responses, expected.responses, strict=True):
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(own, others, strict=True))


def test_a_cell_that_is_listed_twice_is_one(tmp_path):
    aa2_files.write_release(tmp_path)
    table = tmp_path / "cell_regions.csv"
    table.write_text(table.read_text() + "aa1_1_A,OV\n")
    areas = [(meta["cell_id"], meta["area"]) for meta in CRCNSAA2Dataset(tmp_path, dt_ms=5.0).nrn_meta]
    assert areas == list(aa2_files.AREAS.items())
