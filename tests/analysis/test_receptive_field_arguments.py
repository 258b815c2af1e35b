"""What receptive fields say to arguments that they cannot use."""

import functools

import pytest
import torch

from deepSTRF.analysis import receptive_fields, strf_correlation
from deepSTRF.models.audio import Linear

NAN, INF = torch.nan, torch.inf
linear = functools.partial(Linear, n_frequency_bands=8, temporal_window_size=5, out_neurons=3)
SOUND = torch.randn(2, 1, 8, 20, generator=torch.Generator().manual_seed(0))
FIELD = torch.randn(2, 4, 5)
ANALYSIS_TABLE = [
    pytest.param(lambda: receptive_fields(Linear), TypeError, "must be an AudioEncodingModel", id="class"),
    pytest.param(
        lambda: receptive_fields(linear(), 0), ValueError, "n_lags must be a positive integer, got 0", id="zero"
    ),
    pytest.param(
        lambda: receptive_fields(linear(), 2.5), TypeError, "n_lags must be an integer, got a float: 2.5", id="float"
    ),
    pytest.param(
        lambda: receptive_fields(linear(), "5"), TypeError, "n_lags must be an integer, got a str: '5'", id="str"
    ),
    pytest.param(lambda: receptive_fields(linear(), 30, stimulus=SOUND[0]), ValueError, "only 20 bins", id="lags"),
    pytest.param(
        lambda: receptive_fields(linear(), stimulus=SOUND[0].numpy()), TypeError, "tensor.* got ndarray", id="numpy"
    ),
    pytest.param(
        lambda: receptive_fields(linear(), stimulus=SOUND), ValueError, r"got shape \(2, 1, 8, 20\)", id="two"
    ),
    pytest.param(lambda: receptive_fields(linear(), stimulus=SOUND[0] * NAN), ValueError, "NaN or infinite", id="nan"),
    pytest.param(
        lambda: receptive_fields(linear(), stimulus=SOUND[0].to(torch.complex64)), TypeError, "complex64", id="complex"
    ),
    pytest.param(lambda: strf_correlation(None, FIELD), TypeError, r"true must be an array \(N, F, T\)", id="None"),
    pytest.param(lambda: strf_correlation(FIELD, "abc"), TypeError, "recovered must be an array", id="string"),
    pytest.param(
        lambda: strf_correlation([[[1.0, 2.0]], [[1.0]]], FIELD), ValueError, "true must be .* ragged", id="ragged"
    ),
    pytest.param(
        lambda: strf_correlation(FIELD.to(torch.complex64), FIELD), TypeError, "real numbers", id="complex-fields"
    ),
    pytest.param(lambda: strf_correlation(FIELD[0], FIELD[0]), ValueError, "same N and F", id="rank"),
    pytest.param(lambda: strf_correlation(FIELD, FIELD[:, :3]), ValueError, "same N and F", id="bands"),
]


@pytest.mark.parametrize(("action", "error", "words"), ANALYSIS_TABLE)
def test_analysis(action, error, words):
    with pytest.raises(error, match=words):
        action()


@pytest.mark.parametrize("other", [FIELD * NAN, FIELD * INF, torch.ones(2, 4, 5), torch.zeros(2, 4, 0)])
def test_undefined_correlations_of_fields_are_nan(other):
    assert strf_correlation(FIELD, other).isnan().all()
