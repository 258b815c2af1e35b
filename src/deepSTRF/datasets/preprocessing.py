"""Preprocessing that knows about missing data: standardising, smoothing, normalising, neuron quality.

Everything replaces tensors and never writes into them, so that data sets which share tensors stay apart. Statistics
are accumulated in float64, one stimulus at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from deepSTRF.checks import check_choice, check_positive
from deepSTRF.datasets.indices import check_indices
from deepSTRF.datasets.packed import PackedResponses
from deepSTRF.datasets.quality import measured
from deepSTRF.datasets.response_block import ResponseBlock
from deepSTRF.datasets.smoothing import convolved_where_known, hann_taps
from deepSTRF.datasets.storage import RecordingStorage
from deepSTRF.metrics.reliability import SNR, ccmax_measure

__all__ = ["PreprocessableRecording"]

_ROUNDING = 1e-7  # of float32: what is left of the deviations of a constant


class PreprocessableRecording(RecordingStorage):
    """A recording that can be standardised, smoothed, normalised and rated."""

    stim_normalization: dict[str, Any]
    stim_normalizations: tuple[dict[str, Any], ...] = ()  # all that were applied, in their order
    response_normalization: dict[str, Any]

    def standardize_stims(
        self, stim_indices: Iterable[SupportsIndex] | None = None, per_band: bool = True, eps: float = 1e-8
    ) -> dict[str, Any]:
        """Subtract the mean of the stimuli and divide by their standard deviation. Calling it twice does it twice.

        Parameters
        ----------
        stim_indices : iterable of int, optional
            Stimuli that mean and deviation are taken from: give those of the training part. All where not given. They
            are applied to all stimuli in any case.
        per_band : bool
            One mean and deviation per band (axis -2), else one for everything.
        eps : float
            A band whose deviation is below this part of that of the others is constant: it is divided by theirs, so
            that it does not explode where it changes after all.

        Returns
        -------
        dict
            ``mean`` and ``std`` (unbiased; shape (1, F, 1), or scalars), ``per_band``, ``stim_indices``. Also kept as
            ``stim_normalization``.

        Raises
        ------
        TypeError, IndexError
            If an index is not an integer, or there is no such stimulus.
        ValueError
            If there are no stimuli to take statistics from, they differ in bands, or `eps` is not positive.

        Examples
        --------
        >>> import torch
        >>> from deepSTRF.datasets import NeuralDataset
        >>> ds = NeuralDataset.from_arrays([torch.rand(4, 50)] * 2, [torch.rand(1, 2, 50)] * 2, dt_ms=5.0)
        >>> stats = ds.standardize_stims(stim_indices=[0])
        >>> stats["mean"].shape, bool(ds.stims[0].mean(-1).abs().max() < 1e-5)
        (torch.Size([1, 4, 1]), True)
        """
        return self._standardize(stim_indices, eps, (-2,) if per_band else (), per_band)

    def _standardize(
        self, stim_indices: Iterable[SupportsIndex] | None, eps: float, own_axes: tuple[int, ...], per_band: bool
    ) -> dict[str, Any]:
        """Standardise, each place along `own_axes` with a mean and a deviation of its own."""
        check_positive("eps", eps)
        chosen = self._chosen_stims(stim_indices)
        stims = [self.stims[s] for s in chosen]
        sizes = {stim.shape[:-1] for stim in self.stims}
        if len(sizes) > 1:
            raise ValueError(f"stimuli can differ in time only to be standardised, got the shapes {sorted(sizes)} x T")
        axes = [axis for axis in range(-stims[0].ndim, 0) if axis not in own_axes]
        count = sum(stim.numel() for stim in stims) // math.prod(stims[0].shape[axis] for axis in own_axes)
        total = torch.zeros([], dtype=torch.float64, device=stims[0].device)
        for stim in stims:
            total = total + stim.sum(axes, keepdim=True, dtype=torch.float64)
        mean = total / count
        squares = torch.zeros_like(mean)
        for stim in stims:
            squares += (stim.double() - mean).square().sum(axes, keepdim=True)
        std = _divisors((squares / max(count - 1, 1)).sqrt(), mean, eps)
        if not own_axes:
            mean, std = mean.reshape(()), std.reshape(())
        # in half precision the smallest deviation would be rounded to 0
        mean, std = mean.to(stims[0].dtype), std.to(stims[0].dtype).clamp(min=torch.finfo(stims[0].dtype).tiny)
        self.stims = [(stim - mean) / std for stim in self.stims]
        self.stim_normalization = {
            "mean": mean,
            "std": std,
            "per_band": per_band,
            "stim_indices": None if stim_indices is None else chosen,
        }
        self.stim_normalizations = (*self.stim_normalizations, self.stim_normalization)
        return self.stim_normalization

    def smooth_responses(self, window_ms: float = 21.0, *, unit_gain: bool = False) -> None:
        """Smooth all responses with a Hann window, leaving missing bins out of the window.

        Without missing bins this is :func:`~deepSTRF.datasets.smoothing.hanning_smooth`, zero-padded at both ends
        and with a window of peak 1, so that rates grow by the sum of the window (twofold for 21 ms in bins of 5 ms).
        Around missing bins the weight of the known ones is scaled up. Missing bins stay missing.

        Parameters
        ----------
        window_ms, unit_gain
            As in :func:`~deepSTRF.datasets.smoothing.hanning_smooth`.

        Raises
        ------
        ValueError
            If `window_ms` is not positive and finite.

        Warns
        -----
        UserWarning
            If the window is so short for these bins that it does not smooth.

        Examples
        --------
        >>> import torch
        >>> from deepSTRF.datasets import NeuralDataset
        >>> ds = NeuralDataset.from_arrays([torch.rand(4, 5)], [torch.eye(5)[None, 2:3]], dt_ms=5.0)
        >>> ds.smooth_responses()
        >>> ds.responses[0][0]
        tensor([[0.0000, 0.5000, 1.0000, 0.5000, 0.0000]])
        """
        taps = hann_taps(window_ms, self.dt, unit_gain, stacklevel=2)
        self._replace_responses(lambda block: convolved_where_known(block.values, taps))

    def normalize_responses(
        self, method: str = "max", stim_indices: Iterable[SupportsIndex] | None = None, eps: float = 1e-8
    ) -> dict[str, Any]:
        """Bring the responses of each neuron to a common scale.

        Parameters
        ----------
        method : {'max', 'zscore'}
            'max' divides by the largest absolute value; 'zscore' subtracts the mean and divides by the unbiased
            standard deviation. Over all repeats and bins with data.
        stim_indices : iterable of int, optional
            Stimuli that the statistics are taken from, as for :meth:`standardize_stims`.
        eps : float
            A neuron whose scale is below this part of that of the others never responds: it is divided by theirs.

        Returns
        -------
        dict
            ``method``, ``scale`` (N,), ``offset`` (N,), ``stim_indices``; kept as ``response_normalization``. A neuron
            with fewer than two values keeps its responses: scale 1, offset 0.

        Raises
        ------
        TypeError, IndexError, ValueError
            As :meth:`standardize_stims`, and if `method` is another one.

        Examples
        --------
        >>> import torch
        >>> from deepSTRF.datasets import NeuralDataset
        >>> ds = NeuralDataset.from_arrays([torch.rand(4, 3)], [torch.tensor([[[1.0, 4.0, 2.0]]])], dt_ms=5.0)
        >>> ds.normalize_responses("max")["scale"]
        tensor([4.])
        >>> ds.responses[0][0]
        tensor([[0.2500, 1.0000, 0.5000]])
        """
        check_choice("method", method, ("max", "zscore"))
        check_positive("eps", eps)
        chosen = self._chosen_stims(stim_indices)
        packed = self._packed()
        blocks = [packed[s].block for s in chosen]
        count = self._summed(blocks, lambda values: (values == values).sum((1, 2)))
        offset = torch.zeros(self.N_neurons, dtype=torch.float64)
        if method == "max":
            scale = torch.zeros(self.N_neurons, dtype=torch.float64)
            for block in blocks:
                largest = (
                    block.values.abs().nan_to_num(nan=0.0).amax((1, 2)) if block.n_bins else block.values.sum((1, 2))
                )
                neurons = torch.from_numpy(block.neurons)
                scale[neurons] = torch.maximum(scale[neurons], largest.double().cpu())
        else:
            offset = self._summed(blocks, lambda values: values.nansum((1, 2), dtype=torch.float64)) / count
            squares = self._summed(
                blocks, lambda values, mean: (values.double() - mean).square().nansum((1, 2)), offset
            )
            scale = (squares / (count - 1)).sqrt()
        too_few = count < 2
        offset = torch.where(too_few, 0.0, offset).float()
        scale = torch.where(too_few, 1.0, _divisors(scale, offset, eps)).float()

        def normalized(block: ResponseBlock) -> Tensor:
            neurons = torch.from_numpy(block.neurons)
            per_neuron = (statistic[neurons].to(block.values)[:, None, None] for statistic in (offset, scale))
            shift, divisor = per_neuron
            return (block.values - shift) / divisor

        self._replace_responses(normalized)
        self.response_normalization = {
            "method": method,
            "scale": scale,
            "offset": offset,
            "stim_indices": None if stim_indices is None else chosen,
        }
        return self.response_normalization

    def compute_neuron_quality(self, max_ccmax_iters: int = 126) -> dict[str, Float[Tensor, " N"]]:
        """Rate each neuron: signal-to-noise ratio and half-split ceiling, over all stimuli.

        Equal to :func:`deepSTRF.metrics.snr` and :func:`deepSTRF.metrics.ccmax` on all responses padded into one
        tensor, but only one stimulus is looked at at a time. The values are also written into
        ``nrn_meta[n]['snr']`` and ``nrn_meta[n]['ccmax']``, where that is a dict.

        Parameters
        ----------
        max_ccmax_iters : int
            Most half-splits of the repeats to use.

        Returns
        -------
        dict
            ``snr`` and ``ccmax``, each (N,). A neuron with single trials only has snr NaN and ccmax 1 (nothing says
            otherwise); one without data has NaN for both.

        Raises
        ------
        TypeError, ValueError
            If `max_ccmax_iters` is not a positive integer.

        References
        ----------
        .. [1] Sahani, M. & Linden, J. F. (2003). How linear are auditory cortical responses? Advances in Neural
           Information Processing Systems 15, 125–132.
        .. [2] Hsu, A., Borst, A. & Theunissen, F. E. (2004). Quantifying variability in neural responses and its
           application for the validation of model predictions. Network 15, 91–109. doi:10.1088/0954-898X_15_2_002

        Examples
        --------
        >>> import torch
        >>> from deepSTRF.datasets import NeuralDataset
        >>> response = torch.tensor([[0.0, 2.0, 4.0], [1.0, 2.0, 6.0]])
        >>> ds = NeuralDataset.from_arrays([torch.rand(4, 3)], [[response, None]], dt_ms=5.0)
        >>> ds.compute_neuron_quality()["snr"]
        tensor([10., nan])
        """
        snr, ccmax = measured(self._packed().blocks(), self.N_neurons, SNR, ccmax_measure(max_ccmax_iters))
        quality = {"snr": snr.float(), "ccmax": ccmax.float()}
        for name, values in quality.items():
            for meta, value in zip(self.nrn_meta, values.tolist(), strict=True):
                if isinstance(meta, MutableMapping):
                    meta[name] = value
        return quality

    def _chosen_stims(self, stim_indices: Iterable[SupportsIndex] | None) -> list[int]:
        if stim_indices is None:
            chosen = list(range(len(self.stims)))
        else:
            chosen = check_indices(stim_indices, len(self.stims), "stimulus")
        if not chosen:
            raise ValueError("there are no stims to take statistics from: stim_indices (or the data set) is empty")
        return chosen

    def _summed(
        self, blocks: list[ResponseBlock], of: Callable[..., Tensor], per_neuron: Float[Tensor, " N"] | None = None
    ) -> Float[Tensor, " N"]:
        """Sum over stimuli of a statistic per neuron, in float64; `of` may take a value per neuron too."""
        total = torch.zeros(self.N_neurons, dtype=torch.float64)
        for block in blocks:
            if block.n_bins == 0:
                continue
            neurons = torch.from_numpy(block.neurons)
            if per_neuron is None:
                part = of(block.values)
            else:
                part = of(block.values, per_neuron[neurons].to(block.values.device)[:, None, None])
            total[neurons] += part.double().cpu()
        return total

    def _replace_responses(self, change: Callable[[ResponseBlock], Tensor]) -> None:
        """Give every block new values; missing pairs are in no block and stay as they are.

        So that noise ceilings are those of the new values, the uncut recording of a data set in blocks gets them too.
        """
        if self.uncut is not None:
            self.uncut = self.uncut.subset(range(self.uncut.get_S()))
            self.uncut._replace_responses(change)
        blocks = [block.replaced(change(block)) if block.n_bins else block for block in self._packed().blocks()]
        self.responses = PackedResponses(blocks, self.N_neurons)


def _divisors(deviation: Tensor, mean: Tensor, eps: float) -> Tensor:
    """Deviations to divide by: that of the others, or 1, in place of one that is 0 but for rounding."""
    known = deviation.nan_to_num(nan=0.0)
    reference = known.square().mean().sqrt()
    constant = (known <= eps * reference) | (known <= _ROUNDING * mean.abs())
    others = known[~constant]
    replacement = others.square().mean().sqrt() if len(others) else torch.ones_like(reference)
    return torch.where(constant, replacement, known)
