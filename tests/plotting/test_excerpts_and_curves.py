"""Long stimuli are drawn as an excerpt that says so; stimuli and fields of one band as curves."""

import numpy as np
import pytest
import torch
from artists import line

from deepSTRF.plotting import plot_neuron, plot_stim_with_response, plot_strf_grid, plot_strf_recovery
from deepSTRF.runs.figures import rank_neurons, ranking_score


def one_minute(rng, n_bands, peak_s=42):
    """60 s in bins of 10 ms, with a strong response for two seconds from `peak_s` on."""
    response = rng.uniform(size=6000)
    response[100 * peak_s : 100 * (peak_s + 2)] += 5
    return rng.normal(size=(n_bands, 6000)), response


@pytest.mark.parametrize("n_bands", [1, 34])
def test_a_long_stimulus_is_cut_to_where_the_response_is_strongest(n_bands, rng):
    stim, response = one_minute(rng, n_bands)
    fig, axes = plot_neuron(stim, response, None, response, 10.0, title="unit 1")
    drawn = line(axes[-1], "response").get_ydata()
    begin = next(b for b in range(5501) if np.array_equal(response[b : b + 500], drawn))
    assert begin <= 4200
    assert begin + 500 >= 4400
    assert axes[-1].get_xlabel() == f"time (s): {begin / 100:g} to {begin / 100 + 5:g} s of 60 s"
    fig.draw_without_rendering()
    shown = [float(text.get_text()) for text in axes[-1].get_xticklabels()]
    np.testing.assert_allclose(shown, axes[-1].get_xticks() + begin / 100)
    stimulus = axes[0].lines[0].get_ydata()[None] if n_bands == 1 else axes[0].images[0].get_array()
    np.testing.assert_array_equal(stimulus, stim[:, begin : begin + 500])
    assert fig.get_suptitle() == "unit 1, cc 1.00"  # the score is that of all of it


def test_an_excerpt_avoids_missing_data_and_can_be_chosen(rng):
    stim, response = one_minute(rng, 3, peak_s=42)
    response[4190:4290] = np.nan
    response[:3000] = np.nan
    _, axes = plot_stim_with_response(stim, response, dt_ms=10.0)
    assert "of 60 s" in axes[-1].get_xlabel()
    _, axes = plot_stim_with_response(stim, response, dt_ms=10.0, excerpt=(3000, 3100))
    np.testing.assert_array_equal(line(axes[-1], "response").get_ydata(), response[3000:3100])
    assert axes[-1].get_xlabel() == "time (s): 30 to 31 s of 60 s"
    _, axes = plot_stim_with_response(stim, response, excerpt=False)
    assert len(line(axes[-1], "response").get_ydata()) == 6000
    _, axes = plot_stim_with_response(rng.normal(size=6000 * 4), response, dt_ms=10.0, excerpt=(10, 20))
    assert axes[0].get_ylabel() == "sound"


def test_nothing_is_cut_from_silent_short_or_missing_responses(rng):
    for response in (np.full(6000, np.nan), np.zeros(6000)):
        _, axes = plot_stim_with_response(rng.normal(size=(3, 6000)), response, dt_ms=10.0)
        assert axes[-1].get_xlabel() == "time (s): 0 to 5 s of 60 s"
    _, axes = plot_stim_with_response(rng.normal(size=(3, 1000)), np.zeros(1000), dt_ms=10.0)
    assert axes[-1].get_xlabel() == "time (s)"


@pytest.mark.parametrize(("excerpt", "error"), [((5, 3), ValueError), ((0, 99), ValueError), ("all", TypeError)])
def test_wrong_excerpts(excerpt, error, rng):
    with pytest.raises(error, match="excerpt must be"):
        plot_stim_with_response(rng.normal(size=(3, 50)), np.zeros(50), excerpt=excerpt)


def test_a_stimulus_of_one_band_is_a_curve(rng):
    stim = rng.normal(size=(1, 50))
    _, axes = plot_stim_with_response(stim, np.zeros((2, 50)), dt_ms=10.0)
    np.testing.assert_array_equal(axes[0].lines[0].get_ydata(), stim[0])
    assert not axes[0].images
    assert axes[0].get_ylabel() == "stimulus"


def test_fields_of_one_band_are_curves_with_numbers(rng):
    fields = rng.normal(size=(3, 1, 20))
    fields[1] *= 100
    fields[2] = np.nan
    fig, axes = plot_strf_grid(fields, dt_ms=10.0)
    fig.draw_without_rendering()
    curve = axes[1].lines[-1]
    np.testing.assert_array_equal(curve.get_ydata(), fields[1, 0])
    np.testing.assert_allclose(curve.get_xdata()[[0, -1]], [-190, 0])
    assert len(fig.axes) == 3  # no colour bar
    assert axes[1].get_ylim()[1] > np.abs(fields[1]).max()
    assert [text.get_text() for text in axes[2].texts] == ["undefined"]
    assert "weight" in fig.get_supylabel()
    assert fig.get_supxlabel() == "lag (ms)"
    plot_strf_recovery(fields, fields[..., 5:])[0].draw_without_rendering()


def test_neurons_are_ranked_and_named_by_one_score():
    scores = {
        "cc": torch.tensor([0.9, 0.1, 0.5]),
        "cc_norm": torch.tensor([0.9, 0.8, float("nan")]),
        "n_repeats": torch.tensor([1, 4, 4]),
    }
    assert ranking_score(scores) == "cc_norm"
    assert rank_neurons(scores) == [1]
    scores["n_repeats"] = torch.tensor([1, 1, 1])
    assert ranking_score(scores) == "cc"
    assert rank_neurons(scores) == [0, 2, 1]
