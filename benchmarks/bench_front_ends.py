"""Processor time of every front end and of ICNet on one core, per second of sound at 48 kHz, and per bin of 5 ms.

Run: python benchmarks/bench_front_ends.py [--rounds 3]
"""

import argparse
import time
from collections.abc import Callable

import torch

from deepSTRF.models.audio import ICNet
from deepSTRF.models.wav2spec import CausalGammatone, CausalLEAF, CausalMelSpectrogram, Gammatonegram, SincNet

FS, SECONDS = 48000, 5
MAKE = {
    "CausalMelSpectrogram": lambda: CausalMelSpectrogram(FS),
    "CausalGammatone": lambda: CausalGammatone(FS),
    "Gammatonegram": lambda: Gammatonegram(FS),
    "SincNet": lambda: SincNet(FS),
    "SincNet, envelope": lambda: SincNet(FS, envelope=True),
    "CausalLEAF": lambda: CausalLEAF(FS),
    "ICNet, 10 neurons": lambda: ICNet(FS, 10).eval(),
}


def fastest(call: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds + 1):  # the first one warms up
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sound = torch.randn(1, 1, SECONDS * FS)
    print("| front end | forward, ms/s | forward and backward, ms/s | one bin, ms |")
    print("|---|---|---|---|")
    for name, make in MAKE.items():
        module = make()
        with torch.no_grad():
            forward = fastest(lambda: module(sound), arguments.rounds) / SECONDS  # noqa: B023
        trained = "–"
        if any(True for _ in module.parameters()):
            seconds = fastest(lambda: module(sound).square().mean().backward(), arguments.rounds)  # noqa: B023
            trained = f"{1000 * seconds / SECONDS:.1f}"
        state, times = None, []
        with torch.no_grad():
            for frame in sound.split(FS * 5 // 1000, -1):
                start = time.process_time()
                _, state = module.step(frame, state)
                times.append(time.process_time() - start)
        bin_ms = 1000 * sorted(times)[len(times) // 2]
        print(f"| {name} | {1000 * forward:.1f} | {trained} | {bin_ms:.2f} |")


if __name__ == "__main__":
    main()
