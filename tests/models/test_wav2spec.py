"""Front ends: against SciPy and the formulas, causal to the sample, in pieces as at once, and inside models."""

import numpy as np
import pytest
import scipy.signal
import torch

from deepSTRF.models import wav2spec
from deepSTRF.models.audio import Linear, StateNet
from deepSTRF.models.wav2spec import (
    CausalGammatone,
    CausalLEAF,
    CausalMelSpectrogram,
    Gammatonegram,
    SincNet,
    make_wav2spec,
)
from deepSTRF.models.wav2spec.gammatone import gammatone_kernels
from deepSTRF.models.wav2spec.pcen import one_pole, pcen
from deepSTRF.testing import check_model

FS = 8000

# Small ones of every kind and option: 8 kHz, bins of 5 ms, few bands.
FRONT_ENDS = {
    "mel": lambda: CausalMelSpectrogram(FS, 6),
    "mel power": lambda: CausalMelSpectrogram(FS, 6, win_ms=5.0, magnitude="power", compression="log1p"),
    "mel cubic": lambda: CausalMelSpectrogram(FS, 6, compression="cubic", mel_scale="slaney"),
    "mel offset": lambda: CausalMelSpectrogram(FS, 6, win_ms=11.0, log_offset=1e-3),
    "gammatone": lambda: CausalGammatone(FS, 6),
    "gammatone pcen": lambda: CausalGammatone(FS, 6, compression="pcen", rectify="full", env_window_ms=5.0),
    "gammatone cuberoot": lambda: CausalGammatone(FS, 6, compression="cuberoot", kernel_ms=3.0, env_window_ms=7.0),
    "gammatonegram": lambda: Gammatonegram(FS, 6, f_max=4000.0),
    "gammatonegram log": lambda: Gammatonegram(FS, 6, window_ms=5.0, f_min=100.0, compression="log"),
    "sincnet": lambda: SincNet(FS, 6),
    "sincnet short": lambda: SincNet(FS, 6, kernel_size=24, init="linear", activation="symlog"),
    "sincnet envelope": lambda: SincNet(FS, 6, kernel_size=64, envelope=True),
    "leaf": lambda: CausalLEAF(FS, 6),
    "leaf pool": lambda: CausalLEAF(FS, 6, pool_ms=7.0, kernel_ms=3.0, learn_filters=False, learn_pcen=False),
}
LEARNED = [name for name in FRONT_ENDS if name.startswith(("sincnet", "leaf"))]


@pytest.fixture(params=FRONT_ENDS)
def front_end(request):
    torch.manual_seed(0)
    return FRONT_ENDS[request.param]().eval()


def noise(n_frames: int, batch_size: int = 2, hop: int = 40) -> torch.Tensor:
    return torch.randn(batch_size, 1, n_frames * hop, generator=torch.Generator().manual_seed(1))


# --- what all of them promise ----------------------------------------------------------------------------------------


def test_shapes_and_attributes(front_end):
    assert (front_end.out_channels, front_end.hop, front_end.audio_fs) == (6, 40, FS)
    for n_frames in (1, 2, 9):
        assert front_end(noise(n_frames)).shape == (2, 1, 6, n_frames)
    centres = front_end.centres_hz
    assert centres.shape == (6,)
    assert (centres.diff() > 0).all()
    assert 0 < centres[0] < centres[-1] <= FS / 2


def test_frames_do_not_know_the_samples_after_them(front_end):
    x = noise(9).double().requires_grad_()
    front_end.double()
    frames = front_end(x)
    for t in (0, 4, 8):
        (gradient,) = torch.autograd.grad(frames[..., t].square().sum(), x, retain_graph=True)
        assert (gradient[..., (t + 1) * 40 :] == 0).all()
        assert gradient[..., : (t + 1) * 40].any()


def test_the_last_sample_of_a_bin_is_seen_in_it(front_end):
    """Causal must not mean late. Windows and kernels may be zero at their very edge, so three samples are looked at."""
    x = noise(9).requires_grad_()
    (gradient,) = torch.autograd.grad(front_end(x)[..., 4].sum(), x)
    end = 160 + front_end.window if isinstance(front_end, Gammatonegram) else 200
    assert gradient[..., end - 3 : end].any()


