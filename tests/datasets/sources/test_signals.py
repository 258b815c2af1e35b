"""Continuous signals, against scipy.signal."""

import numpy as np
import pytest
import torch
from own_data import DT_MS, N_BINS, NAMES, assert_same_recording, sounds
from scipy.signal import resample_poly

from deepSTRF.datasets import Continuous
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.datasets.video import VideoNeuralDataset

RATE = 1000.0  # 5 samples in a bin: the middle of a bin is a sample
TRIALS = [(1.0, "rain"), (3.0, "birds"), (5.5, "rain")]


@pytest.fixture
def session():
    return np.random.default_rng(0).normal(size=(3, 8000))


def _scipy(signals):
    return resample_poly(signals[:, 2:], 1, 5, axis=1)


def test_session_equals_scipy(session):
    ds = AudioNeuralDataset.from_signals(sounds(), session, RATE, DT_MS, trials=TRIALS, unit="s")
    whole = _scipy(session)
    for n in range(3):
        expected = [whole[n, 200:300], whole[n, 1100:1200]]
        np.testing.assert_allclose(ds.responses[0][n], expected, atol=2e-6)
        np.testing.assert_allclose(ds.responses[1][n], whole[n, 600:660][None], atol=2e-6)
    assert [meta["name"] for meta in ds.stim_meta] == list(NAMES)


def test_signals_at_the_rate_of_the_bins_stay_bit_by_bit(session):
    begins = {"rain": [200, 1100], "birds": [600]}
    cut = [
        np.stack([session[:, first : first + bins] for first in begins[name]], axis=1)
        for name, bins in zip(NAMES, N_BINS, strict=True)
    ]
    reference = AudioNeuralDataset.from_arrays(sounds(), cut, DT_MS)
    ds = AudioNeuralDataset.from_signals(sounds(), session, 200.0, DT_MS, trials=TRIALS, unit="s")
    assert_same_recording(ds, reference)
    assert_same_recording(AudioNeuralDataset.from_signals(sounds(), cut, 200.0, DT_MS), reference)


def test_names_clocks_and_windows(session):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(session.T, columns=["Fz", "Cz", "Pz"])
    later = [(onset * 1000 + 2000, name) for onset, name in TRIALS]
    ds = AudioNeuralDataset.from_signals(
        sounds(), frame, RATE, DT_MS, trials=later, unit="ms", start_s=2.0, before_ms=50, after_ms=10
    )
    assert [meta["cell_id"] for meta in ds.nrn_meta] == ["Fz", "Cz", "Pz"]
    np.testing.assert_allclose(ds.responses[1][2][0], _scipy(session)[2, 590:662], atol=2e-6)
    by_name = dict(zip(["Fz", "Cz", "Pz"], session, strict=True))
    other = AudioNeuralDataset.from_signals(
        sounds(), by_name, RATE, DT_MS, trials=TRIALS, unit="s", before_ms=50, after_ms=10
    )
    assert_same_recording(ds, other)


def test_onsets_in_samples(session):
    in_samples = [(onset * RATE, name) for onset, name in TRIALS]
    ds = AudioNeuralDataset.from_signals(sounds(), session, RATE, DT_MS, trials=in_samples, unit="samples")
    assert_same_recording(ds, AudioNeuralDataset.from_signals(sounds(), session, RATE, DT_MS, trials=TRIALS, unit="s"))


def test_covariates_of_the_session_are_cut_like_signals(session):
    options = {"trials": TRIALS, "unit": "s", "before_ms": 50}
    covariates = {
        "speed": Continuous(session[1], RATE),
        "pose": Continuous(session[:2, 4000:], RATE, start_s=4.0),
        "block": [np.zeros(110), np.ones(70)],
    }
    ds = AudioNeuralDataset.from_signals(sounds(), session, RATE, DT_MS, **options, covariates=covariates)
    torch.testing.assert_close(ds[0]["speed"], ds.responses[0][1])
    torch.testing.assert_close(ds[1]["speed"], ds.responses[1][1])
    assert ds[0]["pose"].shape == (2, 2, 110)
    assert bool(ds[0]["pose"][:, 0].isnan().all())  # before it was measured
    np.testing.assert_allclose(ds[0]["pose"][:, 1], torch.stack(list(ds.responses[0]))[:2, 1], atol=1e-6)
    spikes = [np.linspace(0, 8, 200)]
    other = AudioNeuralDataset.from_spike_times(sounds(), spikes, DT_MS, **options, covariates=covariates)
    assert torch.equal(other[1]["speed"], ds[1]["speed"])


