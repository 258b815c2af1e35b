"""A long session is loaded in little more memory than its packed responses take."""

import processes
import pytest

pytest.importorskip("resource")  # not on Windows

CODE = """
import resource, sys
import numpy as np
from deepSTRF.datasets.audio import AudioNeuralDataset

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

rng = np.random.default_rng(0)
spikes = [rng.uniform(0, 900, 4500) for _ in range(300)]
stims = [rng.random((8, 180)).astype(np.float32) for _ in range(20)]
trials = {"onset": np.arange(1000) * 0.9, "stimulus": np.arange(1000) % 20}
before = peak()
ds = AudioNeuralDataset.from_spike_times(stims, spikes, 5.0, unit="s", trials=trials)
packed = sum(block.values.nbytes for block in ds._packed().blocks())
print((peak() - before) / packed)
"""


@pytest.mark.slow
def test_peak_memory_of_a_session(tmp_path):
    assert float(processes.run(CODE, folder=tmp_path).out) < 1.6  # measured: 1.2; the packed data are 216 MB
