"""What is padding is known from the zeros at the end of a model's own input, never guessed from a constant."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from deepSTRF.models.audio import Linear
from deepSTRF.models.layers.normalization import not_padding
from deepSTRF.models.readouts import STRFReadout
from deepSTRF.models.video import Conv3dCore, VideoLinearNonlinear
from deepSTRF.models.wav2spec import make_wav2spec


class Log(nn.Module):
    """A prefiltering for which zero is nothing special."""

    out_channels = 1

    def forward(self, x):
        return torch.log(x.square() + 1e-3)


def ends_in_a_constant(*frame):
    torch.manual_seed(0)
    x = torch.randn(3, *frame, 60)
    x[0, ..., 40:], x[1, ..., 30:] = -1.8, 0.0
    return x


@pytest.mark.parametrize(
    ("make", "frame"),
    [
        (lambda: Linear(8, 5, 3), (1, 8)),
        (lambda: Linear(8, 5, 3, prefiltering=Log()), (1, 8)),
        (lambda: STRFReadout(8, 5, 1, 3), (1, 8)),
        (lambda: VideoLinearNonlinear((4, 5), temporal_window_size=5, out_neurons=3), (1, 4, 5)),
        (lambda: Conv3dCore(1, (2,), (3,), (3,)), (1, 4, 5)),
    ],
)
@pytest.mark.parametrize("padding", [1, 30])
def test_padding_changes_nothing_where_a_stimulus_ends_in_a_constant(make, frame, padding):
    x = ends_in_a_constant(*frame)
    short = make().train()
    long = copy.deepcopy(short)
    expected, got = short(x), long(functional.pad(x, (0, padding)))[..., :60]
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    for (name, one), two in zip(short.named_buffers(), long.buffers(), strict=True):
        torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-6, msg=name)


def test_a_constant_end_enters_the_statistics():
    x = torch.zeros(1, 1, 8, 60)
    x[..., 20:] = 1.0
    model, wanted = Linear(8, 5, 3).train(), nn.BatchNorm1d(3)
    model(x)
    wanted(model.readout.strf(x).squeeze(2))
    torch.testing.assert_close(model.readout.bn.running_mean, wanted.running_mean, rtol=1e-5, atol=1e-6)


def test_chunks_of_a_padded_stimulus_and_the_end_of_a_pass():
    x = ends_in_a_constant(1, 8)
    model = Linear(8, 5, 3).train()
    whole, longer = copy.deepcopy(model), functional.pad(x, (0, 20))
    whole(x)
    model.step(longer)
    torch.testing.assert_close(model.readout.bn.running_var, whole.readout.bn.running_var)
    assert model.readout.bn.known is None


def test_behind_a_front_end_padding_is_known_from_the_samples():
    sounds = torch.randn(2, 1, 400)
    sounds[1, ..., 100:] = 0.0
    assert not_padding(sounds, 10).sum(1).tolist() == [10, 3]  # 40 samples a bin: the third bin has 20 of them
    short = Linear(8, 5, 3, wav2spec=make_wav2spec("mel", audio_fs=8000, dt_ms=5.0, n_mels=8)).train()
    long = copy.deepcopy(short)
    torch.testing.assert_close(long(functional.pad(sounds, (0, 80)))[..., :10], short(sounds), rtol=1e-4, atol=1e-5)
