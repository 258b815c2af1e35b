"""Do the statistics of deepSTRF.analysis keep what they promise? Coverage and type-I error on simulations.

    python benchmarks/statistics_table.py [--runs 400] [--seed 0]

Intervals are at 95 %, tests at 5 %. A share of 400 runs is uncertain by about 2 %: the last column is the 95 % interval
of the share (Clopper & Pearson). The tests repeat it with fewer runs (tests/analysis/test_calibration.py).
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import binomtest

from deepSTRF.analysis import (
    adjust_p_values,
    bootstrap_interval,
    compare_per_neuron,
    extrapolate_scores,
    extrapolated_noise_ceiling,
    paired_comparison,
    score_intervals,
    shift_test,
    variance_partitioning,
)

Shares = np.ndarray  # of one simulation: one or more booleans


def seed_of(random: np.random.Generator) -> int:
    """A seed of its own for each run, so that the runs are independent."""
    return int(random.integers(2**31))


def normal_scores(random, method):
    inside = bootstrap_interval(random.normal(0.5, 0.2, size=40), method=method, n_resamples=999, seed=seed_of(random))
    return [inside.low <= 0.5 <= inside.high]


def skewed_scores(random, method):
    inside = bootstrap_interval(random.exponential(size=40), method=method, n_resamples=999, seed=seed_of(random))
    return [inside.low <= 1.0 <= inside.high]


def grouped_scores(random, n_groups, hierarchical):
    groups = np.repeat(np.arange(n_groups), 15)
    values = random.normal(size=n_groups)[groups] + random.normal(size=len(groups))
    labels, options = groups if hierarchical else None, {"n_resamples": 499, "seed": seed_of(random)}
    inside = bootstrap_interval(values, groups=labels, method="percentile", **options)
    return [inside.low <= 0.0 <= inside.high]


def recording(random, n_stimuli, n_neurons, smooth=1, n_bins=150, n_repeats=4, gain=0.5):
    """Predictions and responses; each stimulus has a noise of its own, so that scores differ between stimuli."""
    kernel = np.ones(smooth) / smooth**0.5
    noise = random.normal(size=(n_stimuli, n_neurons, n_repeats + 1, n_bins + smooth - 1))
    smoothed = np.apply_along_axis(np.convolve, -1, noise, kernel, "valid") if smooth > 1 else noise
    pred = torch.from_numpy(smoothed[:, :, :1])
    level = torch.from_numpy(random.uniform(0.5, 1.5, size=(n_stimuli, 1, 1, 1)))
    return pred, gain * pred + level * torch.from_numpy(smoothed[:, :, 1:])


def stimuli(random, n_stimuli, method):
    pred, responses = recording(random, n_stimuli, 4)
    found = score_intervals(pred, responses, method=method, n_resamples=299, seed=seed_of(random))
    truth = 0.5 / np.sqrt(0.25 + (1 + 1 / 12) / 4)  # the mean square of the level is 1 + 1/12
    return (found.low <= truth) & (truth <= found.high)


def no_difference(random, skewed=False):
    values = random.exponential(size=40) - 1 if skewed else random.normal(size=40)
    found = paired_comparison(values, np.zeros(40), n_resamples=1, n_permutations=999, seed=seed_of(random))
    return [found.p_value <= 0.05]


def no_difference_in_groups(random, respected):
    groups = np.repeat(np.arange(12), 10)
    values = random.normal(size=12)[groups] + random.normal(size=120)
    labels = groups if respected else None
    found = paired_comparison(
        values, np.zeros(120), groups=labels, n_resamples=1, n_permutations=999, seed=seed_of(random)
    )
    return [found.p_value <= 0.05]


def no_difference_in_any(random, correction):
    zero = np.zeros((12, 20))
    found = compare_per_neuron(random.normal(size=(12, 20)), zero, correction=correction, n_resamples=1)
    return [(found.adjusted_p_values <= 0.05).any()]


def false_discoveries(random):
    """Share of false ones among the positives, with 10 of 40 neurons different."""
    p = random.uniform(size=40)
    p[:10] **= 6
    positive = adjust_p_values(p, "bh") <= 0.05
    return [positive[10:].sum() / max(positive.sum(), 1)]


def unrelated(random, smooth):
    pred, responses = recording(random, 4, 10, smooth=smooth, gain=0.0)
    return shift_test(pred, responses, correction="none").p_values <= 0.05


def any_unrelated(random):
    pred, responses = recording(random, 4, 10, smooth=10, gain=0.0)
    return [(shift_test(pred, responses).adjusted_p_values <= 0.05).any()]


def weakly_related(random):
    pred, responses = recording(random, 4, 10, smooth=10, gain=0.2)
    return shift_test(pred, responses).adjusted_p_values <= 0.05


def limits(random):
    amounts = np.repeat([5, 10, 20, 40], 3)
    scores = 0.6 - 1.0 / amounts[:, None] + 0.03 * random.normal(size=(12, 10))
    curve = extrapolate_scores(amounts, scores)
    return (curve.low <= 0.6) & (curve.high >= 0.6)


def ceilings(random):
    _, noise = recording(random, 20, 4, gain=0.0)
    signal = random.normal(size=(20, 4, 1, 150)) * random.uniform(0.5, 1.0, size=(20, 1, 1, 1))
    curve = extrapolated_noise_ceiling(noise + torch.from_numpy(signal), 20, n_resamples=299, seed=seed_of(random))
    truth = (1 + (1 + 1 / 12) / (7 / 12) / 20) ** -0.5  # mean squares of the two levels
    return (curve.low[0] <= truth) & (curve.high[0] >= truth)


def uniqueness(random):
    """Whether the unique part of a group that adds nothing is above 1 % of the variance."""
    useful, useless, noise = torch.from_numpy(random.normal(size=(3, 8, 2, 200)))
    parts = variance_partitioning({"useful": list(useful), "useless": list(useless)}, list(useful + noise))
    return (parts.unique["useless"] > 0.01).numpy()


# What is measured; the simulation; the share that it should be, as (least, most); and how many runs of those asked for.
CASES: list[tuple[str, Callable[[np.random.Generator], Shares], tuple[float, float], float]] = [
    ("bootstrap_interval, 40 neurons, BCa", lambda r: normal_scores(r, "BCa"), (0.90, 0.98), 1),
    ("bootstrap_interval, 40 neurons, percentile", lambda r: normal_scores(r, "percentile"), (0.90, 0.98), 1),
    ("bootstrap_interval, 40 skewed, BCa", lambda r: skewed_scores(r, "BCa"), (0.89, 0.98), 1),
    ("bootstrap_interval, 40 skewed, percentile", lambda r: skewed_scores(r, "percentile"), (0.88, 0.98), 1),
    ("bootstrap_interval, 20 groups of 15", lambda r: grouped_scores(r, 20, True), (0.86, 0.99), 0.5),
    ("bootstrap_interval, 5 groups of 15", lambda r: grouped_scores(r, 5, True), (0.75, 0.97), 0.5),
    ("  the same, groups ignored (wrong)", lambda r: grouped_scores(r, 5, False), (0.0, 0.65), 0.5),
    ("score_intervals, 20 stimuli, BCa", lambda r: stimuli(r, 20, "BCa"), (0.87, 0.98), 0.5),
    ("score_intervals, 20 stimuli, percentile", lambda r: stimuli(r, 20, "percentile"), (0.87, 0.98), 0.5),
    ("score_intervals, 6 stimuli, BCa", lambda r: stimuli(r, 6, "BCa"), (0.70, 0.97), 0.5),
    ("extrapolate_scores, independent rows", limits, (0.92, 0.98), 1),
    ("extrapolated_noise_ceiling, 20 stimuli", ceilings, (0.87, 0.98), 0.5),
    ("paired_comparison, 40 neurons", no_difference, (0.02, 0.08), 1),
    ("paired_comparison, 40 skewed", lambda r: no_difference(r, skewed=True), (0.02, 0.09), 1),
    ("paired_comparison, 12 groups of 10", lambda r: no_difference_in_groups(r, True), (0.02, 0.08), 1),
    ("  the same, groups ignored (wrong)", lambda r: no_difference_in_groups(r, False), (0.3, 1.0), 1),
    ("compare_per_neuron, any of 20, Holm", lambda r: no_difference_in_any(r, "holm"), (0.0, 0.08), 0.25),
    ("  the same, not corrected (wrong)", lambda r: no_difference_in_any(r, "none"), (0.4, 1.0), 0.25),
    ("false discoveries, Benjamini-Hochberg", false_discoveries, (0.0, 0.06), 1),
    ("shift_test, white noise", lambda r: unrelated(r, 1), (0.03, 0.07), 0.5),
    ("shift_test, smooth over 10 bins", lambda r: unrelated(r, 10), (0.03, 0.08), 0.5),
    ("shift_test, any of 10, Holm", any_unrelated, (0.0, 0.09), 1),
    ("  its power, corr = 0.38, Holm", weakly_related, (0.5, 1.0), 0.25),
    ("variance_partitioning, useless group > 1 %", uniqueness, (0.0, 0.05), 0.1),
]


def measure(simulate: Callable[[np.random.Generator], Shares], runs: int, seed: int) -> tuple[float, int]:
    """Share of the simulations in which it is so, and how many there were."""
    found = np.concatenate([simulate(np.random.default_rng([seed, run])) for run in range(runs)])
    return float(found.mean()), len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':<46}{'share':>8}   {'95 % interval':<16}{'expected within'}")
    for name, simulate, (least, most), part in CASES:
        share, n = measure(simulate, max(2, round(part * options.runs)), options.seed)
        ends = binomtest(round(share * n), n).proportion_ci()
        mark = "" if least <= share <= most else "   !"
        print(f"{name:<46}{share:>8.3f}   [{ends.low:.3f}, {ends.high:.3f}]  {least:.2f}-{most:.2f}{mark}", flush=True)


if __name__ == "__main__":
    main()
