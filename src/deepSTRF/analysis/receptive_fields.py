"""Receptive fields of fitted models, and how well they agree with known ones.

The sign is always that of the neuron: positive where more sound (or light) means more response. The last lag is the
current bin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from deepSTRF.analysis.gradients import average_gradients, evaluating_unchanged, gradients_at
from deepSTRF.checks import check_integer, describe_type
from deepSTRF.metrics import corrcoef
from deepSTRF.models.ensemble import Ensemble
from deepSTRF.models.frame_model import FrameModel
from deepSTRF.models.readouts import STRFReadout

__all__ = ["is_one_kernel", "receptive_fields", "strf_correlation"]

# A recurrent model sees further than its nominal window of one bin; 30 bins of 5 ms hold most of a cortical field.
DEFAULT_GRADIENT_LAGS = 30


def receptive_fields(
    model: FrameModel, n_lags: int | None = None, stimuli: Any = None, *, stimulus: Tensor | None = None
) -> Float[Tensor, "N *frame T"]:
    """Return the receptive field of every neuron of a model over time, positive where sound or light excites.

    For :class:`~deepSTRF.models.audio.Linear`, :class:`~deepSTRF.models.audio.LinearNonlinear` and
    :class:`~deepSTRF.models.video.VideoLinearNonlinear` this is the exact kernel in front of the output activation,
    with the batch normalisation of eval mode folded in; where an activation falls with its input, the sign is turned.
    For every other model, also for those with a prefiltering, it is the gradient of a response with respect to the
    spectrogram or movie: the kernel that acts like the model for small changes. With `stimuli` it is averaged over what
    the neuron heard or saw; without, it is taken at one point, silence or `stimulus`, and is zero where the model is
    silent there.

    Fields are in the units of the recording: the ``response_scale`` of the model is part of them. The model may be in
    any mode and on any device, and is left exactly as found.

    Parameters
    ----------
    model : AudioEncodingModel or VideoEncodingModel
        The fitted model. A front end (``wav2spec``) is left out: the field is over its output.
    n_lags : int, optional
        Number of lags T. Default: the window of the model, for gradients at least 30 bins (and at most the length of
        `stimulus`). More lags than a kernel has are filled with zeros.
    stimuli : sequence of Tensor (F, T_stim) or (1, F, T_stim), or NeuralDataset, optional
        Spectrograms, (H, W, T_stim) or (C, H, W, T_stim) for movies, over which the gradient is averaged, on the scale
        that the model was trained on: the training stimuli. The average is over at most 256 bins, always the same ones,
        spread evenly, each with its own past; for a data set, over the stimuli to which the neuron has responses (NaN
        where it has none).
    stimulus : Tensor (F, T_stim) or (1, F, T_stim) or (1, 1, F, T_stim), optional
        Spectrogram around which the gradient is taken, on the scale that the model was trained on; (H, W, T_stim), or
        with axes in front of it, for a model of movies. Not together with `stimuli`. Default: silence, that is zeros,
        which is the mean stimulus where stimuli are standardised.

    Returns
    -------
    Tensor
        ``(N, F, T)`` on the CPU; ``(N, H, W, T)`` for movies, ``(N, C, H, W, T)`` for those of several channels. The
        last time index is the current bin. In units of response (for the exact kernel: of the activation's input) per
        unit of the stimulus.

    Raises
    ------
    TypeError
        If `model` is not an :class:`~deepSTRF.models.audio.AudioEncodingModel` or
        :class:`~deepSTRF.models.video.VideoEncodingModel`, `n_lags` is not an integer, or `stimulus` is not a tensor of
        real numbers.
    ValueError
        If `n_lags` is not positive or longer than `stimulus`, a stimulus does not have the model's bands or pixels or
        is not finite, there are none in `stimuli`, or both kinds are given.

    References
    ----------
    Gradients of deep models as receptive fields: Keshishian et al. (2020), Estimating and interpreting nonlinear
    receptive field of sensory neural responses with deep neural network models, https://doi.org/10.7554/eLife.53445

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import receptive_fields
    >>> from deepSTRF.models.audio import Linear
    >>> model = Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=3).eval()
    >>> kernel = receptive_fields(model)
    >>> kernel.shape
    torch.Size([3, 8, 5])
    >>> x = torch.randn(8, 5)  # the change of the response, by hand
    >>> change = (model(x[None, None]) - model(torch.zeros(1, 1, 8, 5)))[0, :, 0, -1]
    >>> torch.allclose(change, (kernel * x).sum((1, 2)), atol=1e-5)
    True
    """
    if not isinstance(model, FrameModel):
        raise TypeError(f"model must be an AudioEncodingModel or a VideoEncodingModel, got {describe_type(model)}")
    n_lags = None if n_lags is None else check_integer("n_lags", n_lags)
    if stimuli is not None and stimulus is not None:
        raise ValueError("give `stimuli` to average over, or one `stimulus` to take the gradient at, not both")
    several = None if stimuli is None else _as_stimuli(stimuli, model)
    if stimulus is None and is_one_kernel(model):
        kernels = _exact_kernels(model.readout).reshape(model.O, *model._frame, model.T)
        if model.response_scale is not None:
            kernels = kernels * model.response_scale.detach().to(kernels).view(-1, *[1] * (kernels.ndim - 1))
        return _with_lags(kernels.squeeze(1), model.T if n_lags is None else n_lags)  # one channel needs no axis
    if several is not None:
        tensors, heard = several
        if n_lags is None:
            n_lags = min(max(model.T, DEFAULT_GRADIENT_LAGS), max(tensor.shape[-1] for tensor in tensors))
        return average_gradients(model, tensors, heard, n_lags).squeeze(1)
    if stimulus is None:
        n_lags = max(model.T, DEFAULT_GRADIENT_LAGS) if n_lags is None else n_lags
        stimulus = torch.zeros(1, *model._frame, n_lags)
    else:
        stimulus = _as_stimulus(stimulus, model)
        if n_lags is None:
            n_lags = min(max(model.T, DEFAULT_GRADIENT_LAGS), stimulus.shape[-1])
        if n_lags > stimulus.shape[-1]:
            raise ValueError(f"n_lags is {n_lags}, but the stimulus has only {stimulus.shape[-1]} bins")
    return gradients_at(model, stimulus).squeeze(1)[..., -n_lags:].clone()


def strf_correlation(
    true: Float[Tensor, "N *frame T_true"], recovered: Float[Tensor, "N *frame T_recovered"]
) -> Float[Tensor, " N"]:
    """Correlate receptive fields with known ones, neuron by neuron.

    Pearson correlation over all bands (or pixels) and lags. Where the numbers of lags differ, both are aligned at the
    current bin and the shorter one is filled with zeros in the past, so that what it misses counts against it.

    Parameters
    ----------
    true, recovered : Tensor (N, F, T) or (N, H, W, T)
        Receptive fields; the last time index is the current bin. The numbers of lags may differ.

    Returns
    -------
    Tensor
        ``(N,)``; NaN where a field has a NaN or is constant.

    Raises
    ------
    TypeError
        If they are not arrays of real numbers.
    ValueError
        If their shapes differ in more than the number of lags.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.analysis import strf_correlation
    >>> true = torch.randn(3, 34, 20)
    >>> true[2] = float("nan")
    >>> strf_correlation(true, 5 * true)
    tensor([1., 1., nan])
    """
    true, recovered = _as_fields("true", true), _as_fields("recovered", recovered)
    if true.ndim < 3 or true.shape[:-1] != recovered.shape[:-1]:
        raise ValueError(
            "true and recovered must be (N, F, T) with the same N and F, or (N, H, W, T) with the same N, H and W, "
            f"got {tuple(true.shape)} and {tuple(recovered.shape)}"
        )
    n_lags = max(true.shape[-1], recovered.shape[-1])
    x, y = (
        _with_lags(fields.detach().cpu().double(), n_lags).flatten(1)[None, :, None] for fields in (true, recovered)
    )
    # for the metric NaN means missing data; a field with a NaN has no correlation
    undefined = ~(x.isfinite() & y.isfinite()).all(-1).flatten()
    return corrcoef(x, y, reduction="none").masked_fill(undefined, torch.nan).float()


def _as_fields(name: str, values: object) -> Tensor:
    try:
        fields = torch.as_tensor(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array (N, F, T), but is ragged: {error}") from error
    except (TypeError, RuntimeError) as error:
        raise TypeError(
            f"{name} must be an array (N, F, T) of numbers, got {describe_type(values)}: {error}"
        ) from error
    if fields.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {fields.dtype}")
    return fields


def is_one_kernel(model: FrameModel) -> bool:
    """Whether the model is one convolution with the stimulus and an activation."""
    return (
        not isinstance(model, Ensemble)
        and isinstance(model.readout, STRFReadout)
        and isinstance(model.prefiltering, nn.Identity)
        and isinstance(model.core, nn.Identity)
        and model.readout.strf.C_in * model.readout.strf.F == math.prod(model._frame)
    )


def _exact_kernels(readout: nn.Module) -> Float[Tensor, "N C F T"]:
    if not isinstance(readout, STRFReadout):
        raise TypeError(f"expected an STRFReadout, got {type(readout).__name__}")
    with torch.no_grad():
        kernel, _ = readout.effective_kernel()
        return kernel * _activation_direction(readout).to(kernel)[:, None, None, None]


def _activation_direction(readout: STRFReadout) -> Float[Tensor, " N"]:
    """+1 for the neurons whose activation rises with its input, −1 where it falls.

    It is read off over the range that the batch normalisation gives to the input, three standard deviations around its
    mean: the slope at one point would be zero for a rectifier.
    """
    activation = readout.activation
    if isinstance(activation, nn.Identity):
        return torch.ones(readout.bn.num_features)
    mean, deviation = readout.bn.bias.detach(), readout.bn.weight.detach().abs()
    with evaluating_unchanged(activation):
        # (B, T, N) as in the readout: two bins, the low end and the high end
        ends = torch.stack([mean - 3 * deviation, mean + 3 * deviation])[None]
        low, high = activation(ends)[0].cpu()
    return torch.where(high < low, -1.0, 1.0)


def _as_stimuli(stimuli: Any, model: FrameModel) -> tuple[list[Tensor], Bool[Tensor, "S N"]]:
    """Stimuli of a list or a data set, as the model takes them, and which of them each neuron heard."""
    heard = None
    if hasattr(stimuli, "stims") and hasattr(stimuli, "nrn_masks"):
        stimuli, heard = stimuli.stims, torch.as_tensor(stimuli.nrn_masks).bool().cpu()
    if not isinstance(stimuli, Sequence):
        raise TypeError(f"stimuli must be a list of tensors or a NeuralDataset, got {describe_type(stimuli)}")
    if len(stimuli) == 0:
        raise ValueError("stimuli is empty: there is nothing to average over")
    tensors = [_as_stimulus(one, model, f"stimuli[{s}]") for s, one in enumerate(stimuli)]
    if heard is None:
        heard = torch.ones(len(tensors), model.O, dtype=torch.bool)
    if heard.shape != (len(tensors), model.O):
        raise ValueError(
            f"stimuli is a data set of {heard.shape[-1]} neurons and the model has {model.O}: give the data that it "
            "was fitted to, or a list of stimuli"
        )
    return tensors, heard


def _as_stimulus(stimulus: Tensor, model: FrameModel, name: str = "stimulus") -> Float[Tensor, "1 *frame T"]:
    if not isinstance(stimulus, Tensor) or stimulus.is_complex():
        came = stimulus.dtype if isinstance(stimulus, Tensor) else type(stimulus).__name__
        raise TypeError(f"{name} must be a tensor of real numbers, got {came}")
    shape, expected = tuple(stimulus.shape), (1, *model._frame)
    left_out = len(expected) + 1 - len(shape)  # axes of length 1 in front
    if left_out not in range(3) or (1,) * left_out + shape[:-1] != expected or shape[-1] < 1:
        sizes = ", ".join(map(str, expected[2:] if expected[1] == 1 else expected[1:]))
        raise ValueError(f"{name} must be one of the model's {model._stimuli}, ({sizes}, T), got shape {shape}")
    if not bool(stimulus.isfinite().all()):
        raise ValueError(f"{name} has NaN or infinite values: there is no gradient around it")
    return stimulus.detach().reshape(*expected, -1)


def _with_lags(kernels: Float[Tensor, "*shape T"], n_lags: int) -> Float[Tensor, "*shape n_lags"]:
    """Keep the latest `n_lags` lags, or fill up with zeros in the past."""
    missing = n_lags - kernels.shape[-1]
    return torch.nn.functional.pad(kernels, (missing, 0)).clone()  # a negative padding crops
