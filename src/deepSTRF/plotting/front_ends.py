"""A front end next to the spectrogram that it should reproduce."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from deepSTRF.checks import check_integer, describe_type
from deepSTRF.plotting import _style
from deepSTRF.plotting._arrays import Array, as_spectrogram, check_frequencies, correlation

__all__ = ["compare_wav2spec_to_groundtruth"]


def compare_wav2spec_to_groundtruth(
    ds: Any,
    wav2spec: nn.Module,
    stim_idx: int = 0,
    *,
    ground_truth_stims: Sequence[Array] | None = None,
    z_score: bool = True,
    figsize: tuple[float, float] | None = None,
    suptitle: str | None = None,
    frequencies_hz: Array | Sequence[float] | None = None,
) -> tuple[Tensor, Tensor, Figure]:
    """Draw what a front end makes of a waveform above the spectrogram of the same sound that came with the recording.

    Parameters
    ----------
    ds : NeuralDataset
        With waveforms as stimuli, as ``return_waveform=True`` gives.
    wav2spec : torch.nn.Module
        The front end, ``(B, 1, T_audio)`` to ``(B, 1, F, T)``. It is put in eval mode.
    stim_idx : int
        Which stimulus.
    ground_truth_stims : sequence of arrays (F, T) or (1, F, T)
        The spectrograms of all stimuli, for instance ``stims`` of the same data set without waveforms. Required.
    z_score : bool
        Bring both to mean 0 and standard deviation 1; they then share the colour scale.
    figsize : (float, float), optional
        Size of the figure in inches.
    suptitle : str, optional
        Title of the figure; the correlation of the two is appended where they have the same number of bands.

    frequencies_hz : array (F,), optional
        Centre frequency of each band of the ground truth, rising; default ``ds.frequencies_hz`` where there is one for
        each. Those of the front end are its ``centres_hz``.

    Returns
    -------
    pred, truth : Tensor
        What is drawn: ``(F, T)`` of the front end, and of the ground truth, cut to the shorter of the two.
    fig : Figure
        Not known to pyplot; keep it with ``fig.savefig``.

    Raises
    ------
    TypeError
        If `wav2spec` is not a module.
    ValueError
        If there is no ground truth, the stimulus is not a waveform, or a shape is wrong.
    IndexError
        If there is no such stimulus.

    Examples
    --------
    >>> import torch
    >>> from types import SimpleNamespace
    >>> from deepSTRF.models.wav2spec import CausalGammatone, CausalMelSpectrogram
    >>> sound = torch.randn(1, 8000)
    >>> dataset = SimpleNamespace(stims=[sound], dt=5.0)  # stands for a recording with return_waveform=True
    >>> published = CausalMelSpectrogram(8000, n_mels=20)(sound[None])[0]
    >>> pred, truth, fig = compare_wav2spec_to_groundtruth(
    ...     dataset, CausalGammatone(8000, n_filters=20), ground_truth_stims=[published]
    ... )
    >>> pred.shape, truth.shape
    (torch.Size([20, 200]), torch.Size([20, 200]))
    """
    if not isinstance(wav2spec, nn.Module):
        raise TypeError(f"wav2spec must be a torch.nn.Module, got {describe_type(wav2spec)}")
    if ground_truth_stims is None:
        raise ValueError(
            "there is nothing to compare with: pass ground_truth_stims, the spectrograms of all stimuli, as the stims "
            "of the same data set without return_waveform"
        )
    index = check_integer("stim_idx", stim_idx, least=None)
    for name, stims in (("ds", ds.stims), ("ground_truth_stims", ground_truth_stims)):
        if not -len(stims) <= index < len(stims):
            raise IndexError(f"there is no stimulus {index}: {name} has {len(stims)}")
    waveform = torch.as_tensor(ds.stims[index])
    if waveform.ndim != 2 or waveform.shape[0] != 1:
        raise ValueError(
            f"stimulus {index} must be a waveform (1, T_audio), got shape {tuple(waveform.shape)}: open the data set "
            "with return_waveform=True"
        )
    truth = torch.from_numpy(as_spectrogram(ground_truth_stims[index], f"ground_truth_stims[{index}]")).float()
    pred = _frames(wav2spec, waveform)
    n_bins = min(pred.shape[1], truth.shape[1])
    pred, truth = pred[:, :n_bins], truth[:, :n_bins]
    if z_score:
        pred, truth = _standardise(pred), _standardise(truth)
    return pred, truth, _draw(pred, truth, ds, wav2spec, z_score, figsize, suptitle, frequencies_hz)


def _frames(wav2spec: nn.Module, waveform: Tensor) -> Tensor:
    own = next((t for t in (*wav2spec.parameters(), *wav2spec.buffers()) if t.is_floating_point()), waveform)
    wav2spec.eval()  # stays so, as in 0.1.0
    with torch.no_grad():
        frames = wav2spec(waveform.to(own)[None])
    if frames.ndim != 4 or frames.shape[:2] != (1, 1):
        raise ValueError(f"wav2spec must give spectrograms (B, 1, F, T), got shape {tuple(frames.shape)} for B = 1")
    return frames[0, 0].cpu().float()


def _standardise(spectrogram: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1; NaN, that is grey, where nothing varies."""
    centred = spectrogram - spectrogram.mean()
    return centred / centred.square().mean().sqrt()


