"""What a run is asked to do: the options of ``deepstrf fit``, and the errors that are the user's to mend."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FitOptions", "Interrupted", "RunError"]


class RunError(ValueError):
    """Something that the user can mend; the command line prints it as one line and exits with code 2."""


class Interrupted(RunError):
    """The user ended a run after an epoch; its folder is ready to go on."""


@dataclass(frozen=True)
class FitOptions:
    """The options of one run; None means the recipe's default.

    Parameters
    ----------
    dataset, model : str
        Names that ``deepstrf datasets`` and ``deepstrf models`` list.
    data : str, optional
        Folder of the recording's files.
    dt_ms : float, optional
        Bin width in ms; default: that of the data set.
    split : str, optional
        A protocol of the data set, or ``"holdout:K"``.
    seed : int
        Seed of the initialisation and of the order of the batches.
    device : str
        ``"cpu"``, ``"cuda"``, ...
    threads : int
        Of torch on the CPU. The steps of these models are too small to share: with two threads they are a little
        faster where both cores are free, and many times slower where one is busy.
    epochs, patience, batch_size : int, optional
        Length of the training.
    lr, weight_decay : float, optional
        Of AdamW.
    loss : {"mse", "poisson"}, optional
        What is minimised.
    monitor : str, optional
        Key of the epoch dict that early stopping watches; ``val_loss`` is minimised, anything else maximised.
    """

    dataset: str = "simulated"
    model: str = "linear-nonlinear"
    data: str | None = None
    dt_ms: float | None = None
    split: str | None = None
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    epochs: int | None = None
    patience: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    weight_decay: float | None = None
    loss: str | None = None
    monitor: str | None = None
