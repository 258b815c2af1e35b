"""The linear-nonlinear model, and how its training starts where the closed form ends."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from deepSTRF.checks import describe_type
from deepSTRF.models.activations import ParametricSoftplus
from deepSTRF.models.audio.linear import Linear
from deepSTRF.models.audio.ridge import fit_ridge, usual_basis
from deepSTRF.models.from_recording import as_batches, shaped_model
from deepSTRF.models.output_stage import ResponseStatistics
from deepSTRF.registry import ModelCard, Recipe, Settings, register_model

__all__ = ["LinearNonlinear", "inverse_softplus", "start_from_ridge"]

_MOST_FEATURES = 12_000  # a ridge of more would take longer than the training that it shortens
_FAR = 2.0  # about fifteen standard deviations of the median neuron


def _build(train: Any, val: Any, window_ms: float, **arguments: Any) -> LinearNonlinear:
    model = shaped_model(LinearNonlinear, train, window_ms, signed_output=_signed_rectifier, **arguments)
    model.set_response_scale(ResponseStatistics(as_batches(train)).scale())
    if train.F * model.T <= _MOST_FEATURES:
        ridge = fit_ridge(train, window_ms=window_ms, n_basis=usual_basis(train, window_ms))
        start_from_ridge(model, ridge, train.stims)
    return model


def _signed_rectifier(n_neurons: int) -> ParametricSoftplus:
    """A soft rectifier whose lower end is far below the responses: it begins as a straight line."""
    activation = ParametricSoftplus(n_neurons, non_negative_output=False)
    with torch.no_grad():
        activation._raw_b.fill_(-_FAR)
    return activation


@register_model(
    ModelCard(
        name="linear-nonlinear",
        summary="One receptive field per neuron and a soft rectifier",
        paper="Chichilnisky (2001), https://doi.org/10.1080/713663221",
    ),
    Recipe(Settings(epochs=60, patience=10, lr=2e-4), _build, fast_nonlinearity=20.0),
)
class LinearNonlinear(Linear):
    """One receptive field per neuron, followed by a static nonlinearity.

    ``y[n, t] = f_n(g[n] · (w[n] * x)[t] + h[n])``; f is :class:`~deepSTRF.models.activations.ParametricSoftplus`
    unless `output_activation` is given.

    Parameters
    ----------
    output_activation : torch.nn.Module, optional
        Acts on ``(B, T, N)``.
    n_frequency_bands, temporal_window_size, out_neurons, prefiltering, kernel, wav2spec
        See :class:`Linear`.

    References
    ----------
    Chichilnisky (2001), A simple white noise analysis of neuronal light responses,
    https://doi.org/10.1080/713663221

    Examples
    --------
    >>> import torch
    >>> model = LinearNonlinear(n_frequency_bands=34, temporal_window_size=9, out_neurons=119)
    >>> bool((model(torch.randn(2, 1, 34, 100)) > 0).all())
    True
    """

    @staticmethod
    def _default_activation(n_neurons: int) -> nn.Module:
        return ParametricSoftplus(n_neurons)


def start_from_ridge(model: LinearNonlinear, ridge: Linear, stims: Iterable[Float[Tensor, "1 F T"]]) -> None:
    """Give an LN model the receptive fields of a ridge fit, on a scale on which it trains well.

    On a few minutes of recording, gradient descent from random kernels needs care to get past ridge at all (see
    docs/reference/recipes.md). Started here, it only has to learn the nonlinearity and to adjust.

    The kernels are scaled to unit variance of the drive over `stims`; the batch normalisation is frozen and holds mean
    and scale, so that the input of the activation is the ridge prediction in units of the model's ``response_scale``;
    the softplus gets its bend at the scale of the drive.

    Parameters
    ----------
    model : LinearNonlinear
        Changed in place. Its activation must be a :class:`~deepSTRF.models.activations.ParametricSoftplus`.
    ridge : Linear
        Of :func:`deepSTRF.models.fit_ridge`, with the same bands, window and neurons.
    stims : iterable of Tensor (1, F, T)
        The training stimuli.

    Raises
    ------
    ValueError
        If the two models differ in shape, `model` has another activation or kernel, or the stimuli are fewer than two
        bins or give `ridge` predictions that are not finite. `model` is as it was then.
    TypeError
        If one of the two is not a linear model.

    Examples
    --------
    >>> import torch
    >>> from deepSTRF.models.audio import Linear, LinearNonlinear
    >>> ridge = Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=3).eval()
    >>> model = LinearNonlinear(n_frequency_bands=8, temporal_window_size=5, out_neurons=3)
    >>> stims = [torch.randn(1, 8, 100)]
    >>> start_from_ridge(model, ridge, stims)
    >>> drive = model.readout.bn(model.readout.strf(stims[0][None]).squeeze(2))
    >>> torch.allclose(drive, ridge(stims[0][None])[:, :, 0], atol=1e-5)
    True
    """
    for name, value in (("model", model), ("ridge", ridge)):
        if not isinstance(value, Linear):
            raise TypeError(f"{name} must be a Linear or LinearNonlinear, got {describe_type(value)}")
    readout = model.readout
    shapes = [(m.F, m.T, m.O, m.C_in) for m in (model, ridge)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"the models must agree in (F, T, neurons, channels): got {shapes[0]} and {shapes[1]}")
    if not isinstance(readout.activation, ParametricSoftplus):
        raise ValueError(f"the output activation must be ParametricSoftplus, got {type(readout.activation).__name__}")
    if not isinstance(readout.strf.kernel, nn.Conv2d) or readout.strf.kernel.bias is None:
        raise ValueError("the model must have the default kernel, with a bias")
    kernel, offset = ridge.readout.effective_kernel()
    unit = torch.ones(model.O) if model.response_scale is None else model.response_scale.cpu()
    kernel, offset = kernel / unit[:, None, None, None], offset / unit
    lowest = readout.activation.b.detach().cpu() if not readout.activation.non_negative_output else 0.0
    with torch.no_grad():
        stims = list(stims)
        n_bins = sum(stim.shape[-1] for stim in stims)
        if n_bins < 2:
            raise ValueError(f"stims must have at least two bins to scale the drive by, got {len(stims)} stimuli")
        # one prediction at a time: together they are as large as the recording
        drive = ResponseStatistics({"responses": ridge(stim[None])} for stim in stims)
        if bool((drive.count < n_bins).any()):
            raise ValueError(
                "the predictions of ridge for stims are not finite: look for NaN in its kernels and in stims"
            )
        mean, scale = drive.mean / unit, drive.deviation * math.sqrt(n_bins / (n_bins - 1)) / unit
        # a neuron without data has no drive; what is left of a constant is rounding
        scale = torch.where(scale > 1e-7 * mean.abs(), scale, torch.ones_like(scale))
        readout.strf.kernel.weight.copy_(kernel / scale[:, None, None, None])
        readout.strf.kernel.bias.copy_((offset - mean) / scale)
        readout.bn.running_mean.zero_()
        readout.bn.running_var.fill_(1 - readout.bn.eps)
        readout.bn.weight.copy_(scale)
        readout.bn.bias.copy_(mean - lowest)
        readout.activation._raw_beta.copy_(inverse_softplus(1 / scale))
    readout.freeze_normalization()


def inverse_softplus(value: Tensor) -> Tensor:
    """The x of softplus(x) = value; beyond 20 they are equal in float32."""
    return torch.where(value > 20, value, torch.log(torch.expm1(value.clamp(min=math.ulp(1.0)))))