def _draw(
    pred: Tensor,
    truth: Tensor,
    ds: Any,
    wav2spec: nn.Module,
    z_score: bool,
    figsize: tuple[float, float] | None,
    suptitle: str | None,
    frequencies_hz: Any,
) -> Figure:
    n_bins, dt = pred.shape[1], getattr(ds, "dt", None)
    _, end, time_label = _style.times(n_bins, dt)
    fig = _style.new_figure((min(12.0, max(6.5, n_bins / 150.0)), 4.6) if figsize is None else figsize)
    panels = fig.subplots(2, 1, sharex=True)
    finite = torch.cat([pred.flatten(), truth.flatten()])
    finite = finite[finite.isfinite()]
    limits = (float(finite.min()), float(finite.max())) if z_score and len(finite) else None
    centres = getattr(wav2spec, "centres_hz", None)
    published = getattr(ds, "frequencies_hz", None) if frequencies_hz is None else frequencies_hz
    if frequencies_hz is None and published is not None and len(published) != len(truth):
        published = None  # of other spectrograms than these
    bands = (
        None if centres is None else check_frequencies(centres, len(pred)),
        check_frequencies(published, len(truth)),
    )
    names = (type(wav2spec).__name__, "ground truth")
    for ax, values, name, frequencies in zip(panels, (pred, truth), names, bands, strict=True):
        image = _style.draw_image(ax, values.double().numpy(), (0.0, end), "magma", limits)
        label = _style.label_frequencies(ax, frequencies, len(values))
        ax.set_ylabel(label, fontsize=_style.LABEL_SIZE)
        ax.set_title(name, fontsize=_style.LABEL_SIZE)
        bar = fig.colorbar(image, ax=ax, pad=0.01, aspect=12)
        bar.ax.tick_params(labelsize=_style.TICK_SIZE)
        bar.outline.set_visible(False)
        bar.set_label("z-score" if z_score else "value", fontsize=_style.LABEL_SIZE)
    panels[0].tick_params(bottom=False, labelbottom=False)
    panels[1].set_xlabel(time_label, fontsize=_style.LABEL_SIZE)
    title = [] if suptitle is None else [suptitle]
    if pred.shape == truth.shape:
        r = correlation(pred, truth)
        title.append(f"correlation {r:.2f}" if math.isfinite(r) else "correlation undefined")
    _style.set_figure_title(fig, ", ".join(title))
    return fig
