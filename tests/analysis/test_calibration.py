"""Coverage and type-I error on simulations: benchmarks/statistics_table.py with fewer runs."""

import importlib.util
from pathlib import Path

import pytest
from scipy.stats import binomtest

PATH = Path(__file__).parents[2] / "benchmarks" / "statistics_table.py"
SPEC = importlib.util.spec_from_file_location("statistics_table", PATH)
TABLE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(TABLE)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "simulate", "expected", "part"), TABLE.CASES, ids=[case[0] for case in TABLE.CASES])
def test_share_is_as_expected(name, simulate, expected, part):
    share, n = TABLE.measure(simulate, max(4, round(part * 40)), seed=1)
    interval = binomtest(round(share * n), n).proportion_ci(0.999)
    assert interval.low <= expected[1]
    assert interval.high >= expected[0]
