"""
In a closed loop, bin by bin
============================

An experiment may choose the next sound by what the neuron does now. A model runs
along with it: ``model.stream()`` takes one bin at a time, remembers what it needs
of the past, and predicts as it would from the whole sound.
"""

# %%
# A model to run
# --------------
# Ridge regression here; any model of the library runs bin by bin.

import time

import matplotlib.pyplot as plt
import numpy as np
import torch

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.models import fit_ridge

dataset = SimulatedDataset(
    n_neurons=6,
    n_stims=20,
    duration_s=2.0,
    n_bands=20,
    snr=(0.5, 2.0),
    kinds={"ln": 1.0},
    seed=2,
)
model = fit_ridge(dataset, window_ms=150)

# %%
# The same numbers, bin by bin
# ----------------------------

sound = dataset.stims[0][None]
stream = model.stream()
start = time.perf_counter()
streamed = torch.cat([stream.step(frame) for frame in sound.split(1, -1)], -1)
milliseconds = 1000 * (time.perf_counter() - start) / sound.shape[-1]
with torch.no_grad():
    print(
        "largest difference to the whole sound at once:",
        float((streamed - model(sound)).abs().max()),
    )
print(
    f"{milliseconds:.2f} ms, on the busy machine that made this page, for a bin of {dataset.dt:g} ms"
)

# %%
# Keeping a neuron at a rate
# --------------------------
# Noise whose level near the neuron's best frequency is chosen anew every 60 ms: the
# one with which the predicted response comes closest to a target. To try a level, the
# stream runs ahead, and its state is put back afterwards. A step takes any number of
# bins.

neuron, n_bins, rng = 0, 12, np.random.default_rng(0)
band = int(model.STRF_weight()[neuron].amax(-1).argmax())
near = torch.from_numpy(
    np.exp(-0.5 * ((np.arange(dataset.F) - band) / 1.5) ** 2)
).float()[:, None]
levels = torch.linspace(-2, 4, 13)
low, high = streamed[0, neuron].quantile(torch.tensor([0.4, 0.9])).tolist()
targets = np.repeat([low, high, low, high], 16)  # of 16 pieces of 60 ms each

guided, alone = model.stream(), model.stream()
played, with_loop, without_loop = [], [], []
for target in targets:
    noise = torch.from_numpy(rng.normal(scale=0.5, size=(dataset.F, n_bins))).float()
    state, tries = guided.state, []
    for level in levels.tolist():
        guided.state = state
        predicted = guided.step((noise + level * near)[None, None])[0, neuron, 0]
        tries.append(
            (abs(float(predicted.mean()) - target), level, predicted, guided.state)
        )
    _, level, predicted, guided.state = min(tries, key=lambda one: one[0])
    played.append(level)
    with_loop.append(predicted)
    without_loop.append(alone.step(noise[None, None])[0, neuron, 0])

# %%
# The loop follows the target as closely as pieces of 60 ms allow; left alone, the
# neuron does not.

edges = np.arange(len(targets)) * n_bins * dataset.dt / 1000
seconds = np.arange(len(targets) * n_bins) * dataset.dt / 1000
fig, (upper, lower) = plt.subplots(
    2, 1, sharex=True, figsize=(8, 5), layout="constrained"
)
upper.plot(
    seconds,
    torch.cat(without_loop),
    color="#999999",
    linewidth=1,
    label="level left alone",
)
upper.plot(
    seconds, torch.cat(with_loop), color="#0072B2", label="level chosen in the loop"
)
upper.step(
    edges, targets, where="post", color="#D55E00", linestyle="--", label="target"
)
upper.set_ylabel("predicted spikes per bin")
upper.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
lower.step(edges, played, where="post", color="#0072B2")
lower.set(xlabel="time (s)", ylabel="level near the\nbest frequency (SD)")
fig
