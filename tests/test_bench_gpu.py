"""The benchmark of GPUs says that there is none; where there is one it prints ratios, which a CPU tests here."""

import importlib.util
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[1] / "benchmarks" / "bench_gpu.py"
SPEC = importlib.util.spec_from_file_location("bench_gpu", PATH)
BENCH = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(BENCH)


def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(BENCH, "found_device", lambda: None)
    monkeypatch.setattr(BENCH, "rows", lambda *_: pytest.fail("something was measured"))
    BENCH.main([])
    assert capsys.readouterr().out == f"{BENCH.NO_GPU}\n"
    assert "nothing was measured" in BENCH.NO_GPU


def test_a_gpu_is_found_where_torch_has_one():
    has_one = torch.cuda.is_available() or torch.backends.mps.is_available()
    assert (BENCH.found_device() is not None) == has_one


def test_ratios_are_of_the_step_and_its_limit(monkeypatch, capsys):
    """With a CPU in place of the GPU; how large they are depends on what else runs here."""
    make = lambda: BENCH.Linear(n_frequency_bands=8, temporal_window_size=5, out_neurons=BENCH.NEURONS)  # noqa: E731
    monkeypatch.setattr(BENCH, "CASES", {"Linear": (make, (2, 1, 8, 100))})
    whole = BENCH.rows
    monkeypatch.setattr(BENCH, "rows", lambda device, rounds: whole(device, rounds, size=256))
    BENCH.main(["--device", "cpu", "--rounds", "2"])
    header, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert header[:3] == ["model", "precision", "ms"]
    assert [row[:2] for row in rows] == [["Linear", "float32"], ["Linear", "bf16"]]
    assert all(float(row[3]) > 0 and float(row[4]) > 0 for row in rows)
    step = BENCH.Step("Linear", torch.device("cpu"), "float32")
    products = 2 * 2 * 100 * BENCH.NEURONS * 8 * 5  # of the forward pass; the gradient of the weights costs the same
    assert products <= step.operations() <= 3 * products
