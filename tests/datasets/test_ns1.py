"""NS1: a small release in its layout, written here, and the real one where it lies."""

import copy
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_files import metadata_file, sound_file, spike_file

from deepSTRF.datasets.audio import NS1Dataset
from deepSTRF.datasets.audio import ns1 as ns1_module
from deepSTRF.datasets.audio.cochleagram import band_centres, causal_cochleagram
from deepSTRF.datasets.download import RecordingError
from deepSTRF.datasets.sound_files import load_wav
from deepSTRF.datasets.sounds import read_sound
from deepSTRF.registry import dataset_cards, get_dataset

N_SAMPLES = 244140
UNITS = [
    "exp1/P01-SH.En.C/cluster.01.data.mat",
    "exp1/P01-SH.En.C/cluster.02.data.mat",
    "dataAC/E1/cluster.03.data.mat",
]
SOUNDS = [f"source.1.sound.0.snr.0.token.0.fw.2.frozen.{k}" for k in range(1, 13)] + [
    f"source.2.sound.0.snr.0.token.0.fw.1.frozen.{k}" for k in range(1, 9)
]


def release_sound(samples):
    return sound_file(samples, 48828, subtype="FLOAT")


def spikes(unit, sound, repeat):
    """Two spikes in one millisecond, one at every edge, some outside; different everywhere."""
    inside = 100.0 * unit + 10.0 * sound + repeat
    return np.array([0.0, 4.999, 5.0, inside + 20.1, inside + 20.2, 4994.999, 4995.0, 5100.0, -0.5])


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """Yield the folder of an unpacked release: 3 units, 20 sounds with 2 repeats and 12 chords with 5."""
    folder = tmp_path_factory.mktemp("ns1")
    (folder / "MetadataSHEnCneurons.mat").write_bytes(
        metadata_file(
            [(path, 450 * (k + 1) - 700, 3.5 + k, k, ["Yes", "Maybe", "No"][k], k + 7) for k, path in enumerate(UNITS)]
        )
    )
    rng = np.random.default_rng(0)
    files = {"SH.En.C/" + name: release_sound(0.1 * rng.standard_normal(N_SAMPLES).astype("f4")) for name in SOUNDS}
    for unit, path in enumerate(UNITS):
        trials = [[spikes(unit, sound, repeat) for repeat in range(2)] for sound in range(20)]
        trials[0][1] = []
        name = path if unit != 2 else path.removesuffix(".mat") + "_1.mat"
        files[name] = spike_file(trials + [[[1.0, 10.0 * chord]] * 5 for chord in range(12)])
    for name, content in files.items():
        target = folder / "spikesandwav" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def zipped(release, tmp_path_factory):
    """Yield the folder of the same release as it is downloaded."""
    folder = tmp_path_factory.mktemp("ns1-zipped")
    shutil.copy(release / "MetadataSHEnCneurons.mat", folder)
    with zipfile.ZipFile(folder / "spikesandwav.zip", "w", zipfile.ZIP_STORED) as archive:
        for file in sorted((release / "spikesandwav").rglob("*")):
            archive.write(file, file.relative_to(release))
    return folder


@pytest.fixture
def linked(release, tmp_path):
    """Yield a copy of the unpacked release whose files may be replaced (links, so unlink before writing)."""
    for file in release.rglob("*"):
        if file.is_file():
            target = tmp_path / file.relative_to(release)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(file)
    return tmp_path


def replace(file: Path, content: bytes):
    file.unlink()
    file.write_bytes(content)


@pytest.fixture(scope="session")
def small(release):
    return NS1Dataset(release, smooth=False)


