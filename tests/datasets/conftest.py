"""A small ragged recording with missing pairs, as a subclass would fill it."""

import contextlib
import resource
import signal

import pytest
import torch
from time_limit import fail_after

from deepSTRF.datasets import NeuralDataset

NO_DATA = torch.full((1, 1), float("nan"))
BINS = (30, 20, 40, 25)
# repeats of each neuron for each stimulus; 0 is no data
REPEATS = ((3, 2, 0), (2, 0, 0), (4, 4, 1), (0, 1, 0))


def build(cls=NeuralDataset, dt_ms=5.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    ds = cls("memory", dt_ms)
    ds.N_neurons = 3
    ds.stims = [torch.rand(1, 8, bins, generator=generator) for bins in BINS]
    ds.responses = [
        [torch.rand(r, bins, generator=generator) if r else NO_DATA for r in row]
        for row, bins in zip(REPEATS, BINS, strict=True)
    ]
    ds.stim_meta = [{"kind": "song", "n": 0}, {"kind": "noise", "n": 1}, {"kind": "song", "n": 2}, {"n": 3}]
    ds.nrn_meta = [{"area": "A1", "depth": 100}, {"area": "AAF", "depth": 200}, {"area": "A1"}]
    if hasattr(ds, "F"):
        ds.F = 8
    return ds


@pytest.fixture
def ds():
    dataset = build()
    dataset.validate()
    return dataset


@pytest.fixture
def make():
    return build


@pytest.fixture
def largest_file():
    """Yield a context in which no file grows beyond `n_bytes`: writing fails half way, as on a full disk."""

    @contextlib.contextmanager
    def limit(n_bytes):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)

    return limit


LONGEST_S = 120  # of one test, however busy the machine is; the usual ones take milliseconds


@pytest.fixture(autouse=True)
def no_hang():
    """End a test that hangs, and show where."""
    with fail_after(LONGEST_S, lambda: f"hangs: not done after {LONGEST_S} s"):
        yield
