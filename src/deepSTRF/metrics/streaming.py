r"""The metrics as ``torchmetrics.Metric`` objects: fed batch by batch, exact, and merged over processes.

Every class calls the functional metric's own two halves (:class:`~deepSTRF.metrics.statistics.Measure`): ``update``
adds the sufficient statistics of a batch, ``compute`` applies the formula. So for every way to cut the stimuli into
batches or to deal them to processes, ``compute`` gives the functional metric on all data together, from a state of a
few float64 numbers per neuron.

All take the same call, ``update(pred, responses, mask=None)`` with ``(B, N, 1, T)`` and ``(B, N, R, T)``, so that any
of them go together into a ``torchmetrics.MetricCollection`` (where those with the same statistics share one state).
:class:`SignalPower`, :class:`NoisePower`, :class:`SNR` and :class:`NoiseCeiling` are about the responses alone and do
not look at ``pred``; outside of a collection it may be None. B, R and T may differ between batches. N may not: it is
learned from the first batch, and kept until ``reset()``.

``compute()`` gives ``(N,)`` in float32 (or a scalar, with ``reduction``); undefined is NaN. In a distributed run it
gives every process the value of all; each process may have seen other batches, other numbers of repeats, or nothing.

Everything else is torchmetrics': ``forward``, ``reset``, ``merge_state``, ``persistent`` (whether the state is part of
``state_dict``), ``to(device)``, pickling, and the keyword arguments of every class (``**torchmetrics``):
``sync_on_compute``, ``dist_sync_on_step``, ``process_group``, ``dist_sync_fn``, ``compute_with_cache`` and so on. State
stays in float64 whatever dtype the module around it is cast to.

torchmetrics is imported by this module only: ``deepSTRF.metrics`` itself and the Fitter do without it.
"""

from __future__ import annotations

from typing import Any

from deepSTRF.metrics import correlation, losses, reliability
from deepSTRF.metrics._streaming import FixedMetric, StreamingMetric

__all__ = [
    "FVE",
    "SNR",
    "Corrcoef",
    "MSELoss",
    "NoiseCeiling",
    "NoisePower",
    "NormalizedCorrcoef",
    "PoissonLoss",
    "SignalPower",
    "StreamingMetric",
]


class Corrcoef(FixedMetric):
    r"""Pearson correlation between prediction and PSTH; streaming :func:`~deepSTRF.metrics.corrcoef`.

    .. math:: CC = \frac{\mathrm{cov}(\hat y, \bar y)}{\sqrt{\mathrm{var}(\hat y)\,\mathrm{var}(\bar y)}}

    Shapes: ``update`` takes ``(B, N, 1, T)`` and ``(B, N, R, T)``; ``compute`` gives ``(N,)``. State: 7 numbers per
    neuron.

    Parameters
    ----------
    reduction : {'none', 'mean', 'sum'}
        Over the defined neurons.
    **torchmetrics
        Options of ``torchmetrics.Metric``.

    Raises
    ------
    ValueError
        For an unknown reduction or option; see ``update`` for the data.

    Examples
    --------
    >>> import torch
    >>> metric = Corrcoef()
    >>> metric.update(torch.tensor([[[[1.0, 5.0]]]]), torch.tensor([[[[0.0, 2.0]]]]))
    >>> metric.update(torch.tensor([[[[3.0, 9.0]]]]), torch.tensor([[[[1.0, torch.nan]]]]))
    >>> metric.compute()
    tensor([1.])
    """

    higher_is_better = True
    fixed = correlation.CORRCOEF


class FVE(FixedMetric):
    r"""Fraction of the PSTH's variance that the prediction explains; streaming :func:`~deepSTRF.metrics.fve`.

    .. math:: FVE = 1 - \frac{\sum_t (\bar y_t - \hat y_t)^2}{\sum_t (\bar y_t - \langle\bar y\rangle)^2}

    Shapes, parameters, errors and state as :class:`Corrcoef`.

    Examples
    --------
    >>> import torch
    >>> metric = FVE()
    >>> for response in (0.0, 2.0, 4.0):
    ...     metric.update(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), response))
    >>> metric.compute()
    tensor([-1.5000])
    """

    higher_is_better = True
    fixed = correlation.FVE


class NormalizedCorrcoef(StreamingMetric):
    r"""Correlation relative to what is explainable; streaming :func:`~deepSTRF.metrics.normalized_corrcoef`.

    .. math:: CC_{norm} = \frac{\mathrm{cov}(\hat y, \bar y)}{\sqrt{\mathrm{var}(\hat y)\,SP}}
       \quad\text{('schoppe')}, \qquad CC_{norm} = CC / CC_{max} \quad\text{('hsu')}

    Shapes as :class:`Corrcoef`. State: 10 to 13 numbers per neuron, with ``'concatenated'`` 7 + 5 R².

    Parameters
    ----------
    method, signal_power, ccmax_iters
        As in :func:`~deepSTRF.metrics.normalized_corrcoef`, with the same errors.
    reduction, **torchmetrics
        As in :class:`Corrcoef`.

    Examples
    --------
    >>> import torch
    >>> metric = NormalizedCorrcoef()
    >>> metric.update(torch.tensor([[[[1.0, 5.0, 3.0]]]]), torch.tensor([[[[0.0, 2.0, 1.0], [0.0, 2.0, 1.0]]]]))
    >>> metric.compute()
    tensor([1.])
    """

    higher_is_better = True

    def __init__(
        self,
        method: str = "schoppe",
        signal_power: str = "per_stimulus",
        ccmax_iters: int = 126,
        reduction: str = "none",
        **torchmetrics: Any,
    ) -> None:
        measure = correlation.normalized_corrcoef_measure(method, signal_power, ccmax_iters)
        super().__init__(measure, reduction, **torchmetrics)


