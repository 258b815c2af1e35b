"""Whole runs: from the files of a recording to a folder with a fitted model, its scores and its figures.

This is what ``deepstrf fit`` calls; in a script or notebook:

>>> from deepSTRF.runs import FitOptions
>>> FitOptions(dataset="ns1", model="statenet", data="../shared/data/ns1").split is None  # the data set's own
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deepSTRF.runs.options import FitOptions, Interrupted, RunError

if TYPE_CHECKING:
    from deepSTRF.runs.evaluate import Evaluation, evaluate_run
    from deepSTRF.runs.fit import fit_run
    from deepSTRF.runs.prediction import Predictions, predict
    from deepSTRF.runs.run import RunResult

__all__ = [
    "Evaluation",
    "FitOptions",
    "Interrupted",
    "Predictions",
    "RunError",
    "RunResult",
    "evaluate_run",
    "fit_run",
    "predict",
]

_MODULES = {
    "Evaluation": "evaluate",
    "evaluate_run": "evaluate",
    "Predictions": "prediction",
    "predict": "prediction",
    "RunResult": "run",
    "fit_run": "fit",
}


def __getattr__(name: str) -> Any:
    """Import what loads torch when it is used: ``deepstrf --help`` needs the options only."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
