"""Alice EEG: every sample in its bin, wherever the file begins to count; bad channels and spans are missing."""

import numpy as np
import pytest
from alice_eeg_files import BAD, CHANNELS, RATE_HZ, write_release

from deepSTRF.datasets.audio import AliceEEGDataset
from deepSTRF.datasets.download import RecordingError

mne = pytest.importorskip("mne")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alice")
    return folder, write_release(folder)


def expected(truth, person, channel, segment, n_bins):
    """What a channel of a person recorded from the onset of a segment on; None if it was bad or not there."""
    start = truth.onsets[person].get(segment)
    if start is None or channel not in CHANNELS[person] or channel in BAD[person]:
        return None
    signal = truth.signals[person][CHANNELS[person].index(channel)].copy()
    if person == "S03":
        signal[slice(*truth.gap)] = np.nan
    return signal[start : start + n_bins]


def test_every_sample(release, capsys):
    folder, truth = release
    ds = AliceEEGDataset(folder, hp_freq_hz=None)  # bins are samples of the files
    assert "S26_alice-raw.fif marks no segment 1:" in capsys.readouterr().err
    assert [(meta["subject"], meta["channel_id"]) for meta in ds.nrn_meta] == [
        (person, channel) for person, channels in CHANNELS.items() for channel in channels
    ]
    n_nan = 0
    for s, stim in enumerate(ds.stims):
        assert stim.shape == (1, 8, int(len(truth.sounds[s]) / 22050 * RATE_HZ))
        for n, meta in enumerate(ds.nrn_meta):
            known = expected(truth, meta["subject"], meta["channel_id"], s + 1, stim.shape[-1])
            if known is None:
                assert ds.responses[s][n].shape == (1, 1)
                continue
            np.testing.assert_allclose(ds.responses[s][n][0], known, rtol=1e-6, atol=1e-12)
            n_nan += int(np.isnan(known).sum())
    assert n_nan > 0
    assert ds.nrn_meta[1]["xyz"] == pytest.approx((0.01, 0.02, 0.03))
    assert ds.nrn_meta[1]["area"] == "EEG"
    assert ds.stim_meta[0] == {
        "name": "1", "type": "alice_chapter1", "sample_rate": 22050, "n_samples": 2205,
        "duration_s": pytest.approx(0.1),
    }  # fmt: skip


def test_people_as_repeats(release):
    folder, truth = release
    ds = AliceEEGDataset(folder, hp_freq_hz=None, treat_subjects_as="repeats")
    assert [meta["channel_id"] for meta in ds.nrn_meta] == ["1", "2", "3", "45"]
    for s, stim in enumerate(ds.stims):
        for n, meta in enumerate(ds.nrn_meta):
            response = ds.responses[s][n].numpy()
            for r, person in enumerate(CHANNELS):
                known = expected(truth, person, meta["channel_id"], s + 1, stim.shape[-1])
                if known is not None:
                    np.testing.assert_allclose(response[r], known, rtol=1e-6, atol=1e-12)
                elif r < len(response):
                    assert np.isnan(response[r]).all()


def test_band_pass(release):
    folder, truth = release
    ds = AliceEEGDataset(folder, subjects="S01", hp_freq_hz=1.0, lp_freq_hz=20.0)
    filtered = mne.filter.filter_data(truth.signals["S01"], RATE_HZ, 1.0, 20.0, verbose="error")
    start = truth.onsets["S01"][4]
    np.testing.assert_allclose(ds.responses[3][2][0], filtered[2, start : start + ds.stims[3].shape[-1]], rtol=1e-4)


def test_choices(release):
    folder, _ = release
    ds = AliceEEGDataset(folder, subjects=["S03"], n_frequency_bands=4, spec_backend="heeris", fmax=8000.0)
    assert {meta["subject"] for meta in ds.nrn_meta} == {"S03"}
    np.testing.assert_allclose(ds.frequencies_hz[[0, -1]], [80, 8000], rtol=1e-4)
    assert ds.spectrogram.kind == "gammatone"
    waves = AliceEEGDataset(folder, subjects=["S03"], return_waveform=True, audio_fs=22000)
    assert waves.hop == 220
    assert waves.stims[0].shape == (1, 10 * 220)
    assert waves.responses[0][0].shape == (1, 10)


def test_bad_arguments_and_files(tmp_path):
    write_release(tmp_path)
    for wrong in ({"treat_subjects_as": "trials"}, {"spec_backend": "mel"}, {"hp_freq_hz": -1}, {"subjects": []}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            AliceEEGDataset(tmp_path, **wrong)
    with pytest.raises(FileNotFoundError, match=r"no S99_alice-raw\.fif in .*S01, S03, S26"):
        AliceEEGDataset(tmp_path, subjects="S99")
    file = tmp_path / "eeg.0" / "eeg" / "S01" / "S01_alice-raw.fif"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordingError, match=r"S01_alice-raw\.fif can't be read"):
        AliceEEGDataset(tmp_path, subjects="S01")
    raw = mne.io.RawArray(np.zeros((1, 300)), mne.create_info(["1"], RATE_HZ, "eeg"), verbose="error")
    raw.set_annotations(mne.Annotations([0.5, 1.5], [0.1, 0.1], ["3", "3"]))
    raw.save(file, overwrite=True, verbose="error")
    with pytest.raises(RecordingError, match="segment 3 begins twice"):
        AliceEEGDataset(tmp_path, subjects="S01", hp_freq_hz=None)
    (tmp_path / "stimuli" / "7.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"7\.wav is missing in .*`deepstrf"):
        AliceEEGDataset(tmp_path)
