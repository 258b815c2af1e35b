"""The loop of docs/howto/several_processes.md under torchrun: any number of processes gives the same numbers."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import processes
import pytest
import torch
import torch.distributed as dist

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import corrcoef, mse_loss, normalized_corrcoef
from deepSTRF.models import NeuralModel
from deepSTRF.utils import neural_collate

EXAMPLE = Path(__file__).parents[2] / "examples" / "torchrun_loop.py"
EPOCHS = 2

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (dist.is_available() and dist.is_gloo_available()), reason="torch has no gloo"),
    pytest.mark.skipif(sys.platform != "linux", reason="names the loopback interface of Linux"),
]


# torchrun, whose ranks are forks: that each loads torch for seconds is not the matter of this test.
TORCHRUN = """
import processes
from torch.distributed import run
launch = run.elastic_launch
run.elastic_launch = lambda config, entrypoint: lambda *arguments: launch(config, processes.run_file)(*arguments[1:])
run.main()
"""


def torchrun(ranks, out):
    """Run the example; give its scores."""
    out.mkdir()
    done = processes.run(
        TORCHRUN, "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", ranks,
        "--start-method", "forkserver", "--redirects", 3, "--log-dir", out / "logs",
        EXAMPLE, "--epochs", EPOCHS, "--out", out,
        folder=out, environment=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )  # fmt: skip
    logs = {path: path.read_text() for path in out.glob("logs/**/*.log")}
    assert done.code == 0, (done.err, logs)
    assert "".join(logs.values()).count("epoch 0 ") == 1, "one rank prints"
    scores = json.loads((out / "scores.json").read_text())
    assert scores["ranks"] == ranks
    return scores


def close(scores, expected):
    """All scores of all epochs."""
    assert len(scores) == len(expected)
    for ours, theirs in zip(scores, expected, strict=True):
        assert set(ours) == set(theirs)
        for name in ours:
            torch.testing.assert_close(torch.tensor(ours[name]), torch.tensor(theirs[name]), rtol=1e-4, atol=1e-5)
    return True


def test_two_processes_of_torchrun_give_the_numbers_of_one(tmp_path):
    spec = importlib.util.spec_from_file_location("torchrun_loop", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    _, history, test = example.fit(EPOCHS, rank=0, ranks=1)
    assert len(history) == EPOCHS
    assert history[0]["cc"] != pytest.approx(history[-1]["cc"], abs=0.01), (
        "it learns, so that there is something to say"
    )

    scores = torchrun(2, tmp_path / "2")
    assert close([*scores["val"], scores["test"]], [*history, test])

    # The scores that two ranks gathered are those of the functions, on all stimuli at once.
    dataset = SimulatedDataset(n_neurons=8, n_stims=18, duration_s=(0.5, 1.0), missing=0.2)
    dataset.standardize_stims(dataset.split_indices("holdout:3").train, per_band=False)
    part = dataset.split("holdout:3").test
    batch = neural_collate([part[i] for i in range(len(part))])
    model = NeuralModel.from_pretrained(tmp_path / "2" / "model").eval()
    with torch.no_grad():
        pred = model(batch["stims"])
    functions = {"loss": mse_loss, "cc": corrcoef, "cc_norm": normalized_corrcoef}
    whole = {name: f(pred, batch["responses"], reduction="none") for name, f in functions.items()}
    for name, values in whole.items():
        torch.testing.assert_close(torch.tensor(scores["test"][name]), values, rtol=1e-5, atol=1e-6)
