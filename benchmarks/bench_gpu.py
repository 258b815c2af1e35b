"""What a GPU gains: seconds of a training step there and on this CPU, and beside what its hardware allows.

The limit of a step is the longer of two times: its floating point operations (counted by torch) at the rate of a large
matrix product on the same GPU, and its bytes (stimuli, responses, predictions, weights, gradients and both moments of
AdamW, each read and written once) at the rate of a large copy. Both rates are measured in the same run. A recurrent
network is far from both limits: it waits for its small steps, one after the other.

Where there is no GPU this says so, and measures nothing.

Run: python benchmarks/bench_gpu.py [--device cuda] [--rounds 5] [--json]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from deepSTRF.devices import computing_in
from deepSTRF.metrics import mse_loss
from deepSTRF.models.audio import Linear, StateNet, Transformer
from deepSTRF.models.video import ConvNet3D

NEURONS, BINS = 500, 1000
PRECISIONS = {"float32": None, "bf16": torch.bfloat16}
# How a model is made, the shape of its stimuli, and in what precisions its step is timed.
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear": (lambda: Linear(n_frequency_bands=64, temporal_window_size=30, out_neurons=NEURONS), (16, 1, 64, BINS)),
    "StateNet": (lambda: StateNet(n_frequency_bands=64, out_neurons=NEURONS), (16, 1, 64, BINS)),
    "Transformer": (lambda: Transformer(n_frequency_bands=64, out_neurons=NEURONS), (16, 1, 64, BINS)),
    "ConvNet3D": (lambda: ConvNet3D((36, 64), out_neurons=NEURONS), (2, 1, 36, 64, 100)),
}
NO_GPU = "no GPU: torch finds neither cuda nor mps on this machine, so nothing was measured"


def found_device() -> str | None:
    """cuda, mps, or None where there is no GPU."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else None


def synchronise(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def seconds(call: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Median time of a call, whose work is done when it is measured; the first two calls warm up."""
    times = []
    for _ in range(rounds + 2):
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


class Step:
    """A training step of a model on a device."""

    def __init__(self, name: str, device: torch.device, precision: str) -> None:
        make, shape = CASES[name]
        torch.manual_seed(0)
        self.device, self.dtype = device, PRECISIONS[precision]
        self.model = make().to(device).train()
        self.stims = torch.randn(shape).to(device)
        self.psth = torch.rand(shape[0], NEURONS, 1, shape[-1]).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters())

    def __call__(self) -> Tensor:
        self.optimizer.zero_grad()
        with computing_in(self.device, self.dtype):
            pred = self.model(self.stims)
        loss = mse_loss(pred.float(), self.psth)
        loss.backward()
        self.optimizer.step()
        return loss

    def bytes(self) -> int:
        """What a step has to read and write, if nothing in between ever leaves the chip."""
        weights = sum(parameter.nbytes for parameter in self.model.parameters())
        return self.stims.nbytes + 3 * self.psth.nbytes + 8 * weights  # a prediction, its gradient and the target

    def operations(self) -> int:
        """Floating point operations of both passes; on a CPU, because torch cannot look into the networks of cuDNN."""
        with FlopCounterMode(display=False) as counter:
            self()
        return counter.get_total_flops()


def rates(device: torch.device, rounds: int, size: int = 4096) -> dict[str, float]:
    """Bytes per second of a copy, and operations per second of a matrix product in each precision."""
    source = torch.empty(64 * size * size // 16, device=device)
    target = torch.empty_like(source)
    measured = {"bytes": 2 * source.nbytes / seconds(lambda: target.copy_(source), device, rounds)}
    for name, dtype in PRECISIONS.items():
        matrix = torch.randn(size, size, device=device, dtype=dtype or torch.float32)
        measured[name] = 2 * size**3 / seconds(lambda matrix=matrix: matrix @ matrix, device, rounds)
    return measured


def rows(device: torch.device, rounds: int, size: int = 4096) -> list[dict]:
    """One row for each model and precision."""
    limits, cpu, found = rates(device, rounds, size), torch.device("cpu"), []
    for name in CASES:
        on_cpu = Step(name, cpu, "float32")
        operations, taken_there = on_cpu.operations(), seconds(on_cpu, cpu, max(1, rounds // 2))
        for precision in PRECISIONS:
            step = Step(name, device, precision)
            taken = seconds(step, device, rounds)
            limit = max(operations / limits[precision], step.bytes() / limits["bytes"])
            found.append(
                {
                    "model": name, "precision": precision, "ms": 1e3 * taken, "cpu / gpu": taken_there / taken,
                    "gpu / limit": taken / limit,
                }
            )  # fmt: skip
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default=None, help="default: cuda, or else mps")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of the table")
    options = parser.parse_args(arguments)
    name = options.device or found_device()
    if name is None:
        print(NO_GPU)
        return
    device = torch.device(name)
    measured = rows(device, options.rounds)
    if options.json:
        print(json.dumps(measured, indent=1))
        return
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"torch {torch.__version__}, {kind}, {torch.get_num_threads()} CPU threads", file=sys.stderr)
    print(f"{'model':14}{'precision':12}{'ms':>10}{'cpu / gpu':>12}{'gpu / limit':>13}")
    for row in measured:
        print(
            f"{row['model']:14}{row['precision']:12}{row['ms']:10.2f}{row['cpu / gpu']:12.2f}{row['gpu / limit']:13.2f}"
        )


if __name__ == "__main__":
    main()
