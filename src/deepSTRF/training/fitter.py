"""The training loop: train, evaluate, stop early, keep the best.

It is opt-in and small on purpose. Whatever it does not do (several GPUs, mixed precision, curricula) is yours to write:
subclass a step of it, or write the loop by hand with the same metrics and losses.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deepSTRF.checks import check_device
from deepSTRF.files import expand_path, prepare_file, remove_leftovers
from deepSTRF.metrics import corrcoef, mse_loss, normalized_corrcoef
from deepSTRF.metrics.blocks import average_repeats
from deepSTRF.metrics.running import recognise
from deepSTRF.modes import evaluating
from deepSTRF.training.arguments import (
    check_arguments,
    check_batch,
    check_loader,
    check_loss,
    check_prediction,
)
from deepSTRF.training.checkpoint import load_state, save_state
from deepSTRF.training.optimizers import checked_optimizer, checked_scheduler
from deepSTRF.training.per_cell import PerCellSnapshots
from deepSTRF.training.resume import (
    check_plain,
    check_whole,
    damage_named,
    describe,
    identity,
    load_training,
    random_state,
    resume_path,
    set_random_state,
)
from deepSTRF.training.scoring import PassScores, as_score
from deepSTRF.training.scoring import pad_and_cat as _pad_and_cat  # noqa: F401  the name that 0.1.0 showed

__all__ = ["Fitter", "NonFiniteLossError", "UnknownMonitorError"]

Batch = Mapping[str, Any]
Metric = Callable[[Tensor, Tensor], Tensor]
Epoch = dict[str, Any]


class NonFiniteLossError(RuntimeError):
    """The training loss became NaN or infinite; the message names the epoch and the batch."""


class UnknownMonitorError(KeyError):
    """The monitor is not among the keys of the epoch dict; the message lists them."""

    def __str__(self) -> str:  # KeyError would print the message quoted
        return str(self.args[0])


def _print_epoch(epoch_dict: Epoch) -> None:
    print(_format_epoch(epoch_dict), flush=True)


class Fitter:
    """Train a model on batches of a neural recording, and keep the weights of its best epoch.

    Every epoch is one pass over `train_loader` with gradient steps and one over `val_loader` without. Batches are the
    dicts of :func:`deepSTRF.utils.neural_collate`: ``stims`` go into the model, ``responses`` ``(B, N, R, T)`` with NaN
    for missing data go into the loss. Metrics are computed over all batches of a pass at once, never averaged over
    batches, so that the batch size does not change a score.

    Parameters
    ----------
    model : nn.Module
        Maps ``stims`` to predictions ``(B, N, 1, T)``. Where it has a method ``detach()``, it is called after every
        batch, in training and in evaluation, so that a stateful model cannot back-propagate into the past.
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
    scheduler : torch.optim.lr_scheduler.LRScheduler, ReduceLROnPlateau or callable, optional
        Of this optimizer, or ``optimizer -> scheduler``. It is stepped once per epoch; ``ReduceLROnPlateau`` sees the
        monitor.
    max_grad_norm : float, optional
        Scale the gradients of a step down to this norm where theirs is larger.
    device : str or torch.device
        Where the model and the batches go.
    max_epochs, patience : int
        Train for at most `max_epochs`, and stop after `patience` epochs in a row without improvement.
    monitor : str
        Key of the epoch dict that decides what "better" means; a per-neuron value counts by its mean over the neurons
        where it is defined.
    mode : {"max", "min"}
        Whether a higher or a lower `monitor` is better. Only a strict improvement counts; NaN never does.
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
        Keep the best weights in memory and restore them at the end. Without it and without `ckpt_path`, the weights of
        the last epoch stay.
    resume : bool
        After every epoch, write the complete state of the training to ``<ckpt_path>.resume`` (atomically), and begin
        with what is there: on the CPU, a killed training that is started again by the same script ends with the same
        history and weights, bit for bit, as one that was never killed. Only `max_epochs` may have changed.

    Attributes
    ----------
    history : list of dict
        One dict per epoch: ``epoch`` (from 0), ``train_loss``, ``train_<metric>``, ``val_loss``, ``val_<metric>``.
    best_epoch : int or None
        The epoch that was kept, None as long as the monitor was never defined.
    best_score : float
        The monitor of that epoch.
    start_epoch : int
        The epoch with which the last :meth:`fit` began; above 0 where it was resumed.
    stopped : bool
        Whether :meth:`stop` ended it before `max_epochs` or `patience` did.

    Raises
    ------
    ValueError
        For a bad `mode`, `patience`, `max_epochs` or `max_grad_norm`, a metric called ``loss``, a `device` that is not
        there, an optimizer that holds none of the model's parameters, a scheduler of another optimizer, and `resume`
        without `ckpt_path`. When work begins, for an empty loader, an iterator that would be used up after one epoch,
        batches without ``stims`` or ``responses``, predictions that don't match the responses, and a loss that is more
        than one number or depends on no parameter.
    TypeError
        For a model, function, path or device that is none, and what should be a tensor but isn't.

    Notes
    -----
    ``train_loss`` is the mean of the batch losses, each batch counting the same; ``val_loss`` is the loss of all
    validation batches together. Training metrics come from predictions made in train mode while the weights moved: they
    are there to see overfitting, not to be published.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> from deepSTRF.datasets.simulated import SimulatedDataset
    >>> from deepSTRF.models.audio import Linear
    >>> from deepSTRF.training import Fitter, set_random_seed
    >>> from deepSTRF.utils import neural_collate
    >>> dataset = SimulatedDataset(n_neurons=4, n_stims=6, duration_s=1.0)
    >>> train, val, test = dataset.split("holdout:1")
    >>> loaders = [DataLoader(part, batch_size=2, collate_fn=neural_collate) for part in (train, val)]
    >>> set_random_seed(0)
    >>> model = Linear(n_frequency_bands=dataset.F, temporal_window_size=10, out_neurons=4)
    >>> fitter = Fitter(model, *loaders, max_epochs=2, restore_best=True, log_fn=None)
    >>> history = fitter.fit()
    >>> sorted(history[0])
    ['epoch', 'train_cc', 'train_cc_norm', 'train_loss', 'val_cc', 'val_cc_norm', 'val_loss']
    >>> history[-1]["val_cc"].shape
    torch.Size([4])
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
        log_fn: Callable[[Epoch], Any] | None = _print_epoch,
        track_train_metrics: bool = True,
        track_per_cell_best: bool = False,
        restore_best: bool = False,
        resume: bool = False,
    ) -> None:
        check_arguments(
            model=model,
            loss_fn=loss_fn,
            val_metrics=val_metrics,
            log_fn=log_fn,
            mode=mode,
            patience=patience,
            max_epochs=max_epochs,
            max_grad_norm=max_grad_norm,
            ckpt_path=ckpt_path,
            resume=resume,
        )
        self.device = check_device(device)
        self.model = model.to(self.device)
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.loss_fn = loss_fn
        self.val_metrics = dict(_default_val_metrics() if val_metrics is None else val_metrics)
        self.optimizer = checked_optimizer(optimizer, model)
        self.scheduler = checked_scheduler(scheduler, self.optimizer, mode)
        # As they are now: while training they move, and a fit() that was interrupted may be called again.
        self.begun_with = {"optimizer": describe(self.optimizer), "scheduler": describe(self.scheduler)}
        self.max_grad_norm = max_grad_norm
        self.max_epochs = max_epochs
        self.patience = patience
        self.monitor = monitor
        self.mode = mode
        self.ckpt_path = None if ckpt_path is None else expand_path(ckpt_path, "ckpt_path")
        self.log_fn = log_fn
        self.track_train_metrics = track_train_metrics
        self.track_per_cell_best = track_per_cell_best
        self.restore_best = restore_best
        self.resume = resume
        self._resume_path = resume_path(self.ckpt_path) if resume and self.ckpt_path is not None else None
        self.history: list[Epoch] = []
        self.best_epoch: int | None = None
        self.best_score = math.nan
        self.start_epoch = 0
        self.stopped = False

    # ------------------------------------------------------------------ the loop

    def fit(self) -> list[Epoch]:
        """Train until `patience` or `max_epochs` runs out, then restore the best epoch.

        Returns
        -------
        list of dict
            One dict per epoch, also kept as ``history``. Per-neuron values are ``(N,)`` tensors on the CPU.
            The model is left in eval mode.

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
            if self.stopped or self._patience_is_out():
                break
            try:
                epoch_dict = self.run_epoch(epoch)
            except NonFiniteLossError:
                self.restore()
                raise
            self.history.append(epoch_dict)
            self.on_epoch_end(epoch, epoch_dict)
            value = self._monitored(epoch_dict)
            self.keep_best(epoch, value)
            self._step_scheduler(value)
            if self._resume_path is not None:
                self._save_training(self._resume_path)
        self.stopped = self.stopped and len(self.history) < self.max_epochs and not self._patience_is_out()
        self.restore()
        self.model.eval()
        return self.history

    def stop(self) -> None:
        """End :meth:`fit` after the present epoch, as if its patience were out. Safe in a signal handler."""
        self.stopped = True

    def run_epoch(self, epoch: int) -> Epoch:
        """Train once over the training batches, evaluate on the validation batches, return the epoch dict."""
        train = self.train_epoch(epoch)
        val = self.evaluate(self.val_loader)
        return {
            "epoch": epoch,
            **{f"train_{name}": value for name, value in train.items()},
            **{f"val_{name}": value for name, value in val.items()},
        }

    def train_epoch(self, epoch: int) -> Epoch:
        """Take a gradient step on every training batch; return the mean loss and the training metrics."""
        self.model.train()
        losses, scores = [], PassScores(self.val_metrics if self.track_train_metrics else {})
        for batch in self.train_loader:
            losses.append(self.train_step(batch, scores))
            del batch  # gone before the loader makes the next one
        return {"loss": _mean_loss(losses, epoch), **scores.compute()}

    def train_step(self, batch: Batch, scores: PassScores) -> Tensor:
        """Forward, backward and one optimizer step on a batch, which is added to `scores`; return the detached loss."""
        self.optimizer.zero_grad()
        pred, responses = self.forward(batch)
        # the library's losses compare with the PSTH: where the metrics need it too, the repeats are averaged once
        psth = average_repeats(responses) if self._loss_is_running() else None
        scores.update(pred.detach(), responses, psth)
        loss = self.compute_loss(pred, responses if psth is None else psth)
        check_loss(loss)
        loss.backward()
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        self.optimizer.step()
        _detach_state(self.model)
        return loss.detach()

    def evaluate(self, loader: Iterable[Batch]) -> Epoch:
        """Loss and metrics of the model as it is, over all batches of `loader` together.

        The model runs in eval mode without gradients; the mode of each of its modules is restored.

        Returns
        -------
        dict
            ``loss`` and every metric, without prefix; per-neuron values are ``(N,)`` tensors on the CPU.
        """
        scores = PassScores({"loss": self._evaluation_loss(), **self.val_metrics})
        with evaluating(self.model), torch.no_grad():
            for batch in loader:
                scores.update(*self.forward(batch))
                _detach_state(self.model)
                del batch
            values = scores.compute()
        return {**values, "loss": _to_scalar(values["loss"])}

    # ------------------------------------------------------------------ steps to override

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Move a batch to the device and predict its responses; one with a key ``onset`` carries the state over."""
        stims, responses = (tensor.to(self.device, non_blocking=True) for tensor in check_batch(batch))
        pred = self._predict_chunk(stims, batch["onset"]) if "onset" in batch else self.model(stims)
        check_prediction(pred, responses)
        return pred, responses

    def compute_loss(self, pred: Tensor, responses: Tensor) -> Tensor:
        """Loss of a batch, ``loss_fn(pred, responses)`` unless overridden."""
        return self.loss_fn(pred, responses)

    def on_epoch_end(self, epoch: int, epoch_dict: Epoch) -> None:
        """Called once per epoch, before `monitor` is looked up: add keys to `epoch_dict`, or log elsewhere."""
        if self.log_fn is not None:
            self.log_fn(epoch_dict)

    def keep_best(self, epoch: int, value: Tensor | float) -> None:
        """Keep the weights if `value` is a strict improvement of the monitor; keep single neurons where asked."""
        if self.track_per_cell_best:
            self._per_cell_snapshots.update(value, self.monitor)
        score = _to_scalar(value)
        if math.isnan(score):
            undefined = int(torch.as_tensor(value).isnan().sum())
            warnings.warn(
                f"epoch {epoch}: {self.monitor} is undefined for {undefined} of {torch.as_tensor(value).numel()}; "
                "it counts as no improvement. Check that the validation stimuli have responses, with repeats if the "
                "metric needs them, and that the predictions are not constant",
                stacklevel=3,
            )
            return
        if self.best_epoch is not None and not (
            score > self.best_score if self.mode == "max" else score < self.best_score
        ):
            return
        self.best_epoch, self.best_score = epoch, score
        if self.ckpt_path is not None:
            save_state(self.model.state_dict(), self.ckpt_path)
        if self.restore_best or self.resume:
            self._best_state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def restore(self) -> None:
        """Return to the best epoch of this fit, and on top of it each neuron to its own where asked."""
        if self.best_epoch is not None:
            if self.restore_best or self.resume:
                self.model.load_state_dict(self._best_state)
            elif self.ckpt_path is not None:
                self.model.load_state_dict(load_state(self.ckpt_path, self.device))
        if self.track_per_cell_best:
            self._per_cell_snapshots.restore()

    # ------------------------------------------------------------------ inside

    def _start_fit(self) -> None:
        self.history, self.best_epoch, self.best_score = [], None, math.nan
        self.start_epoch, self.stopped = 0, False
        for name, loader in (("train_loader", self.train_loader), ("val_loader", self.val_loader)):
            check_loader(name, loader, self.max_epochs)
        if self.ckpt_path is not None:
            prepare_file(self.ckpt_path, "ckpt_path")
        if self.track_per_cell_best:
            self._per_cell_snapshots = PerCellSnapshots(self.model, self.mode)
        if self._resume_path is not None:
            self._load_training(self._resume_path)

    def _patience_is_out(self) -> bool:
        last_improvement = -1 if self.best_epoch is None else self.best_epoch
        return len(self.history) - 1 - last_improvement >= self.patience

    def _step_scheduler(self, value: Tensor | float) -> None:
        if isinstance(self.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            self.scheduler.step(_to_scalar(value))
        elif self.scheduler is not None:
            self.scheduler.step()

    # ------------------------------------------------------------------ resuming

    def _training_parts(self) -> dict[str, Any]:
        """Everything with a ``state_dict`` that moves while training."""
        parts = {"model": self.model, "optimizer": self.optimizer, "scheduler": self.scheduler}
        if self.track_per_cell_best:
            parts["per_cell"] = self._per_cell_snapshots
        return {name: part for name, part in parts.items() if part is not None}

    def _save_training(self, path: Path) -> None:
        state = {
            "identity": self._identity,
            "history": check_plain(self.history, "history"),
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "best": self._best_state if self.best_epoch is not None else {},
            "random": random_state((self.train_loader, self.val_loader)),
            **{name: part.state_dict() for name, part in self._training_parts().items()},
        }
        save_state(state, path)

    def _load_training(self, path: Path) -> None:
        self._identity = identity(self)
        remove_leftovers(path)
        if not path.exists():
            return
        state = load_training(path, self._identity)
        with damage_named(path):
            if state["best_epoch"] is not None:
                self.model.load_state_dict(state["best"])  # is it whole? It is restored at the end
            for name, part in self._training_parts().items():
                check_whole(state[name], part.state_dict(), name)
                part.load_state_dict(state[name])
            set_random_state(state["random"], (self.train_loader, self.val_loader))
        self.history, self.start_epoch = list(state["history"]), len(state["history"])
        self.best_epoch, self.best_score, self._best_state = state["best_epoch"], state["best_score"], state["best"]
        if self.best_epoch is not None and self.ckpt_path is not None:
            save_state(self._best_state, self.ckpt_path)  # a later epoch that was never finished may have written it

    def _predict_chunk(self, stims: Tensor, onset: bool) -> Tensor:
        """A chunk of a long recording, which goes on where the last one ended."""
        forward_chunk = getattr(self.model, "forward_chunk", None)
        if forward_chunk is None:
            raise TypeError(
                f"the batches are chunks of long recordings, but {type(self.model).__name__} has no method "
                "forward_chunk(stims, *, onset) that carries its state over; a NeuralModel has"
            )
        return forward_chunk(stims, onset=onset)

    def _evaluation_loss(self) -> Metric:
        """What is scored as the loss: an overridden `compute_loss` sees all data at once, as any foreign callable."""
        overridden = getattr(self.compute_loss, "__func__", None) is not Fitter.compute_loss
        return self.compute_loss if overridden else self.loss_fn

    def _loss_is_running(self) -> bool:
        """Whether the loss is one of the library's own, for which the PSTH stands for the repeats."""
        return recognise(self._evaluation_loss()) is not None

    def _monitored(self, epoch_dict: Epoch) -> Tensor | float:
        if self.monitor not in epoch_dict:
            raise UnknownMonitorError(
                f"monitor {self.monitor!r} is not in the epoch dict, whose keys are {sorted(epoch_dict)}"
            )
        return as_score(f"monitor {self.monitor!r}", epoch_dict[self.monitor])


def _default_val_metrics() -> dict[str, Metric]:
    """Correlation with the PSTH and its noise-corrected form, one value per neuron."""
    return {
        "cc": functools.partial(corrcoef, reduction="none"),
        "cc_norm": functools.partial(normalized_corrcoef, method="schoppe", reduction="none"),
    }


def _detach_state(model: nn.Module) -> None:
    detach = getattr(model, "detach", None)
    if detach is not None:
        detach()


def _mean_loss(losses: list[Tensor], epoch: int) -> float:
    """Mean of the batch losses; they come to the CPU here, once per epoch."""
    if not losses:
        raise ValueError("train_loader gave no batch in this epoch. Does the data set's selection match any stimulus?")
    values = torch.stack(losses).double().cpu()
    finite = values.isfinite()
    if not finite.all():
        batch = int((~finite).nonzero()[0])
        raise NonFiniteLossError(
            f"the training loss is {values[batch]:g} in epoch {epoch}, batch {batch} of {len(losses)}. Lower the "
            "learning rate, and look for infinite values in the data and for batches in which every response is missing"
        )
    return float(values.mean())


def _to_scalar(value: Tensor | float) -> float:
    """Mean over the defined entries as a float; NaN where there is none."""
    if not isinstance(value, Tensor):
        return float(value)
    return float(value.detach().double().nanmean()) if value.numel() else math.nan


def _format_epoch(epoch_dict: Mapping[str, Any]) -> str:
    """``'epoch 0003 | train_loss=0.1234 | val_cc=0.5678'``: one line, per-neuron values as their mean."""
    fields = [f"epoch {int(epoch_dict.get('epoch', 0)):04d}"]
    for name, value in epoch_dict.items():
        if name != "epoch":
            number = isinstance(value, (int, float, Tensor))
            fields.append(f"{name}={_to_scalar(value):.4f}" if number else f"{name}={value}")
    return " | ".join(fields)
