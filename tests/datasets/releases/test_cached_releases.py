"""Public recordings from the cache: the same as from the files, until one of these changes."""

import importlib

import aa1_files
import downer2025_files
import pytest
import torch
import wingert2026_files

from deepSTRF.datasets import audio
from deepSTRF.datasets.audio import CRCNSAA1Dataset, Downer2025Dataset, Wingert2026Dataset
from deepSTRF.datasets.cache import cache_entries

FILES = {
    "CRCNSAA1Dataset": "aa1_files",
    "CRCNSAA2Dataset": "aa2_files",
    "CRCNSAA4Dataset": "aa4_files",
    "Downer2025Dataset": "downer2025_files",
    "EspejoDataset": "espejo_files",
    "Le2025Dataset": "le_2025_files",
    "NAT4Dataset": "nat4_files",
    "Wingert2026Dataset": "wingert2026_files",
}
QUICK = {"Le2025Dataset": {"n_bands": 2}}
OTHERWISE = {  # arguments that change what is read
    "CRCNSAA1Dataset": [{"areas": "MLd"}, {"stimuli": "flatrip"}, {"animals": "pipu1018"}, {"compression": "none"}],
    "CRCNSAA2Dataset": [{"areas": "L"}, {"stimuli": ["songrip"]}, {"dt_ms": 4.0}, {"return_waveform": True}],
    "EspejoDataset": [{"stimuli": "vmn"}, {"subset": "test"}, {"cells": ("AMT003c-11-1",)}, {"smooth": True}],
    "Le2025Dataset": [{"keep_areas": ["CM"]}, {"compute_reliability": False}, {"fmin": 500.0}],
    "NAT4Dataset": [{"subset": "est"}, {"subset": "val"}, {"return_waveform": True}, {"smooth": True}],
}
HELD_APART = ("_responses", "_masks", "_masks_of", "_selection_cache", "stims")


def check_same(one, other):
    attributes, others = (
        {name: value for name, value in vars(ds).items() if name not in HELD_APART} for ds in (one, other)
    )
    assert repr(sorted(attributes.items())) == repr(sorted(others.items()))
    assert all(map(torch.equal, one.stims, other.stims))
    for block, again in zip(one._packed().blocks(), other._packed().blocks(), strict=True):
        assert torch.equal(block.values.nan_to_num(-1.0), again.values.nan_to_num(-1.0))
        assert block.neurons.tolist() == again.neurons.tolist()
        assert block.repeats.tolist() == again.repeats.tolist()


@pytest.mark.filterwarnings("ignore:the files of these sessions hold units", "ignore:a Hann window")
@pytest.mark.parametrize("name", FILES)
def test_from_the_cache(name, tmp_path, monkeypatch):
    cls = getattr(audio, name)
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path / "cache"))
    importlib.import_module(FILES[name]).write_release(tmp_path / "files")
    quick = QUICK.get(name, {})
    anew = cls(tmp_path / "files", cache=False, **quick)
    assert cache_entries() == []
    for _ in range(2):
        check_same(anew, cls(tmp_path / "files", **quick))
    assert len(cache_entries()) == 1
    smooth = cls(tmp_path / "files", smooth=cls is Wingert2026Dataset, **quick)
    assert smooth.get_S() == anew.get_S()
    assert len(cache_entries()) == (
        1 if name in ("EspejoDataset", "NAT4Dataset") else 2
    )  # these are not smoothed anyway


@pytest.mark.filterwarnings("ignore:a Hann window")
@pytest.mark.parametrize("name", OTHERWISE)
def test_every_argument_counts(name, tmp_path, monkeypatch):
    cls = getattr(audio, name)
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path / "cache"))
    importlib.import_module(FILES[name]).write_release(tmp_path / "files")
    cls(tmp_path / "files", **QUICK.get(name, {}))
    for n_before, arguments in enumerate(OTHERWISE[name], start=1):
        assert len(cache_entries()) == n_before
        cls(tmp_path / "files", **QUICK.get(name, {}) | arguments)
    assert len(cache_entries()) == 1 + len(OTHERWISE[name])


def test_lacking_sounds_are_named_from_the_cache_too(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path / "cache"))
    aa1_files.write_release(tmp_path / "files")
    next((tmp_path / "files").glob("all_stims/flatrip/*.wav")).unlink()
    for _ in range(2):
        with pytest.warns(UserWarning, match="lacks sounds") as caught:
            CRCNSAA1Dataset(tmp_path / "files")
        assert [warning.filename for warning in caught] == [__file__]
    assert len(cache_entries()) == 1


def test_a_table_that_changed_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path / "cache"))
    importlib.import_module("aa2_files").write_release(tmp_path)
    before = audio.CRCNSAA2Dataset(tmp_path)
    table = tmp_path / "cell_regions.csv"
    table.write_text(table.read_text().replace("aa1_2_B,OV", "aa1_2_B,CM"))
    after = audio.CRCNSAA2Dataset(tmp_path)
    areas = [[meta["area"] for meta in ds.nrn_meta if meta["cell_id"] == "aa1_2_B"] for ds in (before, after)]
    assert areas == [["OV"], ["CM"]]


def test_the_warning_comes_from_the_cache_too(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path / "cache"))
    wingert2026_files.write_release(tmp_path / "files", duplicated=True)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"CLT027d \(CLT027c\)"):
            Wingert2026Dataset(tmp_path / "files", area="PEG")


def test_a_channel_that_changed_is_read_again(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path / "cache"))
    downer2025_files.write_release(tmp_path / "files")
    first = Downer2025Dataset(tmp_path / "files", smooth=False)
    one, other = sorted((tmp_path / "files" / "sessions" / "180627").glob("*.mat"))[:2]
    one.write_bytes(other.read_bytes())
    second = Downer2025Dataset(tmp_path / "files", smooth=False)
    cells = [meta["cell_id"] for meta in first.nrn_meta]
    changed = cells.index(one.stem.removesuffix("_MUspk"))
    assert not all(torch.equal(a[changed], b[changed]) for a, b in zip(first.responses, second.responses, strict=True))
