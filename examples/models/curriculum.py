"""
A training loop of your own: a curriculum
=========================================

Where the Fitter does not do what you want, write the loop yourself: data, models
and losses need nothing else. Here a recurrent network first learns from short
excerpts, and from longer ones as it gets better.
"""

# %%
# Data and model
# --------------

import matplotlib.pyplot as plt
import torch

from deepSTRF.datasets.simulated import SimulatedDataset
from deepSTRF.metrics import normalized_corrcoef, poisson_loss
from deepSTRF.models.audio import StateNet
from deepSTRF.training import set_random_seed
from deepSTRF.training.units import in_units_of_scale
from deepSTRF.utils import neural_collate

dataset = SimulatedDataset(
    n_neurons=10, n_stims=30, duration_s=1.0, n_bands=16, snr=(0.3, 2.0)
)
train, val, test = (
    neural_collate([part[i] for i in range(len(part))])
    for part in dataset.split("holdout:3")
)

# %%
# The loop
# --------
# ``calibrate`` sets the scale of each neuron's output, so that it does not matter
# whether responses are counts or rates; the loss is taken in units of that scale.
# Every step draws an excerpt, at another place for each sound; its length is what the
# curriculum decides.


def score(model, batch):
    with torch.no_grad():
        pred = model.eval()(batch["stims"])
    return float(
        normalized_corrcoef(pred, batch["responses"], reduction="none").nanmean()
    )


def fit(length_at, n_steps=160, n_excerpts=4):
    """Train with excerpts of ``length_at(step)`` bins; return the model, and how validation went over what it saw."""
    set_random_seed(0)
    model = StateNet(n_frequency_bands=dataset.F, out_neurons=dataset.N_neurons)
    model.calibrate([train])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    seen, curve = 0, []
    for step in range(n_steps):
        length = length_at(step)
        stims, responses = [], []
        for s in torch.randint(len(train["stims"]), (n_excerpts,)).tolist():
            begin = int(torch.randint(train["stims"].shape[-1] - length + 1, ()))
            stims.append(train["stims"][s, ..., begin : begin + length])
            responses.append(train["responses"][s, ..., begin : begin + length])
        pred, target = in_units_of_scale(
            model, model.train()(torch.stack(stims)), torch.stack(responses)
        )
        optimizer.zero_grad()
        poisson_loss(pred, target).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += n_excerpts * length * dataset.dt / 1000
        if step % 20 == 19:
            curve.append((seen, score(model, val)))
    return model, curve


# %%
# Short first, or long from the start
# -----------------------------------
# All take the same number of steps. Short excerpts teach more per second of sound,
# but nothing about a memory that is longer than they are.

curricula = {
    "whole sounds (1 s)": lambda step: 200,
    "from 0.2 s to 1 s": lambda step: min(200, 40 + 160 * step // 120),
    "short ones only (0.2 s)": lambda step: 40,
}
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for (name, length_at), style in zip(
    curricula.items(), ("o-", "s--", "^:"), strict=True
):
    model, curve = fit(length_at)
    ax.plot(*zip(*curve, strict=True), style, markersize=4, label=name)
    print(
        f"{name}: {score(model, test):.2f} on the test sounds, after {curve[-1][0]:.0f} s of sound"
    )
ticks = [20, 50, 100, 200, 500]
ax.set(
    xlabel="sound seen in training (s)",
    ylabel="cc_norm on the validation sounds",
    xscale="log",
)
ax.set_xticks(ticks, ticks)
ax.minorticks_off()
ax.legend()
fig