class NoiseCeiling(StreamingMetric):
    r"""Correlation with the PSTH that a perfect model would reach; streaming :func:`~deepSTRF.metrics.noise_ceiling`.

    .. math:: \sqrt{SP / \mathrm{var}(\bar y)}

    with :math:`SP` the signal power.

    Shapes as :class:`Corrcoef`, but ``pred`` is not used. State: 13 numbers per neuron, or 7 + 5 R².

    Parameters
    ----------
    signal_power : {'per_stimulus', 'concatenated'}
        As in :func:`~deepSTRF.metrics.normalized_corrcoef`, with the same errors.
    reduction, **torchmetrics
        As in :class:`Corrcoef`.

    Examples
    --------
    >>> import torch
    >>> NoiseCeiling()(None, torch.tensor([[[[0.0, 1.0, 4.0], [0.0, 1.0, 4.0]]]]))
    tensor([1.])
    """

    higher_is_better = True

    def __init__(self, signal_power: str = "per_stimulus", reduction: str = "none", **torchmetrics: Any) -> None:
        super().__init__(correlation.noise_ceiling_measure(signal_power), reduction, **torchmetrics)


class SignalPower(FixedMetric):
    r"""Variance over time of what repeats; streaming :func:`~deepSTRF.metrics.signal_power`.

    .. math:: SP = \frac{R\,\mathrm{var}(\bar y) - TP}{R - 1}

    with :math:`TP` the mean variance of single repeats.

    Shapes, parameters and errors as :class:`Corrcoef`, but ``pred`` is not used. State: 6 numbers per neuron.

    Examples
    --------
    >>> import torch
    >>> SignalPower()(None, torch.tensor([[[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]]]))
    tensor([1.])
    """

    fixed = reliability.SIGNAL_POWER


class NoisePower(FixedMetric):
    """Variance over time of what differs between repeats; streaming :func:`~deepSTRF.metrics.noise_power`.

    .. math:: NP = TP - SP

    Symbols, shapes, parameters, errors and state as :class:`SignalPower`.

    Examples
    --------
    >>> import torch
    >>> NoisePower()(None, torch.tensor([[[[0.0, 2.0], [2.0, 0.0]]]]))
    tensor([4.])
    """

    fixed = reliability.NOISE_POWER


class SNR(FixedMetric):
    r"""Signal power over noise power; streaming :func:`~deepSTRF.metrics.snr`.

    .. math:: SNR = \frac{SP}{TP - SP}

    Symbols, shapes, parameters, errors and state as :class:`SignalPower`.

    Examples
    --------
    >>> import torch
    >>> SNR()(None, torch.tensor([[[[0.0, 2.0, 4.0], [1.0, 2.0, 6.0]]]]))
    tensor([10.])
    """

    higher_is_better = True
    fixed = reliability.SNR


class MSELoss(FixedMetric):
    r"""Mean squared error between prediction and PSTH; streaming :func:`~deepSTRF.metrics.mse_loss`.

    .. math:: \frac{1}{T} \sum_t (\hat y_t - \bar y_t)^2

    over the :math:`T` valid bins. It has no gradient: train on the function, report this.
    Shapes, parameters, errors and state as :class:`Corrcoef`.

    Examples
    --------
    >>> import torch
    >>> metric = MSELoss(reduction="mean")
    >>> metric.update(torch.ones(1, 2, 1, 2), torch.tensor([[[[3.0, torch.nan]], [[1.0, 1.0]]]]))
    >>> metric.compute()
    tensor(2.)
    """

    higher_is_better = False
    fixed = correlation.MEAN_SQUARE


class PoissonLoss(StreamingMetric):
    r"""Negative Poisson log-likelihood; streaming :func:`~deepSTRF.metrics.poisson_loss`.

    .. math:: \hat y - y \log \hat y \qquad\text{or, with log\_input,}\qquad e^{\hat y} - y\,\hat y

    averaged over the valid bins. It has no gradient: train on the function, report this. Shapes as :class:`Corrcoef`.
    State: 2 numbers per neuron.

    Parameters
    ----------
    log_input, eps
        As in :func:`~deepSTRF.metrics.poisson_loss`, with the same errors.
    reduction, **torchmetrics
        As in :class:`Corrcoef`.

    Examples
    --------
    >>> import torch
    >>> metric = PoissonLoss(log_input=True)
    >>> metric.update(torch.zeros(1, 1, 1, 3), torch.tensor([[[[0.0, 2.0, torch.nan]]]]))
    >>> metric.compute()
    tensor([1.])
    """

    higher_is_better = False

    def __init__(
        self, log_input: bool = False, eps: float = 1e-8, reduction: str = "none", **torchmetrics: Any
    ) -> None:
        super().__init__(losses.poisson_measure(log_input, eps), reduction, **torchmetrics)
