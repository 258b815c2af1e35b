"""ICNet: its strides and size, what reaches it, and that it is saved and streamed with its encoder."""

import pytest
import torch
from model_zoo import ZOO, waveforms
from torch.nn import functional

from deepSTRF.models import NeuralModel, wav2spec
from deepSTRF.models.audio import ICNet
from deepSTRF.testing import check_model

small = ZOO["icnet"].make


@pytest.mark.parametrize(
    ("audio_fs", "dt_ms", "n_layers", "strides"),
    [
        (6400, 5.0, 5, [2, 2, 2, 2, 2]),
        (16000, 5.0, 5, [2, 2, 2, 2, 5]),
        (32000, 5.0, 5, [2, 2, 2, 2, 10]),
        (48000, 5.0, 5, [2, 2, 2, 2, 15]),
        (24414.0625, 1.31072, 5, [2, 2, 2, 2, 2]),  # of the paper
        (7000, 1.0, 1, [7]),
        (16000, 1.0, 5, [2, 2, 2, 2, 1]),
    ],
)
def test_strides_by_default(audio_fs, dt_ms, n_layers, strides):
    model = ICNet(audio_fs, 2, dt_ms, n_filters=2, encoder_channels=2, n_encoder_layers=n_layers)
    assert model.wav2spec.encoder_strides == strides
    assert model.wav2spec.out_channels == 64
    n_samples = 3 * model.wav2spec.hop
    assert model(torch.randn(1, 1, n_samples)).shape == (1, 2, 1, 3)


def test_explicit_strides(tmp_path):
    model = ICNet(8000, 2, n_filters=2, encoder_channels=2, n_encoder_layers=2, encoder_strides=(8, 5))
    assert model.wav2spec.encoder_strides == [8, 5]
    assert model.wav2spec.hop == 40
    again = NeuralModel.from_pretrained(model.save_pretrained(tmp_path))  # from JSON, where there are no tuples
    waveform = torch.randn(1, 1, 120)
    assert torch.equal(again(waveform), model.eval()(waveform))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"audio_fs": 7000, "dt_ms": 1.0}, "bin of 7 samples.*n_encoder_layers=1"),
        ({"audio_fs": 20000, "dt_ms": 1.0}, "n_encoder_layers=3"),
        ({"audio_fs": 44100, "dt_ms": 5.0}, "puts 220.5 samples into a bin .*: resample"),
        ({"audio_fs": 8000, "encoder_strides": [2, 2, 2, 2, 2]}, r"multiply to the 40 samples per bin.* product 32"),
        ({"audio_fs": 8000, "encoder_strides": [8, 5]}, "5 numbers, one per layer"),
        ({"audio_fs": 8000, "encoder_strides": [2, 2, 2, 5, 0]}, "encoder_strides"),
        ({"audio_fs": 0}, "audio_fs"),
        ({"audio_fs": 8000, "dt_ms": -5.0}, "dt_ms"),
        ({"audio_fs": 8000, "n_encoder_layers": 0}, "n_encoder_layers"),
        ({"audio_fs": 8000, "n_encoder_layers": 3, "bottleneck_channels": 0}, "number of bands"),
        ({"audio_fs": 8000, "n_encoder_layers": 3, "out_neurons": 0}, "out_neurons"),
    ],
)
def test_settings_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ICNet(**{"out_neurons": 2, "n_filters": 2, "encoder_channels": 2} | arguments)


@pytest.mark.slow
def test_the_published_size():
    model = ICNet(48000, 10)
    convolutions = 48 * 128 * 64 + 4 * 128 * 128 * 64 + 128 * 64 * 64 + 5 * 128 + 64
    assert model.count_trainable_params() == 2 * 48 + convolutions + 5 * 128 + 64 * 10 + 10 == 5_113_898
    assert model.STRF_gradmap().shape == (10, 1, 64, 1)


def test_the_encoder_is_the_layers_one_after_the_other():
    model = small().eval()
    encoder = model.wav2spec
    x = waveforms(2, 6)
    with torch.no_grad():
        h = functional.conv1d(functional.pad(x, (15, 0)), encoder.sincnet.kernels().unsqueeze(1))
        h = h.sign() * h.abs().log1p()
        for convolution, activation, stride in zip(encoder.convolutions, encoder.activations, [2, 2, 10], strict=True):
            h = functional.pad(h, (max(0, 8 - stride), 0))
            h = functional.conv1d(h, convolution.weight, convolution.bias, stride)
            h = torch.where(h > 0, h, activation.weight[:, None] * h)
        h = functional.conv1d(functional.pad(h, (7, 0)), encoder.bottleneck.weight, encoder.bottleneck.bias)
        rate = functional.softplus(model.readout.fc(h.transpose(1, 2))).transpose(1, 2).unsqueeze(2)
        torch.testing.assert_close(model(x), rate, atol=1e-6, rtol=1e-5)
    assert (rate > 0).all()


def test_responses_do_not_know_the_samples_after_them():
    model = small().double().eval()
    x = waveforms(1, 8).double().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[..., 3].sum(), x)
    assert (gradient[..., 160:] == 0).all()
    assert gradient[..., 150:160].any()


def test_every_layer_is_registered_once_and_saved(tmp_path):
    model = small().eval()
    names = [name for name, _ in model.named_parameters(remove_duplicate=False)]
    assert len(names) == len(dict(model.named_parameters()))
    assert not any(name.startswith("core") for name in names)
    again = NeuralModel.from_pretrained(model.save_pretrained(tmp_path))
    x = waveforms(2, 5)
    assert torch.equal(again(x), model(x))


def test_bins_in_a_stream_are_those_of_the_whole():
    model = small().eval()
    x = waveforms(2, 9)
    stream = model.stream(batch_size=2)
    pieces = [stream.step(piece) for piece in x.split([40, 40, 120, 160], -1)]
    torch.testing.assert_close(torch.cat(pieces, -1), model(x), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="multiple of hop = 40"):
        stream.step(x[..., :41])


def test_strides_longer_than_the_kernel_keep_the_contract():
    strides = {"encoder_kernel_size": 4, "n_encoder_layers": 2, "encoder_strides": [8, 5]}
    check_model(lambda: small(**strides), make_stimulus=waveforms)


def test_the_encoder_is_no_front_end_to_choose():
    assert not [name for name in dir(wav2spec) if "icnet" in name.lower() or "encoder" in name.lower()]
    with pytest.raises(ValueError, match="icnet"):
        wav2spec.make_wav2spec("icnet", 8000, 5.0)
