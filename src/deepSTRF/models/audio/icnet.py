"""ICNet: a deep convolutional encoder of the waveform, shared by all neurons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import check_integer, check_positive
from deepSTRF.models.audio.audio_model import AudioEncodingModel
from deepSTRF.models.bin_by_bin import State, step, with_past
from deepSTRF.models.from_recording import shaped_model
from deepSTRF.models.readouts import LinearReadout
from deepSTRF.models.wav2spec.base import WaveformFrontEnd
from deepSTRF.models.wav2spec.sincnet import SincNet
from deepSTRF.registry import ModelCard, Recipe, Settings, register_model

__all__ = ["ICNet"]


def _build(train: Any, val: Any, window_ms: float, **arguments: Any) -> ICNet:
    # A quarter of the published channels: one minute of sound does not need five million parameters.
    options: dict[str, Any] = {"n_filters": 24, "encoder_channels": 32}
    samples = round(train.audio_fs * train.dt / 1000)
    if samples % 16 and not {"n_encoder_layers", "encoder_strides"} & set(arguments):
        options["encoder_strides"] = _strides_of_factors(samples)
        options["n_encoder_layers"] = len(options["encoder_strides"])
    return shaped_model(ICNet, train, window_ms, **options | arguments)


def _strides_of_factors(samples: int) -> list[int]:
    """At most five strides that multiply to the samples of a bin, small ones first.

    Examples
    --------
    >>> _strides_of_factors(220), _strides_of_factors(2**3 * 3 * 5 * 7)
    ([2, 2, 5, 11], [2, 3, 4, 5, 7])
    """
    factors, left, divisor = [], samples, 2
    while left > 1:
        if left % divisor:
            divisor += 1
        else:
            factors.append(divisor)
            left //= divisor
    while len(factors) > 5:
        factors = sorted([factors[0] * factors[1], *factors[2:]])
    return factors or [1]


@register_model(
    ModelCard(
        name="icnet",
        summary="Deep convolutional encoder of the waveform, shared by all neurons",
        paper="Drakopoulos et al. (2025), https://doi.org/10.1038/s42256-025-01104-9",
    ),
    Recipe(Settings(epochs=30, patience=10, lr=1e-3, loss="poisson"), _build),
)
class ICNet(AudioEncodingModel):
    """A model of the inferior colliculus that hears the waveform.

    Learned band-pass filters at the full sampling rate (:class:`~deepSTRF.models.wav2spec.SincNet`) and a symmetric
    logarithm; strided causal convolutions, each with a PReLU with one slope per channel, down to one frame per bin; a
    convolution that leaves `bottleneck_channels` features; a linear layer and a softplus for every neuron. Everything
    in front of that layer is one front end, in the slot ``wav2spec``.

    Of the published model this is the branch of one animal, with a rate as output. There, the output is a distribution
    over spike counts, trained on its cross-entropy; every animal has a branch; the time of recording is one more input,
    for responses that drift; and the first bins, which see the silence before the sound, do not count.

    Parameters
    ----------
    audio_fs : float
        Sampling rate of the waveforms in Hz.
    out_neurons : int
        Number of neurons N.
    dt_ms : float
        Bin in ms; ``audio_fs * dt_ms / 1000`` is a whole number, the total of the strides.
    n_filters, sincnet_kernel_size : int
        Number and taps of the band-pass filters.
    encoder_channels, encoder_kernel_size, n_encoder_layers : int
        Of the strided convolutions.
    bottleneck_channels : int
        Features F that the neurons are read from.
    encoder_strides : sequence of int, optional
        Strides of the convolutions. By default 2 in all but the last, which takes what is left.

    Attributes
    ----------
    wav2spec : torch.nn.Module
        The encoder, with ``encoder_strides``, ``out_channels`` (F) and ``hop``, the samples of a bin.

    Raises
    ------
    ValueError
        If a bin is no whole number of samples, or the strides do not multiply to it; the message says what would.

    References
    ----------
    Drakopoulos, Pellatt, Sabesan, Xia, Fragner & Lesica (2025), Modelling neural coding in the auditory midbrain with
    high resolution and accuracy, https://doi.org/10.1038/s42256-025-01104-9

    Examples
    --------
    >>> import torch
    >>> model = ICNet(audio_fs=16000, out_neurons=10, encoder_channels=8, n_encoder_layers=4)
    >>> model(torch.randn(2, 1, 1600)).shape, model.wav2spec.encoder_strides
    (torch.Size([2, 10, 1, 20]), [2, 2, 2, 10])
    """

    def __init__(
        self,
        audio_fs: float,
        out_neurons: int,
        dt_ms: float = 5.0,
        n_filters: int = 48,
        sincnet_kernel_size: int = 64,
        encoder_channels: int = 128,
        encoder_kernel_size: int = 64,
        n_encoder_layers: int = 5,
        bottleneck_channels: int = 64,
        encoder_strides: Sequence[int] | None = None,
    ) -> None:
        encoder = _WaveformEncoder(
            audio_fs,
            dt_ms,
            n_filters,
            sincnet_kernel_size,
            encoder_channels,
            encoder_kernel_size,
            check_integer("n_encoder_layers", n_encoder_layers),
            bottleneck_channels,
            # A list, as it comes back from a file: a saved model is compared by what it shows.
            None if encoder_strides is None else list(encoder_strides),
        )
        super().__init__(encoder.out_channels, 1, out_neurons, wav2spec=encoder)
        self.readout: LinearReadout = LinearReadout(self.F, self.O, activation=nn.Softplus())

    def _features(self, filtered: Float[Tensor, "B 1 F T"]) -> Float[Tensor, "B F T"]:
        return filtered.squeeze(1)

    def _step_features(self, filtered: Float[Tensor, "B 1 F t"], state: State) -> tuple[Float[Tensor, "B F t"], State]:
        return filtered.squeeze(1), ()


class _CausalConv1d(nn.Conv1d):
    """One output per stride, which sees nothing after the stride's last sample; silence before the onset."""

    def step(self, x: Float[Tensor, "B C t"], state: State = None) -> tuple[Tensor, State]:
        longer, state = with_past(x, state, max(0, self.kernel_size[0] - self.stride[0]))
        return self(longer), state


