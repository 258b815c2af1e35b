"""What ridge regression says to data and arguments that it cannot use."""

import numpy as np
import pytest
import torch

from deepSTRF.models.ridge import fit_ridge


class Recording(list):
    dt = 5.0


def recording(dt=5.0, **changes):
    generator = torch.Generator().manual_seed(1)
    items = Recording(
        {
            "stims": torch.randn(1, 4, 60, generator=generator),
            "responses": [torch.randn(3, 60, generator=generator) for _ in range(2)],
            **changes,
        }
        for _ in range(3)
    )
    items.dt = dt
    return items


def ridge(train=None, val=None, window_ms=20, alphas=1.0):
    return fit_ridge(recording() if train is None else train, val, window_ms, alphas=alphas)


def one_infinite():
    items = recording()
    items[1]["responses"][1][0, 7] = torch.inf
    return items


RIDGE_TABLE = [
    pytest.param(lambda: fit_ridge(None, alphas=1.0), TypeError, "train must be a data set.*got NoneType", id="None"),
    pytest.param(lambda: ridge(torch.zeros(3, 1, 4, 60)), TypeError, "train must be a data set", id="tensor"),
    pytest.param(lambda: ridge(list(recording())), TypeError, "train must be a data set, with dt", id="list"),
    pytest.param(lambda: ridge("ns1"), TypeError, "train must be a data set.*got str", id="name"),
    pytest.param(lambda: ridge(val="ns1"), TypeError, "val must be a data set", id="val"),
    pytest.param(lambda: ridge(Recording()), ValueError, "train has no stimulus", id="empty"),
    pytest.param(
        lambda: ridge(Recording([torch.zeros(1, 4, 60)])), TypeError, "stimulus 0: .*dict.*Tensor", id="items"
    ),
    pytest.param(
        lambda: ridge(Recording([{"stims": torch.zeros(1, 4, 60)}])),
        TypeError,
        r"'responses', got the keys \['stims'\]",
        id="keys",
    ),
    pytest.param(
        lambda: ridge(recording(stims=np.zeros((1, 4, 60)))),
        TypeError,
        "stimulus must be a tensor of real numbers, got ndarray",
        id="numpy",
    ),
    pytest.param(
        lambda: ridge(recording(stims=torch.zeros(1, 4, 60, dtype=torch.complex64))),
        TypeError,
        "real numbers, got torch.complex64",
        id="complex",
    ),
    pytest.param(
        lambda: ridge(recording(stims=torch.zeros(4, 60))), ValueError, r"spectrogram \(1, F, T\) or .*, got", id="rank"
    ),
    pytest.param(lambda: ridge(recording(stims=torch.zeros(1, 4, 0))), ValueError, r"\(1, 4, 0\)", id="no-bin"),
    pytest.param(lambda: ridge(recording(stims=torch.zeros(1, 0, 60))), ValueError, r"\(1, 0, 60\)", id="no-band"),
    pytest.param(
        lambda: ridge(recording(stims=torch.full((1, 4, 60), torch.nan))),
        ValueError,
        "stimulus 0: .* not finite",
        id="nan",
    ),
    pytest.param(
        lambda: ridge(recording(responses=[np.zeros((3, 60))] * 2)),
        TypeError,
        "response of neuron 0 must be a tensor.*ndarray",
        id="responses-numpy",
    ),
    pytest.param(
        lambda: ridge(recording(responses=[torch.zeros(60)] * 2)),
        ValueError,
        r"\(R, 60\).*neuron 0",
        id="responses-rank",
    ),
    pytest.param(
        lambda: ridge(one_infinite()), ValueError, "stimulus 1: the response of neuron 1 has infinite values", id="inf"
    ),
    pytest.param(
        lambda: ridge(recording(responses=[torch.full((3, 60), torch.nan)] * 2)),
        ValueError,
        "no neuron has data",
        id="all-nan",
    ),
    pytest.param(lambda: ridge(recording(dt=0)), ValueError, r"dt of train \(ms\) must be positive", id="dt-zero"),
    pytest.param(
        lambda: ridge(recording(dt=torch.nan)), ValueError, r"dt of train \(ms\) must be positive", id="dt-nan"
    ),
    pytest.param(lambda: ridge(window_ms="150"), TypeError, "window_ms must be a number, got .*'150'", id="window-str"),
    pytest.param(lambda: ridge(window_ms=None), TypeError, "window_ms must be a number", id="window-None"),
    pytest.param(lambda: ridge(window_ms=torch.inf), ValueError, "window_ms must be positive", id="window-inf"),
    pytest.param(
        lambda: ridge(alphas="1"), TypeError, "alphas must be a number or a list of numbers, got '1'", id="alphas-str"
    ),
    pytest.param(lambda: ridge(alphas=[None]), TypeError, "alphas must be a number or a list", id="alphas-None"),
    pytest.param(lambda: ridge(alphas={1: 2}), TypeError, "alphas must be a number or a list", id="alphas-dict"),
    pytest.param(lambda: ridge(alphas=-1.0), ValueError, "alphas must be positive", id="alphas-negative"),
]


@pytest.mark.parametrize(("action", "error", "words"), RIDGE_TABLE)
def test_ridge(action, error, words):
    with pytest.raises(error, match=words):
        action()
