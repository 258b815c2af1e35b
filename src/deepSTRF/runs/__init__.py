"""Whole runs: from the files of a recording to a folder with a fitted model, its scores and its figures.

This is what ``deepstrf fit`` calls; in a script or notebook:

>>> from deepSTRF.runs import FitOptions
>>> FitOptions(dataset="ns1", model="statenet", data="../shared/data/ns1").split is None  # the data set's own
True
"""

from deepSTRF.runs.evaluate import Evaluation, evaluate_run
from deepSTRF.runs.fit import RunResult, fit_run
from deepSTRF.runs.options import FitOptions, Interrupted, RunError

__all__ = ["Evaluation", "FitOptions", "Interrupted", "RunError", "RunResult", "evaluate_run", "fit_run"]
