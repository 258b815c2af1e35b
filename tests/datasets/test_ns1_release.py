"""Damaged files in a release of NS1: each is named, and nothing is changed."""

import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.io
from recording_files import mat_file, spike_file, unit_metadata
from shell import tree

from deepSTRF.datasets.audio import NS1Dataset, ns1_release
from deepSTRF.datasets.download import RecordingError


@pytest.fixture
def ns1_folder(tmp_path):
    """Yield a release of two units with the authors' cochleagrams, so that no sound is needed."""
    (tmp_path / "MetadataSHEnCneurons.mat").write_bytes(unit_metadata(["a/one.mat", "a/two.mat"]))
    scipy.io.savemat(tmp_path / "test_data_5ms.mat", {"X_nfht": np.zeros((20, 34, 1, 999))})
    with zipfile.ZipFile(tmp_path / "spikesandwav.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("one", "two"):
            archive.writestr(f"spikesandwav/a/{name}.mat", spike_file([[[1.0, 2.0], []]] * 20))
    return tmp_path


def load_ns1(folder):
    return NS1Dataset(folder, cochleagram="authors", smooth=False)


def test_the_folder_is_good(ns1_folder):
    assert load_ns1(ns1_folder).responses[3][1].shape == (2, 999)


def rewrite_zip(folder, write, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(folder / "spikesandwav.zip", "w", method) as archive:
        write(archive)


def with_unit(content, **kwargs):
    def change(folder):
        rewrite_zip(
            folder, lambda z: [z.writestr(f"spikesandwav/a/{n}.mat", content) for n in ("one", "two")], **kwargs
        )

    return change


def with_metadata(content):
    return lambda folder: (folder / "MetadataSHEnCneurons.mat").write_bytes(content)


def encrypted(folder):
    """Set the flag of encryption in the local headers and in the list of members."""
    path = folder / "spikesandwav.zip"
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 4)
    path.write_bytes(content)


def zip_is_a_folder(folder):
    (folder / "spikesandwav.zip").unlink()
    (folder / "spikesandwav.zip").mkdir()


NS1_FOLDERS = [
    ("encrypted", encrypted, ["one.mat", "encrypted"]),
    ("zip-is-a-folder", zip_is_a_folder, ["spikesandwav.zip", "directory"]),
    ("bomb", with_unit(bytes(2**26 + 1)), ["one.mat", "larger than"]),
    ("other-compression", with_unit(b"x", method=zipfile.ZIP_LZMA), ["spikesandwav.zip", "compressed in another way"]),
    ("no-repeats", with_unit(spike_file([[]] * 20)), ["one.mat", "without repeats"]),
    ("few-sounds", with_unit(spike_file([[[1.0]]] * 19)), ["one.mat", "structure", "set(1..32)"]),
    ("spikes-nan", with_unit(spike_file([[[np.nan]]] * 20)), ["one.mat", "not finite"]),
    ("spikes-complex", with_unit(spike_file([[[1j]]] * 20)), ["one.mat", "complex"]),
    ("spikes-text", with_unit(spike_file([[["noon"]]] * 20)), ["one.mat", "structure"]),
    ("other-variable", with_unit(mat_file(spikes=np.ones(3))), ["one.mat", "no variable 'data'", "spikes"]),
    ("no-units", with_metadata(mat_file(neuron=np.zeros((0, 0)))), ["Metadata", "no unit"]),
    ("metadata-numbers", with_metadata(mat_file(neuron=np.ones((1, 3)))), ["Metadata", "struct array"]),
    ("path-up", with_metadata(unit_metadata(["../../secret.mat"])), ["Metadata", "'../../secret.mat'", "release"]),
    ("path-absolute", with_metadata(unit_metadata(["/etc/passwd"])), ["Metadata", "'/etc/passwd'", "release"]),
    ("cochleagram-text", lambda folder: scipy.io.savemat(folder / "test_data_5ms.mat", {"X_nfht": "loud"}),
     ["test_data_5ms", "expected finite numbers"]),
    ("cochleagram-nan", lambda folder: scipy.io.savemat(
        folder / "test_data_5ms.mat", {"X_nfht": np.full((20, 34, 1, 999), np.nan)}), ["test_data_5ms", "finite"]),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), [pytest.param(*row[1:], id=row[0]) for row in NS1_FOLDERS])
def test_bad_releases_of_ns1(ns1_folder, change, words):
    change(ns1_folder)
    before = tree(ns1_folder)
    with pytest.raises(RecordingError) as caught:
        load_ns1(ns1_folder)
    assert [word for word in words if word not in str(caught.value)] == []
    assert tree(ns1_folder) == before


def test_a_member_that_hides_its_size_does_not_fill_the_memory(ns1_folder, monkeypatch):
    """The list of members says 10 bytes, the stream holds 128 MiB."""
    monkeypatch.setattr(ns1_release, "_LARGEST_FILE", 2**23)
    with_unit(bytes(2**27))(ns1_folder)
    path = ns1_folder / "spikesandwav.zip"
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 2**27), struct.pack("<I", 10)))
    tracemalloc.start()
    with pytest.raises(RecordingError, match=r"one\.mat"):
        load_ns1(ns1_folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25
