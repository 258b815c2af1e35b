"""NumPy/SciPy implementations of the metrics, straight from the formulas: one neuron at a time, loops, float64."""

import itertools
import math
import random
import warnings

import numpy as np
from scipy import stats


def psth_of(responses):
    """(R, T) -> (T,), NaN where no repeat has data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(responses, axis=0)


def pooled(pred, responses, n):
    """All valid (prediction, PSTH) values of neuron n."""
    psth = np.concatenate([psth_of(responses[b, n]) for b in range(len(responses))])
    rate = pred[:, n, 0].reshape(-1)
    return rate[~np.isnan(psth)], psth[~np.isnan(psth)]


def per_neuron(function):
    def run(pred, responses, **keywords):
        pred, responses = np.asarray(pred, dtype=float), np.asarray(responses, dtype=float)
        return np.array([function(pred, responses, n, **keywords) for n in range(responses.shape[1])])

    return run


@per_neuron
def mse(pred, responses, n):
    p, y = pooled(pred, responses, n)
    return np.mean((p - y) ** 2) if len(y) else np.nan


@per_neuron
def poisson(pred, responses, n, log_input=False):
    p, y = pooled(pred, responses, n)
    if not len(y):
        return np.nan
    return np.mean(np.exp(p) - y * p) if log_input else np.mean(p - y * np.log(p))


@per_neuron
def corrcoef(pred, responses, n):
    p, y = pooled(pred, responses, n)
    if len(y) < 2 or np.ptp(y) == 0 or np.ptp(p) == 0:
        return np.nan
    return stats.pearsonr(p, y).statistic


@per_neuron
def fve(pred, responses, n):
    p, y = pooled(pred, responses, n)
    if len(y) < 2 or np.ptp(y) == 0:
        return np.nan
    return 1 - np.sum((y - p) ** 2) / np.sum((y - y.mean()) ** 2)


def complete_part(responses):
    """Rows and columns with any data; for data without partly missing repeats."""
    there = ~np.isnan(responses)
    return responses[there.any(1)][:, there.any(0)]


def sahani_linden(responses):
    """Signal and noise power of a complete (R, T) response."""
    repeats, bins = responses.shape
    if repeats < 2 or bins < 2:
        return np.nan, np.nan
    total = responses.var(axis=1, ddof=1).mean()
    signal = (repeats * responses.mean(0).var(ddof=1) - total) / (repeats - 1)
    return signal, total - signal


def powers(responses, n):
    rows = [complete_part(responses[b, n]) for b in range(len(responses))]
    values = [(row.shape[1], *sahani_linden(row)) for row in rows]
    values = [value for value in values if not np.isnan(value[1])]
    if not values:
        return np.nan, np.nan
    weight, signal, noise = map(np.array, zip(*values, strict=True))
    return (weight * signal).sum() / weight.sum(), (weight * noise).sum() / weight.sum()


@per_neuron
def signal_power(pred, responses, n):
    return powers(responses, n)[0]


@per_neuron
def noise_power(pred, responses, n):
    return powers(responses, n)[1]


def single_trials_only(responses, n):
    return max((~np.isnan(responses[b, n])).any(-1).sum() for b in range(len(responses))) == 1


def concatenated_power(responses, n):
    rows = [complete_part(responses[b, n]) for b in range(len(responses))]
    rows = [row for row in rows if row.size]
    if len({row.shape[0] for row in rows}) != 1:
        return np.nan
    return sahani_linden(np.concatenate(rows, axis=1))[0]


@per_neuron
def schoppe(pred, responses, n, concatenated=False):
    p, y = pooled(pred, responses, n)
    if not len(y):
        return np.nan
    if single_trials_only(responses, n):
        return stats.pearsonr(p, y).statistic
    power = concatenated_power(responses, n) if concatenated else powers(responses, n)[0]
    return np.cov(p, y)[0, 1] / math.sqrt(p.var(ddof=1) * power) if power > 0 else np.nan


def splits_of(repeats, most):
    size = repeats // 2 - 1
    if math.comb(repeats - 1, size) <= most:
        return list(itertools.combinations(range(1, repeats), size))
    generator, drawn = random.Random(repeats), []
    while len(drawn) < most:
        draw = tuple(sorted(generator.sample(range(1, repeats), size)))
        if draw not in drawn:
            drawn.append(draw)
    return drawn


def half_correlation(responses, most):
    responses = responses[: len(responses) // 2 * 2]
    values = []
    for others in splits_of(len(responses), most):
        first = [0, *others]
        second = [r for r in range(len(responses)) if r not in first]
        a, b = responses[first].mean(0), responses[second].mean(0)
        if np.ptp(a) and np.ptp(b):
            values.append(stats.pearsonr(a, b).statistic)
    return np.mean(values) if values else np.nan


@per_neuron
def ccmax(pred, responses, n, most=126):
    if np.isnan(responses[:, n]).all():
        return np.nan
    if single_trials_only(responses, n):
        return 1.0
    total, weight = 0.0, 0
    for b in range(len(responses)):
        part = complete_part(responses[b, n])
        if part.shape[0] < 2 or part.shape[1] < 2:
            continue
        rho = half_correlation(part, most)
        if rho > 0:
            total += part.shape[1] * math.sqrt(2 * rho / (1 + rho))
            weight += part.shape[1]
    return total / weight if weight else np.nan


def hsu(pred, responses, most=126):
    return corrcoef(pred, responses) / ccmax(pred, responses, most=most)


@per_neuron
def noise_ceiling(pred, responses, n):
    _, y = pooled(pred, responses, n)
    return math.sqrt(powers(responses, n)[0] / y.var(ddof=1)) if len(y) else np.nan


def pairwise_power(responses):
    """Pairwise-complete signal and noise power of one incomplete (R, T) response."""
    signal, noise, freedom = 0.0, 0.0, 0
    for r, s in itertools.combinations(range(len(responses)), 2):
        both = ~np.isnan(responses[r]) & ~np.isnan(responses[s])
        if both.sum() >= 2:
            signal += np.cov(responses[r, both], responses[s, both])[0, 1] * (both.sum() - 1)
            noise += np.var(responses[r, both] - responses[s, both], ddof=1) / 2 * (both.sum() - 1)
            freedom += both.sum() - 1
    return signal / freedom, noise / freedom
