"""Which channels of the squirrel monkey recording are tuned, as the paper says it."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from deepSTRF.checks import check_fraction, check_positive
from deepSTRF.datasets.audio.audio_dataset import AudioNeuralDataset
from deepSTRF.datasets.audio.trial_tuning import TrialTuning, trial_tuning

__all__ = ["PaperTuning"]


class PaperTuning(AudioNeuralDataset):
    """A recording whose ``stim_meta`` says which stimuli are for the test, and were heard several times."""

    def compute_paper_tuning(
        self,
        n_resamples: int = 10000,
        dt_ms_analysis: float = 50.0,
        seed: int = 0,
        alpha: float = 0.05,
        delta: float = 0.5,
        verbose: bool = True,
    ) -> dict[str, np.ndarray]:
        """Find the channels that are tuned, as Ahmed et al. (2025) do.

        Two trials of each test stimulus are drawn and joined to two long responses, whose correlation is compared with
        that of the same pair after one was shifted in time, over many draws. The paper does it with counts: load with
        ``smooth=False``, and 100 000 draws (about 80 min for all channels).

        Parameters
        ----------
        n_resamples : int
            Number of draws.
        dt_ms_analysis : float
            Width of the bins that counts are summed to, a multiple of the bin width.
        seed : int
            Seed of the draws.
        alpha : float
            A channel is tuned if the one-sided rank-sum test gives a smaller p-value.
        delta : float
            It is well tuned if the difference of the means is also at least so many standard deviations of the null.
        verbose : bool
            Show a progress bar.

        Returns
        -------
        dict of str to numpy.ndarray
            Per channel ``tuned`` and ``well_tuned`` (bool), and the numbers of
            :class:`~deepSTRF.datasets.audio.trial_tuning.TrialTuning`. Both are also kept in ``nrn_meta``, for
            ``select_pop_by_nrn_attr("well_tuned", True)``.

        Raises
        ------
        ValueError
            If `dt_ms_analysis` is not a multiple of the bin width, or a number is out of range.
        RuntimeError
            If no test stimulus was loaded.
        """
        width = round(check_positive("dt_ms_analysis", dt_ms_analysis) / self.dt)
        if width < 1 or abs(width * self.dt - dt_ms_analysis) > 1e-6 * self.dt:
            raise ValueError(f"dt_ms_analysis must be a multiple of the bin of {self.dt:g} ms, got {dt_ms_analysis:g}")
        check_fraction("alpha", alpha)
        test = [s for s, meta in enumerate(self.stim_meta) if meta["split"] == "test"]
        if not test:
            raise RuntimeError("no test stimulus was loaded; load with subset='all' or subset='test'")
        rng = np.random.default_rng(seed)
        found = []
        for n in tqdm(range(self.N_neurons), desc="tuning", disable=not verbose):
            repeats = [_summed(self.responses[s][n].numpy(), width) for s in test]
            found.append(trial_tuning(repeats, n_resamples, rng))
        values = dict(zip(TrialTuning._fields, np.array(found).T, strict=True))
        values["tuned"] = values["p_value"] < alpha
        values["well_tuned"] = values["tuned"] & (values["effect_size"] >= delta)
        for n, meta in enumerate(self.nrn_meta):
            meta.update(tuned=bool(values["tuned"][n]), well_tuned=bool(values["well_tuned"][n]))
        return values


def _summed(trials: np.ndarray, width: int) -> np.ndarray:
    """Sums of `width` bins, (R, T // width); of no trial for a stimulus that was not heard."""
    if np.isnan(trials).all():
        return np.empty((0, 0))
    n_bins = trials.shape[1] // width
    return trials[:, : n_bins * width].reshape(len(trials), n_bins, width).sum(2)
