"""The cache of spectrograms and binned responses: never stale, safe with two processes, whole or not there."""

import datetime
import json
import multiprocessing
import os
import re
import time

import numpy as np
import pytest
import torch

from deepSTRF.datasets import cache
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.cache import cache_entries, cached, clear_cache
from deepSTRF.datasets.cached_recordings import _DERIVED, cached_recording, fill_cached
from deepSTRF.datasets.spectrograms import sound_stimuli
from deepSTRF.datasets.stored_values import StoringError, load_value, save_value


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(folder))
    return folder


class Reader:
    """Reads a text file as numbers, and counts how often it did."""

    def __init__(self, path):
        self.path = path
        self.calls = 0

    def __call__(self, **options):
        return cached("text", [self.path], options, self.read)

    def read(self):
        self.calls += 1
        return {"numbers": torch.tensor([float(word) for word in self.path.read_text().split()])}


@pytest.fixture
def reader(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("1 2 3")
    return Reader(path)


def test_the_second_time_it_is_read_from_the_cache(reader):
    first, second = reader(dt_ms=5.0), reader(dt_ms=5.0)
    assert reader.calls == 1
    assert torch.equal(first["numbers"], second["numbers"])
    second["numbers"][0] = 7  # what was mapped is the user's own
    assert reader(dt_ms=5.0)["numbers"].tolist() == [1, 2, 3]
    (entry,) = cache_entries()
    assert (entry.kind, entry.n_bytes) == ("text", entry.path.stat().st_size)


def test_another_option_is_computed(reader):
    reader(dt_ms=5.0, spectrogram={"kind": "log"})
    reader(dt_ms=5.0, spectrogram={"kind": "mel"})
    reader(dt_ms=1.0, spectrogram={"kind": "log"})
    assert reader.calls == 3


@pytest.mark.parametrize("large", [False, True])
def test_content_that_changed_with_the_same_size_and_time(reader, monkeypatch, large):
    monkeypatch.setattr(cache, "_QUIET_S", -1.0)  # as if the file had been there for long
    if large:
        monkeypatch.setattr(cache, "_LARGE", 0)
    old = reader.path.stat()
    reader()
    reader.path.write_text("1 2 4")
    os.utime(reader.path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert reader.path.stat().st_size == old.st_size
    assert reader()["numbers"].tolist() == [1, 2, 4]


def test_a_large_file_is_hashed_once_and_again_when_it_was_touched(reader, monkeypatch):
    hashed = []
    digest = cache.file_digest
    monkeypatch.setattr(cache, "file_digest", lambda path: hashed.append(path) or digest(path))
    monkeypatch.setattr(cache, "_LARGE", 0)
    reader()
    assert len(hashed) == 2  # before and after reading: it may have been changed less than a minute ago
    monkeypatch.setattr(cache, "_QUIET_S", -1.0)
    reader()
    reader()
    assert len(hashed) == 3
    os.utime(reader.path)
    reader()
    assert len(hashed) == 4
    (cache.cache_dir() / "digests.json").write_text("damaged")
    reader()
    assert (len(hashed), reader.calls) == (5, 1)


def test_another_version_of_the_library_computes_anew(reader, monkeypatch):
    reader()
    monkeypatch.setattr(cache, "_versions", lambda: ["another"])
    reader()
    assert reader.calls == 2


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:20], lambda _: b""])
def test_a_damaged_entry_is_computed_anew(reader, damage):
    reader()
    (entry,) = cache_entries()
    entry.path.write_bytes(damage(entry.path.read_bytes()))
    assert reader()["numbers"].tolist() == [1, 2, 3]
    reader()
    assert reader.calls == 2


def test_a_file_that_changes_while_it_is_read_is_not_kept(reader):
    def change():
        reader.path.write_text("4 5 6")
        return "mixed"

    assert cached("text", [reader.path], {}, change) == "mixed"
    assert cache_entries() == []


