"""Banded ridge and variance partitioning, against design matrices and against closed forms."""

import numpy as np
import pytest
import torch

from deepSTRF.analysis import banded_ridge, variance_partitioning


def random(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def design(stims, n_lags):
    """Windows (bins, lag · F) of deviations from the mean stimulus, the current bin first."""
    mean = np.concatenate(stims, axis=1).mean(1, keepdims=True)
    rows = []
    for stim in stims:
        padded = np.pad(stim - mean, ((0, 0), (n_lags - 1, 0)))
        lags = [padded[:, n_lags - 1 - lag : padded.shape[1] - lag] for lag in range(n_lags)]
        rows.append(np.concatenate(lags).T)
    return np.concatenate(rows)


def test_banded_ridge_is_the_solution_of_the_normal_equations():
    n_lags, sizes = 3, (4, 2)
    features = {
        "sound": [3 + random(4, 120, seed=s) for s in range(5)],
        "speed": [0.01 * random(2, 120, seed=9 + s) for s in range(5)],
    }
    responses = [
        torch.stack([a[0] + 50 * b[1] + random(120, seed=s), a[1].roll(1) + random(120, seed=20 + s)])
        for s, (a, b) in enumerate(zip(*features.values(), strict=True))
    ]
    responses[2][1, 30:50] = torch.nan
    model = banded_ridge(features, responses, n_lags)
    predicted = model.predict(features)
    stims = [torch.cat(same).numpy() for same in zip(*features.values(), strict=True)]
    for n in range(2):
        y = np.concatenate([response[n].numpy() for response in responses])
        x, there = design(stims, n_lags), ~np.isnan(y)
        centre = x[there].mean(0)
        xc, yc = x[there] - centre, y[there] - y[there].mean()
        penalty = np.concatenate(
            [np.full(k, float(p[n])) for k, p in zip(sizes, model.penalties.values(), strict=True)]
        )
        w = np.linalg.solve(xc.T @ xc / len(yc) + np.diag(np.tile(penalty, n_lags)), xc.T @ yc / len(yc))
        kernels = torch.cat([kernel[n] for kernel in model.kernels.values()]).flip(1).T.flatten()
        assert kernels.numpy() == pytest.approx(w, rel=1e-6, abs=1e-9)
        expected = y[there].mean() + (x - centre) @ w
        assert torch.cat([p[n] for p in predicted]).numpy() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_units_do_not_matter_and_useless_groups_are_penalised():
    sound, noise = [random(3, 200, seed=s) for s in range(6)], [random(40, 200, seed=10 + s) for s in range(6)]
    responses = [a[:1] + random(1, 200, seed=30 + s) for s, a in enumerate(sound)]
    model = banded_ridge({"sound": sound, "noise": noise}, responses)
    scaled = banded_ridge({"sound": [1e4 * a for a in sound], "noise": [1e-3 * b for b in noise]}, responses)
    assert (1e4 * scaled.kernels["sound"]).numpy() == pytest.approx(model.kernels["sound"].numpy())
    assert model.penalties["noise"] > 100 * model.penalties["sound"]


@pytest.mark.parametrize("n_groups", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_parts_are_those_of_the_closed_form(n_groups):
    common, own, other, third, noise = (random(12, 1, 400, seed=s) for s in range(5))
    responses = common + 2 * own + other + noise * 2
    features = {"a": list(torch.cat([common, own], 1)), "b": list(torch.cat([common, other], 1))}
    if n_groups == 3:
        features["c"] = list(third)
    parts = variance_partitioning(features, list(responses))
    assert parts.total.item() == pytest.approx(6 / 10, abs=0.04)
    assert parts.unique["a"].item() == pytest.approx(4 / 10, abs=0.04)
    assert parts.unique["b"].item() == pytest.approx(1 / 10, abs=0.03)
    assert parts.shared.item() == pytest.approx(1 / 10, abs=0.03)
    assert parts.alone["a"].item() == pytest.approx(5 / 10, abs=0.04)
    if n_groups == 3:
        assert parts.unique["c"].item() == pytest.approx(0, abs=0.01)
    assert parts.shared + sum(parts.unique.values()) == pytest.approx(parts.total)


def test_neurons_without_variation_are_nan():
    features = {"a": list(random(6, 2, 90, seed=0)), "b": list(random(6, 1, 90, seed=1))}
    responses = list(random(6, 4, 3, 90, seed=2))
    for response in responses:
        response[1], response[2] = 2.0, torch.nan
    for response in responses[1:]:
        response[3] = torch.nan
    model = banded_ridge(features, responses)
    assert model.penalties["a"].isnan().tolist() == [False, True, True, True]
    assert model.predict(features)[0][1].numpy() == pytest.approx(2.0)
    assert variance_partitioning(features, responses).total.isnan().tolist()[:3] == [False, True, True]


GOOD = {"a": [torch.rand(2, 30)] * 4, "b": [torch.rand(1, 30)] * 4}
Y = [torch.rand(3, 30)] * 4


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (lambda: banded_ridge([1], Y), TypeError, "features must be a dict"),
        (lambda: banded_ridge({}, Y), ValueError, "must have a group"),
        (lambda: banded_ridge({"a": []}, []), ValueError, "no stimuli"),
        (lambda: banded_ridge({"a": [[1]]}, Y), TypeError, r"features\['a'\]\[0\] must be a tensor"),
        (lambda: banded_ridge({"a": [torch.rand(3)]}, Y), ValueError, r"shape \(F, T\)"),
        (lambda: banded_ridge({"a": [torch.rand(2, 3), torch.rand(1, 3)]}, Y), ValueError, "must have 2 features"),
        (lambda: banded_ridge({**GOOD, "c": [torch.rand(1, 29)] * 4}, Y), ValueError, "'a' and 'c' differ"),
        (lambda: banded_ridge(GOOD, Y[1:]), ValueError, "one entry for each of 4 stimuli"),
        (lambda: banded_ridge(GOOD, [torch.rand(3, 29)] * 4), ValueError, r"\(N, R, 30\) or \(N, 30\)"),
        (lambda: banded_ridge(GOOD, [*Y[1:], torch.rand(2, 30)]), ValueError, "must have 3 neurons"),
        (lambda: banded_ridge(GOOD, Y, folds=1), ValueError, "folds must be at least 2"),
        (lambda: banded_ridge(GOOD, Y).predict({"b": GOOD["b"], "a": GOOD["a"]}), ValueError, "in this order"),
        (lambda: banded_ridge(GOOD, Y).predict({"a": GOOD["b"], "b": GOOD["b"]}), ValueError, r"expected \[2, 1\]"),
        (lambda: variance_partitioning({"a": GOOD["a"]}, Y), ValueError, "two groups or more"),
        (lambda: variance_partitioning({"a": GOOD["a"][:1], "b": GOOD["b"][:1]}, Y[:1]), ValueError, "two stimuli"),
    ],
)
def test_wrong_arguments(action, error, words):
    with pytest.raises(error, match=words):
        action()