@pytest.mark.parametrize(
    ("covariate", "options", "error", "message"),
    [
        (Continuous(np.zeros(9), 10.0), {}, ValueError, "not measured in any trial: it lasts from 0 s to 0.9 s"),
        (Continuous(np.zeros((2, 3, 4)), 10.0), {}, ValueError, r"must have shape \(samples,\) or \(C, samples\)"),
        (Continuous(np.zeros(90), -1), {}, ValueError, r"rate_hz of covariates\['speed'\] must be positive"),
        (Continuous(np.zeros(90), 10.0), {"trials": None}, TypeError, "needs trials= to be cut"),
    ],
)
def test_bad_covariates_of_the_session(session, covariate, options, error, message):
    options = {"trials": TRIALS, "unit": "s", **options}
    signals = session if options["trials"] else [session[:, None, :500], session[:, None, :300]]
    with pytest.raises(error, match=message):
        AudioNeuralDataset.from_signals(sounds(), signals, RATE, DT_MS, **options, covariates={"speed": covariate})


def test_repeats_by_stimulus(session):
    signals = {"birds": [[session[0, :400]], None], "rain": [session[:2, 300:900], session[2, 300:900]]}
    ds = AudioNeuralDataset.from_signals(sounds(), signals, RATE, DT_MS, onset_ms=[50, 100])
    assert ds.nrn_masks.tolist() == [[True, True], [True, False]]
    assert ds.responses[0][0].shape == (2, 100)
    whole = resample_poly(session[:2, 302:900], 1, 5, axis=1)
    np.testing.assert_allclose(ds.responses[0][0], whole[:, 10:110], atol=2e-6)


def test_movies_and_calcium():
    movies = [np.zeros((3, 3, 40)), np.zeros((3, 3, 20))]
    calcium = np.random.default_rng(0).random((4, 3000))
    calcium[2, 100:200] = np.nan
    ds = VideoNeuralDataset.from_signals(movies, calcium, 31.2, 50.0, trials=[(2.0, 0), (10.0, 1)], unit="s")
    assert not torch.isnan(ds.responses[1][2]).any()
    assert torch.isnan(ds.responses[0][2]).any()
    assert not torch.isnan(ds.responses[0][1]).any()


class _Raw:
    info = None

    def get_data(self):
        return np.zeros((2, 5))


BAD = {
    "no unit": ({"unit": None}, TypeError, "unit must be given"),
    "transposed": (
        {"signals": np.zeros((8000, 3))},
        ValueError,
        "more channels than samples; transpose them, as signals.T",
    ),
    "one channel": (
        {"signals": np.zeros(8000)},
        ValueError,
        r"got \(8000,\); for a single channel give signals\[None\]",
    ),
    "MNE": ({"signals": _Raw()}, TypeError, "give raw.get_data"),
    "complex": ({"signals": np.zeros((3, 8000), complex)}, TypeError, "must be an array of real numbers"),
    "infinite": ({"signals": np.full((3, 8000), np.inf)}, ValueError, "signals holds infinite values; use NaN"),
    "beyond": (
        {"trials": [*TRIALS, (7.9, "birds")]},
        ValueError,
        "1 of 4 trials are not inside .* that of trial 3 lasts from 7.9 s to 8.2 s",
    ),
    "before": ({"before_ms": 1500}, ValueError, "that of trial 0 lasts from -0.5 s"),
    "rate": ({"rate_hz": 10_000.0}, ValueError, "lasts from 0 s to 0.8 s.*check rate_hz"),
    "rate in kHz": ({"rate_hz": 0.001}, ValueError, "lasts 8e.06 s, and the last trial ends at .*rate_hz must be in"),
    "negative rate": ({"rate_hz": -1}, ValueError, "rate_hz must be positive"),
    "ragged": ({"signals": [[1.0], [1.0, 2.0]]}, TypeError, "cannot be read as one"),
    "onset_ms": ({"onset_ms": 5}, ValueError, "onset_ms belongs to signals per stimulus"),
    "session without trials": (
        {"trials": None},
        ValueError,
        r"3 entries, 2 stimuli; for one long session, .* give trials=",
    ),
    "unheard": ({"trials": TRIALS[:1]}, ValueError, "1 of 2 stimuli have no trial"),
    "too short": (
        {"trials": None, "signals": [np.zeros((2, 1, 480)), np.zeros((2, 1, 300))]},
        ValueError,
        r"signals\[0\]\[0\] lasts 480 ms .* to 500 ms",
    ),
    "no repeats": (
        {"trials": None, "signals": [np.zeros((2, 500)), np.zeros((2, 300))]},
        ValueError,
        r"signals\[0\] must have shape \(N, R, samples\), got \(2, 500\)",
    ),
    "same name": (
        {"signals": {"a": np.zeros(8000), 1: np.zeros(8000), "1": np.zeros(8000)}},
        ValueError,
        "stand for more than one unit",
    ),
}


@pytest.mark.parametrize("mistake", BAD)
def test_usual_mistakes(session, mistake):
    options, error, message = BAD[mistake]
    arguments = {"signals": session, "rate_hz": RATE, "dt_ms": DT_MS, "trials": TRIALS, "unit": "s", **options}
    with pytest.raises(error, match=message):
        AudioNeuralDataset.from_signals(sounds(), **arguments)