@pytest.mark.skipif(os.name == "nt", reason="needs fork")
def test_of_two_processes_one_computes(tmp_path, reader):
    log = tmp_path / "log"

    def make():
        with log.open("a") as file:
            file.write("x")
        time.sleep(0.3)
        return [1, 2]

    def process():
        both.wait()
        raise SystemExit(0 if cached("pair", [reader.path], {}, make) == [1, 2] else 1)

    context = multiprocessing.get_context("fork")
    both = context.Barrier(2)
    processes = [context.Process(target=process) for _ in range(2)]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    assert [one.exitcode for one in processes] == [0, 0]
    assert log.read_text() == "x"


def test_an_error_is_that_of_the_reader_and_leaves_nothing(reader, tmp_path):
    reader.path.write_text("one")
    with pytest.raises(ValueError, match="could not convert"):
        reader()
    assert cache_entries() == []
    with pytest.raises(FileNotFoundError):
        cached("text", [tmp_path / "gone"], {}, reader.read)
    with pytest.raises(TypeError):
        reader(option=object())


def test_clear(reader, empty_cache):
    reader(a=1)
    reader(a=2)
    (empty_cache / "mine.txt").write_text("not of the cache")
    assert len(clear_cache()) == 2
    assert [path.name for path in empty_cache.iterdir()] == ["mine.txt"]
    assert clear_cache() == []


def test_a_cache_that_cannot_be_written_says_so(reader, empty_cache):
    empty_cache.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="cannot be kept in the cache .* DEEPSTRF_CACHE_DIR"):
        assert reader()["numbers"].tolist() == [1, 2, 3]


def test_a_full_disk(disk, reader, monkeypatch):
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(disk(64)))
    with pytest.warns(UserWarning, match="cannot be kept in the cache"):
        value = cached("large", [reader.path], {}, lambda: torch.zeros(100_000))
    assert value.shape == (100_000,)
    assert cache_entries() == []