def test_the_past_is_the_same_to_the_bit_whatever_follows(front_end):
    x = noise(70)
    changed = x.clone()
    changed[..., 1500:] = 100 * torch.randn_like(changed[..., 1500:])
    with torch.no_grad():
        before, after = front_end(x), front_end(changed)
        assert torch.equal(before[..., : 1500 // 40], after[..., : 1500 // 40])
        assert not torch.equal(before, after)
        assert torch.equal(before, front_end(x))


@pytest.mark.parametrize("lengths", [[1] * 70, [33, 1, 2, 34], [69, 1]])
def test_pieces_give_what_the_whole_gives(front_end, lengths):
    x = noise(70)
    with torch.no_grad():
        whole = front_end(x)
        state, pieces = None, []
        for piece in x.split([40 * n for n in lengths], -1):
            frames, state = front_end.step(piece, state)
            pieces.append(frames)
    torch.testing.assert_close(torch.cat(pieces, -1), whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(2, 400), (400,), (2, 2, 400), (1, 1, 4, 100)])
def test_other_shapes_are_refused(front_end, shape):
    with pytest.raises(ValueError, match=r"\(B, 1, T_audio\)"):
        front_end(torch.zeros(shape))


@pytest.mark.parametrize("n_samples", [0, 39, 401])
def test_parts_of_a_bin_are_refused(front_end, n_samples):
    with pytest.raises(ValueError, match="multiple of hop = 40"):
        front_end(torch.zeros(1, 1, n_samples))
    with pytest.raises(ValueError, match="multiple of hop = 40"):
        front_end.step(torch.zeros(1, 1, n_samples))


def test_other_types_are_refused(front_end):
    with pytest.raises(TypeError, match=r"float64.*float32"):
        front_end(noise(3).double())
    with pytest.raises(TypeError, match="int16"):
        front_end(torch.zeros(1, 1, 40, dtype=torch.int16))
    with pytest.raises(TypeError, match="as_tensor"):
        front_end(np.zeros((1, 1, 40)))


def test_silence_has_finite_frames_and_gradients(front_end):
    x = torch.zeros(1, 1, 120, requires_grad=True)
    frames = front_end(x)
    frames.sum().backward()
    assert frames.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in front_end.parameters())


@pytest.mark.parametrize("name", LEARNED)
def test_gradients_reach_every_parameter(name):
    front_end = FRONT_ENDS[name]()
    frames = front_end(noise(20))
    (frames * torch.randn_like(frames)).sum().backward()
    for _, parameter in front_end.named_parameters():
        assert (parameter.grad != 0).all()


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_linear_models_keep_the_contract_behind_every_front_end(name):
    check_model(
        lambda: Linear(6, 3, out_neurons=2, wav2spec=FRONT_ENDS[name]()),
        make_stimulus=lambda batch_size, n_bins: torch.randn(batch_size, 1, 40 * n_bins),
    )


@pytest.mark.parametrize("kind", ["mel", "gammatone", "gammatonegram", "sincnet", "leaf"])
def test_statenet_keeps_the_contract_behind_a_front_end(kind):
    bands = {"n_mels" if kind == "mel" else "n_filters": 7}
    check_model(
        lambda: StateNet(7, hidden_channels=2, out_neurons=2, wav2spec=make_wav2spec(kind, FS, 5.0, **bands)),
        make_stimulus=lambda batch_size, n_bins: torch.randn(batch_size, 1, 40 * n_bins),
    )


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_a_saved_model_has_its_front_end(name, tmp_path):
    model = Linear(6, 3, out_neurons=2, wav2spec=FRONT_ENDS[name]()).eval()
    again = Linear.from_pretrained(model.save_pretrained(tmp_path))
    assert repr(again.wav2spec) == repr(model.wav2spec)
    assert torch.equal(again(noise(5)), model(noise(5)))


