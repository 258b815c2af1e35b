"""The training loop: train, evaluate, stop early, keep the best.

It is opt-in and small on purpose. Whatever it does not do (several GPUs, mixed precision, curricula) is yours to write:
override a step of it, or write the loop by hand with the same metrics and losses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deepSTRF.checks import check_choice, check_device, check_integer, check_positive
from deepSTRF.files import expand_path, prepare_file
from deepSTRF.lazy import LazyDict
from deepSTRF.metrics import mse_loss
from deepSTRF.metrics.running import RunningScores, pad_and_cat, recognise
from deepSTRF.modes import evaluating
from deepSTRF.training import arguments, epochs, members
from deepSTRF.training.best import KeepsBest
from deepSTRF.training.epochs import Epoch, default_val_metrics, format_epoch, print_epoch, to_scalar
from deepSTRF.training.errors import NonFiniteLossError, UnknownMonitorError
from deepSTRF.training.prediction import detach_state, on_device, predict_batch, with_averages
from deepSTRF.training.resume import SavedTraining
from deepSTRF.training.units import calibrate_new_model, check_first_batch, in_units_of_scale

__all__ = ["Fitter", "NonFiniteLossError", "UnknownMonitorError"]

Batch = Mapping[str, Any]
Metric = Callable[[Tensor, Tensor], Tensor]

_default_val_metrics, _format_epoch = default_val_metrics, format_epoch  # the names that 0.1.0 showed here
_pad_and_cat, _to_scalar = pad_and_cat, to_scalar


class Fitter(KeepsBest):
    """Train a model on batches of a neural recording, and keep the weights of its best epoch.

    Every epoch is one pass over `train_loader` with gradient steps and one over `val_loader` without. Batches are the
    dicts of :func:`deepSTRF.utils.neural_collate`: ``stims`` go into the model, ``responses`` ``(B, N, R, T)`` with NaN
    for missing data go into the loss. Metrics are computed over all batches of a pass at once, never averaged over
    batches, so that the batch size does not change a score.

    A new :class:`~deepSTRF.models.NeuralModel` with a rectified output is calibrated first (see its ``calibrate``), and
    losses are in units of its ``response_scale``, so that the units of the responses do not matter.

    Parameters
    ----------
    model : nn.Module
        Maps ``stims`` to predictions ``(B, N, 1, T)``. Where it has a method ``detach()``, it is called after every
        batch, so that a stateful model cannot back-propagate into the past.
    train_loader, val_loader : iterable of batches
        Usually ``DataLoader(dataset, batch_size, collate_fn=neural_collate)``; each is iterated once per epoch.
    loss_fn : callable
        ``(pred, responses) -> scalar tensor``. Both have the batch's shape; the library's losses average repeats and
        leave missing data out.
    val_metrics : dict of str to callable, optional
        ``(pred, responses) -> (N,)`` or scalar. Default ``{"cc": ..., "cc_norm": ...}``: correlation with the PSTH, and
        the same divided by the noise ceiling (Schoppe et al. 2016).
    optimizer : torch.optim.Optimizer or callable, optional
        Or ``parameters -> optimizer``, such as ``functools.partial(torch.optim.AdamW, lr=3e-3)``. Default AdamW with
        learning rate 1e-3 and weight decay 1e-4.
    scheduler : torch.optim.lr_scheduler.LRScheduler or callable, optional
        Of this optimizer, or ``optimizer -> scheduler``; stepped once per epoch (``ReduceLROnPlateau`` on the monitor).
    max_grad_norm : float, optional
        Scale the gradients of a step down to this norm where theirs is larger.
    device : str or torch.device
        Where the model and the batches go.
    max_epochs, patience : int
        Train for at most `max_epochs`, and stop after `patience` of them in a row without improvement.
    monitor : str
        Key of the epoch dict that decides what is better; a per-neuron value counts by its mean where it is defined.
    mode : {"max", "min"}
        Whether a higher or a lower `monitor` is better. Only a strict improvement counts; NaN never does, nor does an
        epoch in which the monitor is undefined for a neuron that has it in the best epoch.
    ckpt_path : str or Path, optional
        Every improvement writes the model's ``state_dict`` here (atomically; parent folders are made), and the end of
        :meth:`fit` restores it.
    log_fn : callable, optional
        Called with each epoch dict. The default prints one line; None is silent.
    track_train_metrics : bool
        Also compute `val_metrics` on the training batches, from the predictions that were made while training.
    track_per_cell_best : bool
        After the end, each neuron's slice of the readout returns to the epoch at which this neuron's own `monitor` was
        best. With a core that neurons share, the slice is then paired with the core of another epoch.
    restore_best : bool
        Keep the best weights in memory and restore them at the end. Without it and `ckpt_path`, the last ones stay.
    resume : bool
        After every epoch, write the complete state of the training to ``<ckpt_path>.resume`` (atomically), and begin
        with what is there: on the CPU, a killed training that is started again by the same script ends with the same
        history and weights, bit for bit, as one that was never killed. Only `max_epochs` may have changed.

    Attributes
    ----------
    history : list of dict
        One dict per epoch: ``epoch`` (from 0), ``train_loss``, ``train_<metric>``, ``val_loss``, ``val_<metric>``. The
        training loss is the mean of the batch losses, the validation loss that of all batches together. Training
        metrics come from predictions made while the weights moved: they show overfitting and are not to be published.
    best_epoch, best_score : int or None, float
        The epoch that was kept and its monitor; None and NaN as long as the monitor was never defined.
    start_epoch, stopped : int, bool
        The first epoch of the last :meth:`fit`, above 0 where it was resumed; whether :meth:`stop` ended it.

    Raises
    ------
    ValueError
        If an argument is out of range or does not fit the others (an optimizer of another model, `resume` without
        `ckpt_path`); in :meth:`fit`, if a loader is empty or a batch, a prediction or the loss has the wrong shape.
    TypeError
        If an argument, or what a loader, model or loss returns, has the wrong type.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> from deepSTRF.models.audio import Linear
    >>> from deepSTRF.training import Fitter
    >>> from deepSTRF.utils import neural_collate
    >>> dataset = SimulatedDataset(n_neurons=4, n_stims=6, duration_s=1.0)
    >>> train, val, test = dataset.split("holdout:1")
    >>> loaders = [DataLoader(part, batch_size=2, collate_fn=neural_collate) for part in (train, val)]
    >>> model = Linear(n_frequency_bands=dataset.F, temporal_window_size=10, out_neurons=4)
    >>> fitter = Fitter(model, *loaders, max_epochs=2, restore_best=True, log_fn=None)
    >>> history = fitter.fit()
    >>> sorted(history[0])
    ['epoch', 'train_cc', 'train_cc_norm', 'train_loss', 'val_cc', 'val_cc_norm', 'val_loss']
    """

    def __init__(
        self,
        model: nn.Module,
        train_loader: Iterable[Batch],
        val_loader: Iterable[Batch],
        *,
        loss_fn: Metric = mse_loss,
        val_metrics: Mapping[str, Metric] | None = None,
        optimizer: torch.optim.Optimizer | Callable[..., torch.optim.Optimizer] | None = None,
        scheduler: Any = None,
        max_grad_norm: float | None = None,
        device: str | torch.device = "cpu",
        max_epochs: int = 1000,
        patience: int = 10,
        monitor: str = "val_cc_norm",
        mode: str = "max",
        ckpt_path: str | Path | None = None,
        log_fn: Callable[[Epoch], Any] | None = print_epoch,
        track_train_metrics: bool = True,
        track_per_cell_best: bool = False,
        restore_best: bool = False,
        resume: bool = False,
    ) -> None:
        self.device = check_device(device)
        self.model = arguments.check_model(model).to(self.device)
        self.train_loader, self.val_loader = train_loader, val_loader
        self.loss_fn: Metric = arguments.check_function("loss_fn", loss_fn, "(pred, responses) -> scalar tensor")
        self.val_metrics = arguments.check_metrics(default_val_metrics() if val_metrics is None else val_metrics)
        self.max_grad_norm = None if max_grad_norm is None else check_positive("max_grad_norm", max_grad_norm)
        self.max_epochs, self.patience = check_integer("max_epochs", max_epochs), check_integer("patience", patience)
        self.monitor, self.mode = monitor, check_choice("mode", mode, ("max", "min"))
        self.ckpt_path = None if ckpt_path is None else expand_path(ckpt_path, "ckpt_path")
        self.log_fn = None if log_fn is None else arguments.check_function("log_fn", log_fn, "(epoch_dict), or None")
        self.track_train_metrics, self.track_per_cell_best = track_train_metrics, track_per_cell_best
        self.restore_best, self.resume = restore_best, resume
        self.optimizer = arguments.make_optimizer(optimizer, self.model)
        self.scheduler = arguments.make_scheduler(scheduler, self.optimizer, mode)
        self._saved_training = SavedTraining(self) if resume else None
        self._reset()

    def _reset(self) -> None:
        self.history: list[Epoch] = []
        self._undefined_neurons: list[int] = []  # in the first batch whose loss is not finite
        self.start_epoch, self.stopped = 0, False
        self._forget_best()

    # ------------------------------------------------------------------ the loop

    def fit(self) -> list[Epoch]:
        """Train until `patience` or `max_epochs` runs out, then restore the best epoch.

        Returns
        -------
        list of dict
            The ``history``. Per-neuron values are ``(N,)`` tensors on the CPU. The model is left in eval mode.

        Raises
        ------
        UnknownMonitorError
            A KeyError: `monitor` is not among the keys of the epoch dict; the message lists them.
        NonFiniteLossError
            If the training loss is NaN or infinite. The best weights so far are restored first.
        ResumeError
            If the state to resume from is damaged or belongs to another training.
        """
        self._start_fit()
        for epoch in range(self.start_epoch, self.max_epochs):
            if self.stopped or self.patience_left <= 0:
                break
            try:
                epoch_dict = self.run_epoch(epoch)
            except NonFiniteLossError:
                self.restore()
                raise
            self.history.append(epoch_dict)
            self.on_epoch_end(epoch, epoch_dict)
            value = epochs.monitored_value(epoch_dict, self.monitor)
            self.keep_best(epoch, value)
            self._step_scheduler(value)
            if self._saved_training is not None:
                self._saved_training.save()
        self.stopped = self.stopped and len(self.history) < self.max_epochs and self.patience_left > 0
        self.restore()
        self.model.eval()
        return self.history

    def stop(self) -> None:
        """End :meth:`fit` after the present epoch, as if its patience were out. Safe in a signal handler."""
        self.stopped = True

    @property
    def patience_left(self) -> int:
        """Number of epochs without improvement that are left before :meth:`fit` stops, at 0."""
        last_improvement = -1 if self.best_epoch is None else self.best_epoch
        return self.patience - (len(self.history) - 1 - last_improvement)

    def run_epoch(self, epoch: int) -> Epoch:
        """Train once over the training batches, evaluate on the validation batches, return the epoch dict."""
        parts = {"train": self._train_one_epoch(), "val": self.evaluate(self.val_loader)}
        values = {f"{part}_{name}": value for part, row in parts.items() for name, value in row.items()}
        return {"epoch": epoch, **values}

    def evaluate(self, loader: Iterable[Batch]) -> Epoch:
        """Return ``loss`` and every metric over all batches of `loader` together; per-neuron values are on the CPU.

        The model runs in eval mode without gradients; the mode of each of its modules is restored.
        """
        return self._evaluate(loader)

    # ------------------------------------------------------------------ steps to override

    def _train_one_epoch(self) -> Epoch:
        """Take a gradient step on every training batch; return the mean loss and the training metrics, unprefixed."""
        self.model.train()
        losses, scores = [], RunningScores(self.val_metrics if self.track_train_metrics else {})
        for batch in self.train_loader:
            losses.append(self.train_step(batch, scores))
            del batch  # gone before the loader makes the next one
        return {"loss": epochs.mean_loss(losses, len(self.history), self._undefined_neurons), **scores.compute()}

    def _evaluate(self, loader: Iterable[Batch]) -> Epoch:
        """What :meth:`evaluate` returns."""
        loss, scores = RunningScores({"loss": self._loss_to_score()}), RunningScores(self.val_metrics)
        of_members = members.Scores(self.model, self._monitored())
        with evaluating(self.model), torch.no_grad(), members.apart(self.model):
            for batch in loader:
                each, recorded = self._predicted(batch)
                scaled, target = in_units_of_scale(self.model, each, self._target(recorded))
                scores.update(members.joined(each), recorded)
                loss.update(members.joined(scaled), target)
                of_members.update(*((scaled, target) if self.monitor == "val_loss" else (each, recorded)))
                detach_state(self.model)
                del batch, each, scaled, target, recorded
            return {"loss": to_scalar(loss.compute()["loss"]), **scores.compute(), **of_members.compute()}

    def _monitored(self) -> dict[str, Metric]:
        """The function behind `monitor`; none where that is no score of the validation data."""
        every = {"val_loss": self._loss_to_score(), **{f"val_{name}": each for name, each in self.val_metrics.items()}}
        return {self.monitor: every[self.monitor]} if self.monitor in every else {}

    def train_step(self, batch: Batch, scores: RunningScores) -> Tensor:
        """Forward, backward and one optimizer step on a batch, which is added to `scores`; return the detached loss.

        The members of an ensemble are trained by the sum of their losses; their mean is returned.
        """
        self.optimizer.zero_grad()
        with members.apart(self.model):
            pred, recorded = self._predicted(batch)
        scaled, target = in_units_of_scale(self.model, pred, self._target(recorded))
        losses = [self.compute_loss(of_member, target) for of_member in members.members_of(scaled)]
        for loss in losses:
            arguments.check_loss(loss)
        loss = sum(losses[1:], losses[0])
        # on an accelerator, asking would wait for it
        if loss.device.type == "cpu" and not self._undefined_neurons and not math.isfinite(loss.detach()):
            self._undefined_neurons = epochs.undefined_neurons(members.joined(pred))
        loss.backward()
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        self.optimizer.step()
        # only now that what the backward pass needed is gone from memory
        scores.update(members.joined(pred.detach()), recorded)
        detach_state(self.model)
        return loss.detach() / len(losses)

    def predict(self, batch: Batch) -> Tensor:
        """Predict a batch on the device; one with a key ``onset`` carries the state over."""
        return predict_batch(self.model, on_device(batch, self.device))

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Predictions and responses of a batch, on the device; :meth:`predict` leaves the responses where they are."""
        return self.predict(batch), on_device(batch, self.device)["responses"]

    def compute_loss(self, pred: Tensor, responses: Tensor) -> Tensor:
        """Loss of a batch, ``loss_fn(pred, responses)`` unless overridden."""
        return self.loss_fn(pred, responses)

    def on_epoch_end(self, epoch: int, epoch_dict: Epoch) -> None:
        """Called once per epoch, before `monitor` is looked up: add keys to `epoch_dict`, or log elsewhere."""
        if self.log_fn is not None:
            self.log_fn(epoch_dict)

    def _start_fit(self) -> None:
        self._reset()
        for name, loader in (("train_loader", self.train_loader), ("val_loader", self.val_loader)):
            arguments.check_loader(name, loader, self.max_epochs)
            check_first_batch(self.model, loader)
        if self.ckpt_path is not None:
            prepare_file(self.ckpt_path, "ckpt_path")
        self._begin_keeping()
        if self._saved_training is not None:
            self._saved_training.load()
        if self.start_epoch == 0:
            calibrate_new_model(self.model, self.train_loader, self.loss_fn)

    def _step_scheduler(self, value: Tensor | float) -> None:
        if isinstance(self.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.scheduler.step(to_scalar(value))
        elif self.scheduler is not None:
            self.scheduler.step()

    def _loss_to_score(self) -> Metric:
        """An overridden `compute_loss` sees all data at once, as any callable that is not the library's own."""
        overridden = getattr(self.compute_loss, "__func__", None) is not Fitter.compute_loss
        return self.compute_loss if overridden else self.loss_fn

    def _predicted(self, batch: Batch) -> tuple[Tensor, LazyDict]:
        """Predictions and the batch, on the device; where `forward` is overridden, the responses are those it gives."""
        if getattr(self.forward, "__func__", None) is Fitter.forward:
            batch = on_device(batch, self.device)
            return self.predict(batch), batch
        pred, responses = self.forward(batch)
        return pred, with_averages(LazyDict({"responses": responses}))

    def _target(self, recorded: LazyDict) -> Tensor:
        """What predictions are compared with: PSTHs by the library's losses, repeats by all others."""
        return recorded["responses" if recognise(self._loss_to_score()) is None else "psth"]