def test_counts_are_counts(small):
    assert small.N_neurons == 3
    assert len(small) == 20
    expected = np.zeros(999)
    expected[0] = 2  # 0 and 4.999 ms
    expected[1] = 1
    expected[(200 + 50 + 1 + 20) // 5] += 2  # both spikes of one millisecond count
    expected[998] = 1  # 4994.999 ms; 4995 ms and later, and before the onset, is outside
    np.testing.assert_array_equal(small.responses[5][2][1].numpy(), expected)
    assert small.responses[0][0].shape == (2, 999)
    assert small.responses[0][0][1].sum() == 0  # a repeat without a spike is silent, not missing
    assert small.nrn_masks.all()


def test_zipped_and_unzipped_are_the_same(small, zipped):
    other = NS1Dataset(zipped, smooth=False)
    assert sorted(p.name for p in zipped.iterdir()) == ["MetadataSHEnCneurons.mat", "spikesandwav.zip"]
    for s in range(20):
        assert torch.equal(small.stims[s], other.stims[s])
        assert all(torch.equal(a, b) for a, b in zip(small.responses[s], other.responses[s], strict=True))
    assert small.nrn_meta == other.nrn_meta


@pytest.mark.parametrize("waveform", [False, True])
def test_its_front_end_makes_the_same_of_a_sound(small, release, waveform):
    dataset = NS1Dataset(release, smooth=False, return_waveform=True, audio_fs=24000) if waveform else small
    file = release / "spikesandwav" / "SH.En.C" / SOUNDS[3]
    sound = read_sound("rain", load_wav(file)[0], 48828.125)
    made = dataset.spectrogram(sound.waveform, sound.fs)
    assert torch.equal(made[..., : dataset.stims[3].shape[-1]], dataset.stims[3])


def test_from_the_cache_it_is_the_same(small, release):
    first, again = (NS1Dataset(release, smooth=True) for _ in range(2))
    anew = NS1Dataset(release, smooth=True, cache=False)
    small = copy.copy(small)
    small.smooth_responses()
    for other in (again, anew, small):
        assert first.nrn_meta == other.nrn_meta
        assert first.stim_meta == other.stim_meta
        assert first.spectrogram == other.spectrogram
        for s in range(20):
            assert torch.equal(first.stims[s], other.stims[s])
            assert all(torch.equal(a, b) for a, b in zip(first.responses[s], other.responses[s], strict=True))


def test_metadata(small):
    assert small.nrn_meta[1] == {
        "cell_id": "exp1/P01-SH.En.C/cluster.02.data",
        "area": "A1",
        "depth_um": 200.0,
        "noise_ratio": 4.5,
        "single_n": 1,
        "single_t": "Maybe",
        "n_electrodes": 32,
        "electrode_number": 8,
    }
    assert [meta["name"] for meta in small.stim_meta] == [f"nat{s:02d}" for s in range(1, 21)]
    types = [meta["type"] for meta in small.stim_meta]
    assert [s for s, kind in enumerate(types) if kind == "water_sounds"] == [0, 19]
    assert [types[3], types[6]] == ["ferret_vocalization", "insects_buzzing"]
    assert [s for s, kind in enumerate(types) if kind == "human_speech"] == [8, 9, 10, 11]
    assert small.hearing_range_hz == (200, 40000)
    assert small.audio_fs is None
    assert small.F == 34
    frequencies = small.frequencies_hz.double()
    torch.testing.assert_close(frequencies, 500 * 2 ** (torch.arange(34).double() / 6), rtol=1e-6, atol=0)


def test_protocols():
    protocols = NS1Dataset.protocols
    assert protocols["checkpoint"] == {"train": tuple(range(14)), "val": (14, 15, 16), "test": (17, 18, 19)}
    assert protocols["rahman2020"]["test"] == ns1_module.NS1_TEST == (3, 6, 9, 19)
    rest = (*protocols["rahman2020"]["train"], *protocols["rahman2020"]["val"])
    assert tuple(sorted(rest)) == ns1_module.NS1_TRAINVAL
    assert len(protocols["rahman2020"]["val"]) == 3
    assert dataset_cards()["ns1"].default_split == "checkpoint"
    assert get_dataset("ns1") is NS1Dataset


@pytest.mark.parametrize(("dt_ms", "n_bins"), [(1, 4995), (2.5, 1998), (3, 1665), (10, 499), (15, 333), (25, 199)])
def test_other_bin_widths(release, dt_ms, n_bins):
    ds = NS1Dataset(release, dt_ms=dt_ms, smooth=False)
    assert ds.stims[7].shape == (1, 34, n_bins)
    counts = ds.responses[3][1]
    assert counts.shape == (2, n_bins)
    times = spikes(1, 3, 1)
    edges = np.arange(n_bins + 1) * dt_ms
    expected, _ = np.histogram(times[times < edges[-1]], bins=edges)  # NumPy's last bin includes its right edge
    np.testing.assert_array_equal(counts[1].numpy(), expected)


@pytest.mark.parametrize("dt_ms", [0, -5, 7, 6, 4996, 5000, 0.3, float("nan")])
def test_bin_widths_that_do_not_divide(release, dt_ms):
    with pytest.raises(ValueError, match="Good values are 1, 2"):
        NS1Dataset(release, dt_ms=dt_ms)


def test_waveforms(release):
    ds = NS1Dataset(release, return_waveform=True, smooth=False)
    assert ds.audio_fs == 48000
    assert ds.hop == 240
    assert all(stim.shape == (1, 999 * 240) for stim in ds.stims)
    slow = NS1Dataset(release, return_waveform=True, audio_fs=16000, smooth=False)
    assert slow.stims[0].shape == (1, 999 * 80)
    assert 0.8 < float(ds.stims[0].std()) / 0.1 < 1.2
    with pytest.raises(ValueError, match="whole number of audio samples"):
        NS1Dataset(release, return_waveform=True, audio_fs=44100, dt_ms=1)


@pytest.mark.parametrize("waveform", [False, True])
def test_no_frame_knows_the_future_of_the_recorded_sound(small, linked, waveform):
    """A change of the file after 2.5 s leaves what comes before bit-identical: resampling is causal, too."""
    sound = linked / "spikesandwav" / "SH.En.C" / SOUNDS[4]
    samples, _ = soundfile.read(io.BytesIO(sound.read_bytes()), dtype="float32")
    after = np.arange(len(samples)) > 2.5 * 48828.125
    before = small.stims[4]
    if waveform:
        before = NS1Dataset(linked, smooth=False, return_waveform=True).stims[4]
    replace(sound, release_sound(np.where(after, np.float32(3), samples)))
    changed = NS1Dataset(linked, smooth=False, return_waveform=waveform).stims[4]
    n = 500 * (240 if waveform else 1)
    assert torch.equal(changed[..., :n], before[..., :n])
    assert not torch.equal(changed[..., n : n + n // 50], before[..., n : n + n // 50])


def test_the_resampled_tone_keeps_its_frequency_to_the_end(linked):
    """48 828.125 Hz, not the 48 828 of the header: over 5 s a 1 kHz tone would slip by 0.013 cycles."""
    t = np.arange(N_SAMPLES) / 48828.125
    replace(linked / "spikesandwav" / "SH.En.C" / SOUNDS[0], release_sound(np.sin(2 * np.pi * 1000 * t).astype("f4")))
    wave = NS1Dataset(linked, return_waveform=True, smooth=False).stims[0][0].double().numpy()
    delayed = (np.arange(len(wave)) - 10) / 48000
    np.testing.assert_allclose(wave[2000:], np.sin(2 * np.pi * 1000 * delayed)[2000:], atol=2e-3)


@pytest.mark.parametrize("are_there", [False, True])
def test_chords(linked, are_there):
    if are_there:
        for token in range(3):
            for width in (10, 20, 30, 40):
                sound = linked / f"spikesandwav/SH.En.C/source.9.sound.0.snr.0.token.{token}.fw.{width}.frozen.0"
                sound.write_bytes(release_sound(np.full(N_SAMPLES, 0.1 * (token + 1), "f4")))
        ds = NS1Dataset(linked, smooth=False, stimuli="drc", return_waveform=True)
    else:
        with pytest.warns(UserWarning, match="sounds of 12 of 12 chords are not in the release"):
            ds = NS1Dataset(linked, smooth=False, stimuli="drc", return_waveform=True)
    assert [meta["name"] for meta in ds.stim_meta] == [f"drc{s:02d}" for s in range(1, 13)]
    assert all(stim.any() == are_there for stim in ds.stims)
    for s in range(12):
        expected = torch.zeros(5, 999)
        expected[:, 0] += 1
        expected[:, 2 * s] += 1
        assert torch.equal(ds.responses[s][1], expected)
    assert ds.default_split not in ("checkpoint", "rahman2020")


def test_the_authors_cochleagram(linked):
    with pytest.raises(FileNotFoundError, match="monzilur/DNet"):
        NS1Dataset(linked, cochleagram="authors")
    levels = np.random.default_rng(1).standard_normal((20, 34, 1, 999))
    scipy.io.savemat(linked / "test_data_5ms.mat", {"X_nfht": levels})
    ds = NS1Dataset(linked, cochleagram="authors", smooth=False)
    np.testing.assert_array_equal(ds.stims[3][0].numpy(), levels[3, :, 0].astype("f4"))
    assert not np.array_equal(NS1Dataset(linked, smooth=False).stims[3][0].numpy(), levels[3, :, 0].astype("f4"))
    with pytest.raises(ValueError, match="bins of 5 ms"):
        NS1Dataset(linked, cochleagram="authors", dt_ms=10)
    with pytest.raises(ValueError, match="'sounds', 'authors'"):
        NS1Dataset(linked, cochleagram="mine")
    scipy.io.savemat(linked / "test_data_5ms.mat", {"X_nfht": levels[:, :3]})
    with pytest.raises(RecordingError, match="test_data_5ms"):
        NS1Dataset(linked, cochleagram="authors")


def test_missing_files_say_what_is_expected(linked, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"does not exist.*osf\.io/ayw2p"):
        NS1Dataset(tmp_path / "nowhere")
    monkeypatch.setenv("DEEPSTRF_DATA_DIR", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match="cache/NS1 does not exist"):
        NS1Dataset()
    (linked / "spikesandwav" / UNITS[1]).unlink()
    with pytest.raises(FileNotFoundError, match=r"cluster\.02\.data\.mat is missing"):
        NS1Dataset(linked)
    (linked / "spikesandwav" / "SH.En.C" / SOUNDS[2]).unlink()
    with pytest.raises(FileNotFoundError, match=r"frozen\.3 is missing"):
        NS1Dataset(linked)
    shutil.rmtree(linked / "spikesandwav")
    with pytest.raises(FileNotFoundError, match=r"spikesandwav\.zip"):
        NS1Dataset(linked)
    (linked / "MetadataSHEnCneurons.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"MetadataSHEnCneurons\.mat is missing"):
        NS1Dataset(linked)


@pytest.mark.parametrize("name", ["spikesandwav/" + UNITS[0], "spikesandwav/SH.En.C/" + SOUNDS[0]])
@pytest.mark.parametrize("kept", [0.0, 0.003, 0.5, 0.97])
def test_a_cut_file_is_named(linked, name, kept):
    file = linked / name
    content = file.read_bytes()
    replace(file, content[: int(kept * len(content))])
    with pytest.raises(RecordingError, match=file.name.replace(".", r"\.")):
        NS1Dataset(linked, smooth=False)


@pytest.mark.parametrize("kept", [0, 100, 1000])
def test_cut_metadata_is_named(linked, kept):
    file = linked / "MetadataSHEnCneurons.mat"
    content = file.read_bytes()
    replace(file, content[:kept])
    with pytest.raises(RecordingError, match="MetadataSHEnCneurons"):
        NS1Dataset(linked)


def test_other_mat_files_are_named(linked):
    file = io.BytesIO()
    scipy.io.savemat(file, {"neuron": np.ones((1, 3)), "data": np.ones((2, 2))})
    replace(linked / "spikesandwav" / UNITS[0], file.getvalue())
    with pytest.raises(RecordingError, match=r"cluster\.01\.data\.mat"):
        NS1Dataset(linked)
    replace(linked / "MetadataSHEnCneurons.mat", file.getvalue())
    with pytest.raises(RecordingError, match="MetadataSHEnCneurons"):
        NS1Dataset(linked)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "html"])
def test_a_damaged_archive_is_named(zipped, tmp_path, damage):
    shutil.copy(zipped / "MetadataSHEnCneurons.mat", tmp_path)
    content = bytearray((zipped / "spikesandwav.zip").read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped":  # the checksum of the member tells
        content[len(content) // 3] ^= 0xFF
    else:
        content = b"" if damage == "empty" else b"<html>log in</html>"
    (tmp_path / "spikesandwav.zip").write_bytes(content)
    with pytest.raises(RecordingError, match=r"spikesandwav\.zip"):
        NS1Dataset(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["MetadataSHEnCneurons.mat", "spikesandwav.zip"]


# --- the cochleagram ---------------------------------------------------------------------------------------------


def test_cochleagram_equals_the_formula():
    """One frame, computed with an explicit Fourier sum."""
    sound = np.random.default_rng(3).standard_normal(2400)
    got = causal_cochleagram(torch.from_numpy(sound)[None], 48000, 240)
    centres = band_centres().double().numpy()
    for frame in (0, 1, 7):
        stop = (frame + 1) * 240
        samples = np.concatenate([np.zeros(480), sound])[stop : stop + 480]
        samples = samples * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480))
        frequencies = np.arange(241) * 100.0
        amplitude = np.abs([(samples * np.exp(-2j * np.pi * np.arange(480) * k / 480)).sum() for k in range(241)])
        for band in (0, 1, 12, 33):
            low, centre, high = (centres[band] * 2 ** (k / 6) for k in (-1, 0, 1))
            weight = np.interp(frequencies, [low, centre, high], [0, 1, 0])
            level = 20 * np.log10(max((weight * amplitude).sum() / weight.sum(), 0.01))
            assert float(got[0, band, frame]) == pytest.approx(level, abs=1e-3)
    assert float(causal_cochleagram(torch.zeros(1, 480), 48000, 240).max()) == -40.0


@settings(max_examples=25, deadline=None)
@given(
    hop=st.sampled_from([48, 120, 240, 480, 1200]),
    bin_=st.integers(0, 9),
    rest=st.integers(0, 47),
    seed=st.integers(0, 99),
)
def test_cochleagram_is_strictly_causal(hop, bin_, rest, seed):
    rng = np.random.default_rng(seed)
    sound = torch.from_numpy(rng.standard_normal((1, 10 * hop + rest)).astype("f4"))
    reference = causal_cochleagram(sound, 48000, hop)
    assert reference.shape == (1, 34, 10)
    changed = sound.clone()
    changed[0, (bin_ + 1) * hop :] = 100.0
    assert torch.equal(causal_cochleagram(changed, 48000, hop)[..., : bin_ + 1], reference[..., : bin_ + 1])
    changed = sound.clone()
    changed[0, (bin_ + 1) * hop - hop // 2] += 10.0  # and the present counts
    assert not torch.equal(causal_cochleagram(changed, 48000, hop)[..., bin_], reference[..., bin_])


def test_cochleagram_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="1, T_audio"):
        causal_cochleagram(torch.zeros(2, 480), 48000, 240)
    with pytest.raises(ValueError, match="at least one hop"):
        causal_cochleagram(torch.zeros(1, 100), 48000, 240)
    with pytest.raises(ValueError, match="NaN"):
        causal_cochleagram(torch.full((1, 480), torch.nan), 48000, 240)
    with pytest.raises(ValueError, match="longer window"):
        causal_cochleagram(torch.zeros(1, 480), 48000, 240, window_ms=1.0, centres_hz=band_centres())
    with pytest.raises(ValueError, match="2 bands"):
        band_centres(1)


# --- the real recordings -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ns1(shared_data):
    if not (shared_data / "ns1").is_dir():
        pytest.skip(f"NS1 does not lie in {shared_data}")
    return NS1Dataset(shared_data / "ns1", smooth=False)


@pytest.mark.recordings
def test_facts_of_the_release(ns1):
    assert ns1.N_neurons == 119
    assert len(ns1) == 20
    assert all(response.shape == (20, 999) for row in ns1.responses for response in row)
    counts = torch.stack([torch.stack(list(row)) for row in ns1.responses]).double()
    # The data README counts 3 071 436: those that round to a millisecond before 4995. We keep the last half, too.
    assert int(counts.sum()) == 3_071_786
    rates = counts.sum((0, 2, 3)) / (400 * 4.995)
    assert [round(float(x), 1) for x in (rates.min(), rates.median(), rates.max())] == [1.4, 10.1, 52.4]
    valid = ns1.select_pop_by_nrn_predicate(lambda m: m["single_t"] in ("Yes", "Maybe") and m["depth_um"] >= 0)
    ns1.reset_pop_selection()
    assert len(valid) == 73
    assert all(meta["noise_ratio"] < 40 for meta in ns1.nrn_meta)
    assert len({meta["cell_id"] for meta in ns1.nrn_meta}) == 119


@pytest.mark.recordings
@pytest.mark.filterwarnings("ignore:the sounds of 12 of 12 chords")  # the cut in shared/data has none
def test_chords_of_the_release(shared_data, ns1):
    ds = NS1Dataset(shared_data / "ns1", smooth=False, stimuli="drc", return_waveform=True)
    assert ds.get_S() == 12
    assert all(response.shape == (5, 999) for row in ds.responses for response in row)
    sounds, chords = (sum(float(row[0].mean()) for row in part.responses) / len(part.stims) for part in (ns1, ds))
    assert chords == pytest.approx(sounds, rel=1.0)  # the same unit is about as active


@pytest.mark.recordings
def test_cochleagrams_of_the_release(ns1):
    stims = torch.stack(ns1.stims)
    assert stims.shape == (20, 1, 34, 999)
    assert float(stims.min()) == -40.0
    assert 40 < float(stims.max()) < 55
    train, val, test = ns1.split("checkpoint")
    assert [len(part) for part in (train, val, test)] == [14, 3, 3]
    assert train.protocols == {}
    assert train.N_neurons == test.N_neurons == 119