@pytest.mark.parametrize(
    ("audio_fs", "error"), [(0, ValueError), (-48000, ValueError), (float("nan"), ValueError), ("48 kHz", TypeError)]
)
@pytest.mark.parametrize("cls", [CausalMelSpectrogram, CausalGammatone, Gammatonegram, SincNet, CausalLEAF])
def test_a_sampling_rate_is_positive(cls, audio_fs, error):
    with pytest.raises(error, match="audio_fs"):
        cls(audio_fs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CausalMelSpectrogram(FS, win_ms=4.0), "win_ms must be at least hop_ms"),
        (lambda: CausalMelSpectrogram(FS, magnitude="db"), "'amplitude', 'power'; got 'db'"),
        (lambda: CausalMelSpectrogram(FS, compression="ln"), "'log1p', 'none'; got 'ln'"),
        (lambda: CausalMelSpectrogram(FS, mel_scale="bark"), "mel_scale"),
        (lambda: CausalMelSpectrogram(FS, log_floor=0), "log_floor"),
        (lambda: CausalMelSpectrogram(FS, log_offset=-1), "log_offset"),
        (lambda: CausalMelSpectrogram(FS, n_mels=0), "number of bands"),
        (lambda: CausalMelSpectrogram(FS, hop_ms=0.01), "hop_ms=0.01 is less than one sample"),
        (lambda: CausalMelSpectrogram(FS, hop_ms=0.125, win_ms=0.2), "less than three samples"),
        (lambda: CausalMelSpectrogram(FS, f_min=5000.0), "f_min=5000.0, f_max=22627.0, audio_fs=8000"),
        (lambda: CausalMelSpectrogram(FS, f_min=-1.0), "f_min"),
        (lambda: CausalGammatone(FS, rectify="none"), "rectify"),
        (lambda: CausalGammatone(FS, compression="log1p"), "compression"),
        (lambda: CausalGammatone(FS, env_window_ms=4.0), "env_window_ms must be at least hop_ms"),
        (lambda: CausalGammatone(FS, kernel_ms=0.1), "kernel_ms=0.1 is too short"),
        (lambda: CausalGammatone(FS, order=0), "order"),
        (lambda: CausalGammatone(FS, pcen_s=1.5), "pcen_s"),
        (lambda: CausalGammatone(FS, f_min=900.0, f_max=800.0), "f_min must be below f_max"),
        (lambda: SincNet(FS, init="bark"), "init"),
        (lambda: SincNet(FS, activation="relu"), "activation"),
        (lambda: SincNet(FS, kernel_size=0), "kernel_size"),
        (lambda: CausalLEAF(FS, pool_ms=4.0), "pool_ms must be at least hop_ms"),
        (lambda: CausalLEAF(FS, f_min=4000.0), "f_min"),
        (lambda: Gammatonegram(FS, hop_ms=5.0, window_ms=5.5), "window_ms=5.5 is longer than hop_ms=5.0.*causality"),
        (lambda: Gammatonegram(FS, compression="cuberoot"), "compression"),
        (lambda: Gammatonegram(FS, f_min=5000.0), "f_min"),
        (lambda: make_wav2spec("cochlea", FS, 5.0), "'mel', 'gammatone', .*got 'cochlea'"),
        (lambda: make_wav2spec(["mel"], FS, 5.0), "kind must be one of"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("kind", ["mel", "gammatone", "gammatonegram", "sincnet", "leaf"])
def test_front_ends_are_made_in_the_default_dtype_as_layers_of_torch_are(kind):
    waveform = torch.randn(1, 1, 3 * 80, dtype=torch.float64)
    expected = make_wav2spec(kind, 16000, 5.0).double()(waveform)
    torch.set_default_dtype(torch.float64)
    try:
        torch.testing.assert_close(make_wav2spec(kind, 16000, 5.0)(waveform), expected, rtol=1e-4, atol=1e-4)
    finally:
        torch.set_default_dtype(torch.float32)


def test_make_wav2spec_passes_on_what_it_gets():
    front_end = make_wav2spec("gammatone", 16000, 10.0, n_filters=5, compression="none")
    assert isinstance(front_end, CausalGammatone)
    assert (front_end.hop, front_end.out_channels, front_end.compression) == (160, 5, "none")
    assert set(wav2spec.__all__) == {
        "CausalGammatone",
        "CausalLEAF",
        "CausalMelSpectrogram",
        "Gammatonegram",
        "SincNet",
        "make_wav2spec",
    }


@pytest.mark.parametrize("kind", ["mel", "gammatone", "gammatonegram", "sincnet", "leaf"])
@pytest.mark.parametrize(
    ("audio_fs", "dt_ms", "rates"),
    [(44100, 5.0, "44000 or 44200"), (11025, 10.0, "11000 or 11100"), (48828.125, 5.0, "48800 or 49000")],
)
def test_a_bin_is_a_whole_number_of_samples(kind, audio_fs, dt_ms, rates):
    """Rounded, 44.1 kHz at 5 ms drifts by 135 ms a minute."""
    with pytest.raises(ValueError, match=f"{rates} Hz"):
        make_wav2spec(kind, audio_fs, dt_ms)
    assert make_wav2spec(kind, 44100, 10.0, **({"kernel_size": 65} if kind == "sincnet" else {})).hop == 441


# --- mel -------------------------------------------------------------------------------------------------------------


def reference_triangles(corners: np.ndarray, f: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(f, corners[m : m + 3], [0, 1, 0]) for m in range(len(corners) - 2)])