class _WaveformEncoder(WaveformFrontEnd):
    """From samples to `bottleneck_channels` features per bin; part of ICNet only."""

    def __init__(
        self,
        audio_fs: float,
        dt_ms: float,
        n_filters: int,
        sincnet_kernel_size: int,
        encoder_channels: int,
        encoder_kernel_size: int,
        n_encoder_layers: int,
        bottleneck_channels: int,
        encoder_strides: Sequence[int] | None,
    ) -> None:
        dt_ms = check_positive("dt_ms", dt_ms)
        super().__init__(audio_fs, dt_ms, bottleneck_channels)
        samples = float(audio_fs) * dt_ms / 1000
        if not math.isclose(samples, self.hop, rel_tol=1e-9):
            raise ValueError(
                f"a bin must be a whole number of samples, but audio_fs * dt_ms / 1000 = {samples:g}: resample the "
                "sounds to a rate that divides"
            )
        if encoder_strides is None:
            self.encoder_strides = _default_strides(self.hop, n_encoder_layers)
        else:
            self.encoder_strides = _checked_strides(encoder_strides, self.hop, n_encoder_layers)
        width = check_integer("encoder_channels", encoder_channels)
        taps = check_integer("encoder_kernel_size", encoder_kernel_size)
        self.sincnet = SincNet(
            audio_fs,
            check_integer("n_filters", n_filters),
            check_integer("sincnet_kernel_size", sincnet_kernel_size),
            hop_ms=1000 / float(audio_fs),
            activation="symlog",
        )
        channels = [self.sincnet.out_channels] + [width] * n_encoder_layers
        self.convolutions = nn.ModuleList(
            _CausalConv1d(channels[i], channels[i + 1], taps, stride) for i, stride in enumerate(self.encoder_strides)
        )
        self.activations = nn.ModuleList(nn.PReLU(width) for _ in self.encoder_strides)
        self.bottleneck = _CausalConv1d(width, self.out_channels, taps)

    def _frames(self, waveform: Float[Tensor, "B 1 samples"], state: State) -> tuple[Float[Tensor, "B F t"], State]:
        pasts = iter((None,) * (len(self.encoder_strides) + 2) if state is None else state)
        x, past = self.sincnet.step(waveform, next(pasts))
        x, states = x.squeeze(1), [past]
        for convolution, activation in zip(self.convolutions, self.activations, strict=True):
            x, past = step(convolution, x, next(pasts))
            x = activation(x)
            states.append(past)
        x, past = self.bottleneck.step(x, next(pasts))
        return x, (*states, past)


def _default_strides(total: int, n_layers: int) -> list[int]:
    """2 in all layers but the last, which takes what is left."""
    last, rest = divmod(total, 2 ** (n_layers - 1))
    if rest:
        possible = next(n for n in range(n_layers, 0, -1) if total % 2 ** (n - 1) == 0)
        raise ValueError(
            f"a bin of {total} samples cannot be reached with strides of 2 in {n_layers - 1} layer(s) and what is left "
            f"in the last: use n_encoder_layers={possible} or fewer, or give encoder_strides that multiply to {total}"
        )
    return [2] * (n_layers - 1) + [last]


def _checked_strides(strides: Sequence[int], total: int, n_layers: int) -> list[int]:
    checked = [check_integer("encoder_strides", stride) for stride in strides]
    if len(checked) != n_layers or math.prod(checked) != total:
        raise ValueError(
            f"encoder_strides must be {n_layers} numbers, one per layer, that multiply to the {total} samples per bin; "
            f"got {checked} with the product {math.prod(checked)}"
        )
    return checked
