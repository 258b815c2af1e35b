"""Public recordings from the cache: the same as from the files, until one of these changes."""

import aa4_files
import downer2025_files
import pytest
import torch
import wingert2026_files

from deepSTRF.datasets.audio import CRCNSAA4Dataset, Downer2025Dataset, Wingert2026Dataset
from deepSTRF.datasets.cache import cache_entries

FILES = {CRCNSAA4Dataset: aa4_files, Downer2025Dataset: downer2025_files, Wingert2026Dataset: wingert2026_files}
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
@pytest.mark.parametrize("cls", FILES)
def test_from_the_cache(cls, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path / "cache"))
    FILES[cls].write_release(tmp_path / "files")
    anew = cls(tmp_path / "files", cache=False)
    assert cache_entries() == []
    for _ in range(2):
        check_same(anew, cls(tmp_path / "files"))
    assert len(cache_entries()) == 1
    smooth = cls(tmp_path / "files", smooth=cls is Wingert2026Dataset)
    assert len(cache_entries()) == 2
    assert smooth.get_S() == anew.get_S()


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
