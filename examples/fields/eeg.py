"""
EEG: temporal response functions
================================

EEG and other continuous signals are signed and have no spikes, and one stimulus may
last for minutes. The linear model of them is known as the temporal response
function (TRF); it is the same ridge regression as for spikes.
"""

# %%
# Ten minutes of listening
# ------------------------
# The envelope of speech-like sound, and eight electrodes that respond to it with a
# positive wave at 50 ms and a negative one at 100 ms, of a different strength at each
# electrode, buried in slow noise. Electrodes were sampled at 512 Hz.

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.signal import butter, resample_poly, sosfilt

from deepSTRF.analysis import strf
from deepSTRF.datasets.audio import AudioNeuralDataset
from deepSTRF.metrics import corrcoef
from deepSTRF.models import fit_ridge
from deepSTRF.plotting import plot_psth_vs_pred

rng = np.random.default_rng(0)
n_parts, seconds, n_electrodes, dt_ms = 10, 60, 8, 15.625  # 64 bins a second
lags_ms = np.arange(0, 300, dt_ms)
wave = np.exp(-0.5 * ((lags_ms - 50) / 15) ** 2) - 0.8 * np.exp(
    -0.5 * ((lags_ms - 110) / 25) ** 2
)
strength = np.linspace(-1, 1, n_electrodes)
envelopes, recordings = [], []
for _ in range(n_parts):
    envelope = np.abs(
        sosfilt(butter(2, 8, fs=64, output="sos"), rng.normal(size=seconds * 64))
    )  # below 8 Hz
    evoked = (
        strength[:, None] * np.convolve(envelope / envelope.std(), wave)[: seconds * 64]
    )
    noise = sosfilt(
        butter(1, 2, fs=64, output="sos"), rng.normal(size=(n_electrodes, seconds * 64))
    )
    signal = evoked + 2 * noise / noise.std()
    envelopes.append(envelope[None])
    recordings.append(
        resample_poly(signal, 8, 1, axis=1)[:, None]
    )  # electrodes, repeats, samples

# %%
# A data set
# ----------
# :meth:`from_signals <deepSTRF.datasets.audio.AudioNeuralDataset.from_signals>`
# brings the signals to the bins of the stimulus, with a filter that keeps fast noise
# from folding into them.

dataset = AudioNeuralDataset.from_signals(
    envelopes, recordings, rate_hz=512.0, dt_ms=dt_ms
)
dataset.standardize_stims(range(8))
train, test = dataset.subset(range(8)), dataset.subset([8, 9])

# %%
# The fit
# -------

model = fit_ridge(train, window_ms=300)
with torch.no_grad():
    pred = torch.cat([model(stim[None]) for stim in test.stims])
heard = torch.stack([torch.stack(list(responses)) for responses in test.responses])
print(
    "correlation on two minutes that were held out:",
    corrcoef(pred, heard, reduction="none").numpy().round(2),
)

fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
plot_psth_vs_pred(
    heard[0, -1, 0, :640],
    pred[0, -1, 0, :640],
    dt_ms,
    "ten seconds of the last electrode",
    target_label="EEG",
    ax=ax,
)
ax.set_ylabel("EEG (a.u.)")
fig

# %%
# The response functions
# ----------------------

trf = strf(model, dt_ms=dt_ms).fields[:, 0].flip(-1)  # (electrodes, lags), lag 0 first
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for electrode, response in enumerate(trf):
    ax.plot(
        np.arange(trf.shape[1]) * dt_ms,
        response,
        color=plt.cm.viridis(electrode / 8),
        label=f"electrode {electrode + 1}",
    )
ax.axhline(0, color="grey", linewidth=1)
ax.set(xlabel="lag (ms)", ylabel="response to one SD of the envelope (a.u.)")
ax.legend(fontsize="small")
fig
# sphinx_gallery_thumbnail_number = 2
