"""Every model on every recording, over seeds or folds, in one table beside what others published."""

from deepSTRF.benchmark.benchmark import Benchmark, run_benchmark
from deepSTRF.benchmark.plan import plan_benchmark
from deepSTRF.benchmark.quoted import Quoted, quoted_scores

__all__ = ["Benchmark", "Quoted", "plan_benchmark", "quoted_scores", "run_benchmark"]
