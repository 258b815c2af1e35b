"""The page of a benchmark in a browser; skipped where playwright or Chromium is missing."""

import math

import pytest

from deepSTRF.analysis import Interval
from deepSTRF.benchmark.page import benchmark_page
from deepSTRF.benchmark.quoted import quoted_scores
from deepSTRF.benchmark.rows import COLUMNS, Standing

pytestmark = pytest.mark.slow
TEST = ("test_cc", "test_cc_norm", "test_cc_norm_concatenated", "val_cc", "val_cc_norm", "test_ceiling")


def standing(model, score, n_seeds=1, **others):
    row = dict.fromkeys(COLUMNS) | {"run": f"ns1-{model}-seed0", "status": "complete", "dataset": "ns1"}
    row |= {"model": model, "split": "checkpoint", "seed": 0, "neurons": 119, "bin_ms": 5.0, "parameters": 1234}
    row |= {"fit_seconds": 9.8, "step_ms": 0.2} | others
    scores = dict.fromkeys(TEST, Interval(score, score - 0.02, score + 0.02, 0.95, 119))
    return Standing([row] * n_seeds, scores, dict.fromkeys(TEST, 0.01 if n_seeds > 1 else math.nan))


@pytest.fixture
def page_file(tmp_path):
    path = tmp_path / "benchmark.html"
    models = [standing("statenet", 0.82, 3), standing("dnet", 0.73, fit_seconds=110.0), standing("a" * 60, 0.6)]
    rows = [row for one in models for row in one.rows]
    rows.append(rows[0] | {"run": "ns1-broken-seed0", "status": "failed", "error": "RuntimeError: " + 300 * "x"})
    rows[-1] |= dict.fromkeys(("test_cc_norm", "fit_seconds", "step_ms"))
    path.write_text(benchmark_page({("ns1", "", "checkpoint"): models}, rows, quoted_scores("ns1")), encoding="utf-8")
    return path


def first_column(page):
    return [text.split("\n")[0] for text in page.locator("#board-0 tbody th").all_inner_texts()]


def test_the_board_sorts_and_undefined_comes_last(page_file, open_page):
    page = open_page(page_file)
    before = first_column(page)
    assert before[:3] == ["statenet", "dnet", "a" * 60]
    assert all("quoted" in name for name in before[3:])
    page.get_by_role("button", name="cc_norm, test").first.click()
    scores = [float(text.split()[0]) for text in page.locator("#board-0 tbody td:nth-child(2)").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    head = page.locator("#board-0 thead th").nth(1)
    assert head.get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="fit (s)").first.click()
    assert first_column(page)[0] == "dnet"
    page.get_by_role("button", name="fit (s)").first.press("Enter")
    assert first_column(page)[2] == "dnet"
    assert all("quoted" in name for name in first_column(page)[3:])
    page.get_by_role("button", name="model").press("Enter")
    assert first_column(page)[0] == "a" * 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_serious_violation_and_no_sideways_scrolling(page_file, open_page, axe, width, scheme):
    page = open_page(page_file, width, scheme)
    page.evaluate(axe)
    violations = page.evaluate("axe.run()")["violations"]
    assert [(v["impact"], v["id"]) for v in violations if v["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
