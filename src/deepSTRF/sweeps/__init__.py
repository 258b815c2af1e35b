"""Many runs: data sets × models × options × seeds, on this machine or on a cluster."""

from deepSTRF.sweeps.compare import Comparison, compare_models
from deepSTRF.sweeps.config_file import Run, Sweep, read_sweep
from deepSTRF.sweeps.results import Outcome, leaderboard, table
from deepSTRF.sweeps.sweep import run_sweep

__all__ = ["Comparison", "Outcome", "Run", "Sweep", "compare_models", "leaderboard", "read_sweep", "run_sweep", "table"]