def test_values_come_back_as_they_were(tmp_path):
    shared = torch.arange(6.0)
    value = {
        "tensors": [shared, shared[2:], shared[::2], torch.zeros(0, 3), torch.tensor(True)],
        "arrays": (np.arange(3), np.array(["a", "bc"]), np.float32(0.1), np.array([], np.int64)),
        "plain": [None, True, 1, 0.1, float("nan"), float("-inf"), "ä", {}, [], ()],
        "nested": {"tensor": {"dict": [{"array": 1}]}},
        "dates": [datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), datetime.date(2026, 1, 2)],
    }
    save_value(tmp_path / "value", value)
    loaded = load_value(tmp_path / "value")
    assert repr(loaded) == repr(value)
    assert type(loaded["arrays"][2]) is np.float32
    with pytest.raises(StoringError, match=re.escape("it['a'][1] is object, which cannot be stored")):
        save_value(tmp_path / "other", {"a": [0, object()]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["value"]


def test_a_recording_comes_back_bit_by_bit(tmp_path):
    rng = np.random.default_rng(0)
    stims, spectrogram, names = sound_stimuli([rng.normal(size=8000), rng.normal(size=4000)], 16000, 5.0)
    counts = [rng.poisson(0.3, (3, 4, 100)).astype(np.float32), rng.poisson(0.3, (3, 2, 50)).astype(np.float32)]
    counts[0][1] = np.nan
    counts[1][2, 1] = np.nan
    path = tmp_path / "counts"
    path.write_text("the files")

    def make():
        dataset = AudioNeuralDataset.from_arrays(
            stims,
            counts,
            5.0,
            stim_meta=[{"name": name, "when": datetime.date(2026, 1, 1)} for name in names],
            nrn_meta=[{"cell_id": k, "snr": np.float64(k)} for k in range(3)],
            frequencies_hz=spectrogram.frequencies_hz,
        )
        dataset.spectrogram = spectrogram
        dataset.protocols = {"own": {"train": (0,), "val": (), "test": (1,)}}
        return dataset

    first = cached_recording(AudioNeuralDataset, "test", [path], {}, make)
    again = cached_recording(AudioNeuralDataset, "test", [path], {}, lambda: pytest.fail("computed again"))
    again.validate()
    for s in range(2):
        assert torch.equal(first.stims[s], again.stims[s])
        for one, other in zip(first.responses[s], again.responses[s], strict=True):
            assert torch.equal(one.nan_to_num(-1), other.nan_to_num(-1))
    own, other = (
        {key: value for key, value in vars(ds).items() if key not in _DERIVED and key != "stims"}
        for ds in (first, again)
    )
    assert repr(own) == repr(other)
    assert again.spectrogram == spectrogram
    assert torch.equal(first.nrn_masks, again.nrn_masks)
    again.select_stims([0])
    again.responses[0][0] = torch.zeros(4, 100)
    assert json.dumps(again.stim_meta[0]["name"]) == '"sound 0"'


class Counts(AudioNeuralDataset):
    """Fills itself from a file of counts."""

    reads = 0

    def __init__(self, path, gain=1.0, cache=True):
        super().__init__(str(path), 5.0)
        self.gain = gain
        fill_cached(self, "counts", [path], {"path": self.path, "gain": gain}, self.fill, cache=cache)

    def fill(self):
        Counts.reads += 1
        counts = self.gain * torch.from_numpy(np.load(self.path))
        self.stims, self.responses = [counts[:1].mean(1, keepdim=True)], [counts]
        self.stim_meta, self.nrn_meta, self.N_neurons = [{"name": "rain"}], [{}, {"area": "A1"}], 2
        self.frequencies_hz, self.F = torch.ones(1), 1
        self.validate()


@pytest.mark.parametrize("cache_is_on", [False, True])
def test_a_constructor_fills_itself_from_the_cache(tmp_path, monkeypatch, cache_is_on):
    monkeypatch.setattr(Counts, "__module__", "deepSTRF.counts")  # as a class of the library
    monkeypatch.setattr(Counts, "reads", 0)
    np.save(tmp_path / "counts.npy", np.arange(30, dtype="f4").reshape(2, 3, 5))
    first, again, louder = (Counts(tmp_path / "counts.npy", gain, cache_is_on) for gain in (1.0, 1.0, 2.0))
    assert Counts.reads == (2 if cache_is_on else 3)
    assert again.gain == 1.0
    assert again.stim_meta == [{"name": "rain"}]
    assert torch.equal(again.frequencies_hz, torch.ones(1))
    assert torch.equal(first.responses[0][1], again.responses[0][1])
    assert torch.equal(2 * first.responses[0][1], louder.responses[0][1])
    again.validate()
    np.save(tmp_path / "counts.npy", np.zeros((2, 3, 5), "f4"))
    assert not Counts(tmp_path / "counts.npy", 1.0, cache_is_on).responses[0][1].any()


def test_a_constructor_of_the_user_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(Counts, "reads", 0)
    np.save(tmp_path / "counts.npy", np.ones((2, 3, 5), "f4"))
    for _ in range(2):
        Counts(tmp_path / "counts.npy")
    assert (Counts.reads, cache_entries()) == (2, [])


def test_a_recording_that_cannot_be_stored_is_returned(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")

    def make():
        return AudioNeuralDataset.from_arrays(
            [np.ones((2, 9))], [np.ones((1, 1, 9))], 5.0, nrn_meta=[{"probe": {1, 2}}]
        )

    with pytest.warns(UserWarning, match=re.escape("it['attributes']['nrn_meta'][0]['probe'] is set")):
        assert cached_recording(AudioNeuralDataset, "test", [path], {}, make).N_neurons == 1


def test_a_class_of_the_user_counts_with_its_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    code = "from deepSTRF.datasets.audio import AudioNeuralDataset\nclass Mine(AudioNeuralDataset):\n    gain = 1\n"
    (tmp_path / "mine_of_the_cache.py").write_text(code)
    from mine_of_the_cache import Mine

    calls = []

    def read(cls):
        def make():
            calls.append(cls)
            return cls.from_arrays([np.ones((2, 9))], [np.ones((1, 1, 9))], 5.0)

        return cached_recording(cls, "test", [tmp_path / "mine_of_the_cache.py"], {}, make)

    assert type(read(Mine)) is type(read(Mine)) is Mine
    assert len(calls) == 1
    monkeypatch.setattr(Mine, "__module__", "__main__")  # as in a notebook
    read(Mine)
    read(Mine)
    assert len(calls) == 3