@pytest.mark.parametrize(("win_ms", "power"), [(10.0, 1), (25.0, 2), (5.0, 1)])
def test_mel_is_a_short_time_fourier_transform_in_triangles(win_ms, power):
    fs, n_mels = 16000, 20
    x = np.random.default_rng(0).normal(size=1600)
    hop, win = 80, int(fs * win_ms / 1000)
    magnitude = "amplitude" if power == 1 else "power"
    front_end = CausalMelSpectrogram(
        fs, n_mels, win_ms=win_ms, magnitude=magnitude, compression="none", f_min=100.0, f_max=7000.0
    ).double()
    window = scipy.signal.windows.hann(win)
    padded = np.concatenate([np.zeros(win - hop), x])
    _, _, spectrum = scipy.signal.stft(
        padded, fs, window, win, win - hop, boundary=None, padded=False, scaling="spectrum"
    )
    mel = np.linspace(2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 7000 / 700), n_mels + 2)
    weights = reference_triangles(700 * (10 ** (mel / 2595) - 1), np.fft.rfftfreq(win, 1 / fs))
    expected = weights @ np.abs(spectrum * window.sum()) ** power
    narrow = weights.sum(1) == 0  # no frequency of the spectrum inside
    got = front_end(torch.from_numpy(x)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(got[~narrow], expected[~narrow], rtol=1e-5, atol=1e-9)
    assert narrow.sum() < n_mels / 2


def test_a_band_between_two_frequencies_of_the_spectrum_is_not_dead():
    front_end = CausalMelSpectrogram(FS, 60, compression="none")
    weights = front_end._mel_fb
    empty = reference_triangles(front_end._corners_hz, np.arange(41) * 100.0).sum(1) == 0
    assert empty.any()
    torch.testing.assert_close(weights[:, empty].sum(0), torch.ones(int(empty.sum())))
    torch.testing.assert_close(torch.arange(41.0) * 100 @ weights[:, empty], front_end.centres_hz[empty])


def test_the_slaney_scale_is_linear_below_a_kilohertz_and_logarithmic_above():
    centres = CausalMelSpectrogram(16000, 40, mel_scale="slaney", f_min=0.0, f_max=8000.0).centres_hz
    low, high = centres[centres < 950], centres[centres > 1050]
    torch.testing.assert_close(low.diff(), low.diff().mean().expand(len(low) - 1), rtol=1e-4, atol=0)
    ratio = high[1:] / high[:-1]
    torch.testing.assert_close(ratio, ratio.mean().expand(len(ratio)), rtol=1e-4, atol=0)
    # both sides are spaced alike in mel: 200/3 Hz below, a factor of 6.4^(1/27) above
    step = low.diff().mean() / (200 / 3)
    assert float(ratio.mean()) == pytest.approx(6.4 ** (float(step) / 27), rel=1e-4)


@pytest.mark.parametrize(
    ("options", "formula"),
    [
        ({"compression": "log"}, lambda x: np.log(np.maximum(x, 0.5))),
        ({"compression": "log", "log_offset": 0.1}, lambda x: np.log(x + 0.1)),
        ({"compression": "cubic"}, np.cbrt),
        ({"compression": "log1p"}, np.log1p),
    ],
)
def test_mel_compressions(options, formula):
    x = 0.03 * noise(10)
    plain = CausalMelSpectrogram(FS, 6, compression="none")(x).numpy()
    assert plain.min() < 0.5 < plain.max()
    np.testing.assert_allclose(CausalMelSpectrogram(FS, 6, log_floor=0.5, **options)(x), formula(plain), rtol=1e-5)


def test_the_top_of_the_range_is_lowered_to_half_the_sampling_rate():
    torch.testing.assert_close(
        CausalMelSpectrogram(FS, 6).centres_hz, CausalMelSpectrogram(FS, 6, f_max=4000.0).centres_hz
    )
    assert CausalGammatone(FS, 6).centres_hz[-1] == 4000


# --- gammatone -------------------------------------------------------------------------------------------------------


def test_the_impulse_response_is_a_gammatone():
    """Through the whole front end with bins of one sample: nothing but rectification is left."""
    fs = 16000
    front_end = CausalGammatone(
        fs,
        8,
        hop_ms=1000 / fs,
        env_window_ms=1000 / fs,
        compression="none",
        kernel_ms=40.0,
        rectify="full",
        f_max=6000.0,
    )
    impulse = torch.zeros(1, 1, 800)
    impulse[..., 100] = 1
    response = front_end(impulse)[0, 0].numpy()
    assert (response[:, :100] == 0).all()
    t = np.arange(640) / fs
    for band, fc in zip(response, front_end.centres_hz.double().numpy(), strict=True):
        b = 1.019 * 24.7 * (0.00437 * fc + 1)
        shape = t**3 * np.exp(-2 * np.pi * b * t) * np.cos(2 * np.pi * fc * t)
        gain = np.abs(scipy.signal.freqz(shape, worN=np.linspace(0.5 * fc, 2 * fc, 2000), fs=fs)[1]).max()
        np.testing.assert_allclose(band[100:740], np.abs(shape / gain), atol=2e-3 * np.abs(shape / gain).max())


def test_higher_bands_come_earlier_and_a_kilohertz_after_two_to_four_milliseconds():
    fs = 48000
    centres = torch.tensor([500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0], dtype=torch.float64)
    kernels = CausalGammatone(fs, 34)._kernels.squeeze(1).flip(-1)
    assert kernels.shape == (34, 960)
    peaks = kernels.abs().argmax(-1) / fs * 1000
    assert (peaks.diff() <= 1.0).all()  # within half a period of the lowest band
    assert 4.5 < peaks[0] < 7
    assert peaks[-1] < 0.5
    envelopes = scipy.signal.hilbert(gammatone_kernels(centres, fs, 4, 1.019, 1920).numpy(), axis=-1)
    late = np.abs(envelopes).argmax(-1) / fs * 1000
    assert (np.diff(late) < 0).all()
    assert 2 < late[1] < 4
    np.testing.assert_allclose(late, 1000 * 3 / (2 * np.pi * 1.019 * 24.7 * (0.00437 * centres + 1)), atol=0.15)


def test_gammatones_pass_their_own_tone_with_a_gain_of_one():
    front_end = CausalGammatone(16000, 5, f_max=5000.0, kernel_ms=60.0, compression="none", rectify="full")
    t = torch.arange(3200) / 16000
    for band, fc in enumerate(front_end.centres_hz):
        response = front_end(torch.sin(2 * torch.pi * fc * t)[None, None])[0, 0, :, -1]
        assert response.argmax() == band
        assert float(response[band]) == pytest.approx(2 / np.pi, rel=0.02)  # the mean of a rectified sine


def test_gammatone_compressions_and_rectifications():
    x = noise(40)
    plain = CausalGammatone(FS, 6, compression="none")(x)
    assert (plain >= 0).all()
    torch.testing.assert_close(
        CausalGammatone(FS, 6, log_floor=0.05)(x), plain.clamp(min=0.05).log(), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(CausalGammatone(FS, 6, compression="cuberoot")(x), plain ** (1 / 3))
    full = CausalGammatone(FS, 6, compression="none", rectify="full")(x)
    other_half = CausalGammatone(FS, 6, compression="none")(-x)
    torch.testing.assert_close(full, plain + other_half)


def test_pcen_is_its_formula():
    x = noise(100)
    plain = CausalGammatone(FS, 6, compression="none").double()(x.double()).squeeze(1).numpy()
    level = scipy.signal.lfilter([0.1], [1, -0.9], plain, axis=-1)
    expected = (plain / (1e-6 + level) ** 0.8 + 1.5) ** 0.4 - 1.5**0.4
    front_end = CausalGammatone(FS, 6, compression="pcen", pcen_s=0.1, pcen_alpha=0.8, pcen_delta=1.5, pcen_r=0.4)
    np.testing.assert_allclose(front_end(x).squeeze(1), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_bins", [1, 31, 32, 33, 100])
def test_one_pole_is_the_recursion(n_bins):
    rates = torch.tensor([0.04, 0.5, 1.0], dtype=torch.float64)
    x = torch.randn(2, 3, n_bins, dtype=torch.float64)
    start = torch.randn(2, 3, dtype=torch.float64)
    got, last = one_pole(x, rates, start)
    for band, rate in enumerate(rates.tolist()):
        expected, _ = scipy.signal.lfilter(
            [rate], [1, rate - 1], x[:, band].numpy(), zi=((1 - rate) * start[:, band, None]).numpy()
        )
        np.testing.assert_allclose(got[:, band], expected, atol=1e-12)
    assert torch.equal(last, got[..., -1])


def test_gradients_of_pcen():
    energy = torch.rand(2, 2, 7, dtype=torch.float64, requires_grad=True)
    settings = [torch.rand(2, 1, dtype=torch.float64).add(0.2).requires_grad_() for _ in range(3)]
    rate = torch.tensor([0.1, 0.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e, s, *rest: pcen(e, s, *rest, 1e-3)[0], (energy, rate, *settings))


# --- gammatonegram ---------------------------------------------------------------------------------------------------


def slaney_filtered(x: np.ndarray, fs: float, fc: float) -> np.ndarray:
    """The four biquads as Slaney's report gives their coefficients, in double precision."""
    T, B, omega = 1 / fs, 1.019 * 2 * np.pi * (fc / 9.26449 + 24.7), 2 * np.pi * fc
    denominator = [1, -2 * np.cos(omega * T) / np.exp(B * T), np.exp(-2 * B * T)]
    gain = 1.0
    for sign, inner in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
        root = sign * np.sqrt(3 + inner * 2**1.5)
        numerator = [T, -(2 * T * np.cos(omega * T) + 2 * root * T * np.sin(omega * T)) / (2 * np.exp(B * T))]
        x = scipy.signal.lfilter(numerator, denominator, x)
        gain *= np.abs(scipy.signal.freqz(numerator, denominator, [fc], fs=fs)[1][0])
    return x / gain


@pytest.mark.parametrize(
    ("fs", "f_min", "f_max"), [(48000, 1000.0, 8000.0), (44100, 50.0, 22050.0), (8000, 80.0, 3000.0)]
)
def test_the_gammatonegram_is_slaneys_biquads_and_the_rms_at_the_start_of_a_bin(fs, f_min, f_max):
    front_end = Gammatonegram(fs, 7, hop_ms=10.0, window_ms=2.5, f_min=f_min, f_max=f_max, compression="none")
    x = np.random.default_rng(0).normal(size=20 * front_end.hop)
    got = front_end(torch.from_numpy(x).float()[None, None])[0, 0].numpy()
    window = round(fs * 0.0025)
    for frames, fc in zip(got, front_end._centres_hz.numpy(), strict=True):
        y = slaney_filtered(x, fs, fc).reshape(20, front_end.hop)[:, :window]
        np.testing.assert_allclose(frames, np.sqrt((y**2).mean(1)), rtol=1e-4)


def test_slaneys_centres():
    """As his ERBSpace: from the lowest frequency to one step below the highest."""
    front_end = Gammatonegram(48000, 4, f_min=1000.0, f_max=8000.0)
    corner = 9.26449 * 24.7
    steps = np.arange(1, 5) / 4
    expected = -corner + np.exp(steps * (np.log(1000 + corner) - np.log(8000 + corner))) * (8000 + corner)
    np.testing.assert_allclose(front_end.centres_hz, expected[::-1], rtol=1e-6)


def test_the_filters_agree_with_scipys_gammatone():
    """SciPy derives the same design on its own, with another gain; compared is the shape."""
    fs, hop = 16000, 16
    front_end = Gammatonegram(fs, 3, hop_ms=1.0, window_ms=1 / 16, f_min=500.0, f_max=4000.0, compression="none")
    impulse = torch.zeros(1, 1, 40 * hop)
    impulse[..., 0] = 1
    got = front_end(impulse)[0, 0].numpy()
    for frames, fc in zip(got, front_end._centres_hz.numpy(), strict=True):
        numerator, denominator = scipy.signal.gammatone(fc, "iir", fs=fs)
        expected = np.abs(scipy.signal.lfilter(numerator, denominator, impulse[0, 0].numpy())[::hop])
        np.testing.assert_allclose(frames / frames.max(), expected / expected.max(), atol=2e-3)


def test_gammatonegram_compressions():
    x = noise(10)
    plain = Gammatonegram(FS, 6, compression="none")(x)
    assert float(plain.min()) < 0.2 < float(plain.max())
    torch.testing.assert_close(Gammatonegram(FS, 6)(x), plain.log1p())
    torch.testing.assert_close(Gammatonegram(FS, 6, compression="log", log_floor=0.2)(x), plain.clamp(min=0.2).log())


# --- SincNet ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel_size", [64, 251])
def test_sinc_filters_are_windowed_differences_of_low_passes(kernel_size):
    front_end = SincNet(16000, 5, kernel_size=kernel_size).double()
    lower, upper = (cutoff.detach().squeeze(1).numpy() for cutoff in front_end.cutoffs_hz())
    for kernel, f1, f2 in zip(front_end.kernels().detach().numpy(), lower, upper, strict=True):
        n = np.arange(kernel_size) - (kernel_size - 1) / 2
        expected = 2 * f2 / 16000 * np.sinc(2 * f2 * n / 16000) - 2 * f1 / 16000 * np.sinc(2 * f1 * n / 16000)
        np.testing.assert_allclose(kernel, expected * np.hamming(kernel_size), atol=1e-12)


def test_sinc_filters_pass_between_their_cutoffs():
    front_end = SincNet(16000, 4, init="linear", f_min=1000.0)
    lower, upper = (cutoff.flatten().tolist() for cutoff in front_end.cutoffs_hz())
    for kernel, f1, f2 in zip(front_end.kernels().detach().numpy(), lower, upper, strict=True):
        f, gain = scipy.signal.freqz(kernel, fs=16000, worN=800)
        margin = 200
        assert (np.abs(gain[(f > f1 + margin) & (f < f2 - margin)]) > 0.95).all()
        assert (np.abs(gain[(f < f1 - margin) | (f > f2 + margin)]) < 0.05).all()


def test_cutoffs_stay_in_order_and_in_range_wherever_they_are_learned_to():
    front_end = SincNet(FS, 4)
    with torch.no_grad():
        front_end.low_hz_.copy_(torch.tensor([[-200.0], [0.0], [1e5], [3000.0]]))
        front_end.band_hz_.copy_(torch.tensor([[-300.0], [10.0], [50.0], [1e6]]))
    lower, upper = front_end.cutoffs_hz()
    assert lower.flatten().tolist() == [200, 1, 3999, 3000]
    assert upper.flatten().tolist() == [500, 11, 4000, 4000]


@pytest.mark.parametrize("init", ["mel", "linear"])
def test_filters_tile_the_range_before_learning(init):
    front_end = SincNet(FS, 5, f_min=100.0, f_max=3000.0, init=init)
    lower, upper = (cutoff.detach().flatten() for cutoff in front_end.cutoffs_hz())
    assert (upper > lower).all()
    torch.testing.assert_close(lower[1:], upper[:-1])
    assert (float(lower[0]), float(upper[-1])) == pytest.approx((100, 3000), rel=1e-5)
    widths = upper - lower
    assert (widths.diff() > 1).all() if init == "mel" else torch.allclose(widths, widths.mean(), rtol=1e-4)


def test_a_sincnet_frame_is_the_filtered_sound_at_its_end():
    x = noise(10, 1).double()
    front_end = SincNet(FS, 6, kernel_size=51, activation="none").double()
    kernels = front_end.kernels().detach().numpy()
    filtered = np.stack([np.convolve(x[0, 0].numpy(), kernel)[: x.shape[-1]] for kernel in kernels])
    got = front_end(x)[0, 0].detach().numpy()
    np.testing.assert_allclose(got, filtered[:, 39::40], atol=1e-12)
    envelope = SincNet(FS, 6, kernel_size=51, activation="none", envelope=True, env_window_ms=7.5).double()
    magnitude = np.abs(np.concatenate([np.zeros((6, 20)), filtered], 1))
    expected = np.stack([magnitude[:, 40 * t : 40 * t + 60].mean(1) for t in range(10)], 1)
    np.testing.assert_allclose(envelope(x)[0, 0].detach().numpy(), expected, atol=1e-12)


def test_sincnet_activations():
    x = noise(10)
    plain = SincNet(FS, 6, activation="none")(x)
    assert (plain < 0).any()
    torch.testing.assert_close(SincNet(FS, 6)(x), plain.abs().log1p())
    torch.testing.assert_close(SincNet(FS, 6, activation="symlog")(x), plain.sign() * plain.abs().log1p())
    silence = torch.zeros(1, 1, 400, requires_grad=True)
    (slope,) = torch.autograd.grad(SincNet(FS, 6, activation="symlog")(silence)[0, 0, 2, -1], silence)
    (expected,) = torch.autograd.grad(SincNet(FS, 6, activation="none")(silence)[0, 0, 2, -1], silence)
    torch.testing.assert_close(slope, expected)


# --- LEAF ------------------------------------------------------------------------------------------------------------


def test_leaf_is_its_formulas_one_after_the_other():
    front_end = CausalLEAF(FS, 4, kernel_ms=8.0, pool_ms=12.5).double()
    x = noise(30, 1).double()
    with torch.no_grad():
        got = front_end(x)[0, 0].numpy()
    softplus = np.logaddexp
    eta = front_end.center_freq_.detach().numpy()
    sigma = softplus(0, front_end.bandwidth_.detach().numpy())
    n = np.arange(64) - 31.5
    for band in range(4):
        gabor = np.exp(-(n**2) / (2 * sigma[band] ** 2) + 1j * eta[band] * n) / (np.sqrt(2 * np.pi) * sigma[band])
        modulus = np.sqrt(np.abs(np.convolve(x[0, 0].numpy(), gabor)[:1200]) ** 2 + 1e-9)
        half_gaussian = np.exp(-0.5 * (np.arange(100) / 25) ** 2)
        pooled = np.convolve(modulus, half_gaussian / half_gaussian.sum())[39:1200:40]
        level = scipy.signal.lfilter([0.04], [1, -0.96], pooled)
        expected = (pooled / (1e-6 + level) ** 0.96 + 2) ** 0.5 - 2**0.5
        np.testing.assert_allclose(got[band], expected, rtol=1e-5)


def test_leaf_starts_as_a_mel_filterbank_with_critical_bandwidths():
    front_end = CausalLEAF(16000, 10, kernel_ms=40.0)
    mel = CausalMelSpectrogram(16000, 10, f_min=60.0)
    torch.testing.assert_close(front_end.centres_hz, mel.centres_hz, rtol=1e-4, atol=0)
    gabor = torch.complex(*front_end.kernels()).detach().numpy()
    f = np.fft.fftfreq(16000, 1 / 16000)
    for kernel, fc in zip(gabor[2:7], front_end.centres_hz.tolist()[2:7], strict=True):
        gain = np.abs(np.fft.fft(kernel, 16000))
        assert f[gain.argmax()] == pytest.approx(fc, abs=2)
        assert gain.max() == pytest.approx(1, abs=0.01)
        # the gain is a Gaussian with a standard deviation of one ERB
        spread = np.sqrt((gain**2 * (f - fc) ** 2).sum() / (gain**2).sum())
        assert spread * np.sqrt(2) == pytest.approx(24.7 * (0.00437 * fc + 1), rel=0.02)


def test_a_tone_is_heard_in_its_band():
    front_end = CausalLEAF(16000, 8)
    t = torch.arange(1600) / 16000
    for band, fc in enumerate(front_end.centres_hz.tolist()[:-1]):
        frames = front_end(torch.sin(2 * torch.pi * fc * t)[None, None])[0, 0, :, 10:]
        assert frames[:, :3].mean(1).argmax() == band  # before the gain control has caught up


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("learn_filters", {"center_freq_", "bandwidth_"}),
        ("learn_pooling", {"pool_width_"}),
        ("learn_pcen", {"alpha_", "delta_", "root_", "rate_"}),
    ],
)
def test_what_leaf_does_not_learn_stays_as_it_is(option, names):
    everything = CausalLEAF(FS, 4)
    part = CausalLEAF(FS, 4, **{option: False})
    assert {name for name, _ in everything.named_parameters()} - {name for name, _ in part.named_parameters()} == names
    assert everything.state_dict().keys() == part.state_dict().keys()
    assert torch.equal(everything(noise(5)), part(noise(5)))


def test_leaf_stays_in_range_wherever_it_is_learned_to():
    front_end = CausalLEAF(FS, 4)
    with torch.no_grad():
        for parameter in front_end.parameters():
            parameter.copy_(torch.tensor([-50.0, -1.0, 1.0, 50.0]))
    frames = front_end(noise(20))
    frames.square().mean().backward()
    assert frames.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in front_end.parameters())


# --- gradients with respect to the waveform --------------------------------------------------------------------------


def listener(name: str = "gammatone", **options) -> Linear:
    torch.manual_seed(0)
    return Linear(6, 3, out_neurons=3, wav2spec=FRONT_ENDS[name](), **options)


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize("reduce", ["last", "peak", "sum"])
def test_a_waveform_gradmap_is_finite_and_says_something(name, reduce):
    gradmap = listener(name).waveform_gradmap(0.3 * noise(8, 1)[0, 0], reduce=reduce)
    assert gradmap.shape == (320,)
    assert gradmap.isfinite().all()
    assert gradmap.any()


def test_a_waveform_gradmap_is_the_slope_of_the_response():
    model = listener().double().eval()
    x = noise(8, 1).double()
    slope = torch.randn_like(x)
    step = 1e-6 * slope

    def response(wave):
        with torch.no_grad():
            return model(wave)[0, :, 0]

    differences = (response(x + step) - response(x - step)) / 2e-6
    expected = {"last": differences[:, -1], "sum": differences.sum(-1)}
    expected["peak"] = differences.gather(1, response(x).argmax(-1, keepdim=True))[:, 0]
    for reduce, per_neuron in expected.items():
        for neuron in (None, 0, np.int64(2), -1):
            got = (model.waveform_gradmap(x, neuron, reduce) * slope).sum()
            wanted = per_neuron.sum() if neuron is None else per_neuron[neuron]
            torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-8)


def test_the_shapes_of_one_waveform_mean_the_same():
    model = listener()
    x = noise(5, 1)
    expected = model.waveform_gradmap(x)
    assert torch.equal(model.waveform_gradmap(x[0]), expected)
    assert torch.equal(model.waveform_gradmap(x[0, 0]), expected)


def test_a_waveform_gradmap_leaves_everything_as_found():
    model = listener("sincnet").train()
    model.readout.bn.eval()
    modes = [module.training for module in model.modules()]
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    x = noise(5, 1)
    with torch.inference_mode():
        gradmap = model.waveform_gradmap(x)
    assert not gradmap.requires_grad
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not x.requires_grad


def test_what_a_waveform_gradmap_refuses():
    model = listener()
    with pytest.raises(RuntimeError, match="takes spectrograms"):
        Linear(6, 3).waveform_gradmap(torch.zeros(40))
    for shape in [(2, 40), (2, 1, 40), (1, 1, 1, 40), ()]:
        with pytest.raises(ValueError, match="one waveform"):
            model.waveform_gradmap(torch.zeros(shape))
    with pytest.raises(ValueError, match="multiple of hop"):
        model.waveform_gradmap(torch.zeros(41))
    with pytest.raises(ValueError, match="'mean'"):
        model.waveform_gradmap(torch.zeros(40), reduce="mean")
    with pytest.raises(IndexError, match="no neuron 3: the model has 3"):
        model.waveform_gradmap(torch.zeros(40), neuron=3)
    with pytest.raises(TypeError, match="as_tensor"):
        model.waveform_gradmap(np.zeros(40))
