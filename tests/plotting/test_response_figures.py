"""Stimulus, repeats, mean response and prediction are drawn as given, on axes with units."""

import numpy as np
import pytest
from artists import line, tick_labels

from deepSTRF.plotting import plot_neuron, plot_psth_vs_pred, plot_stim_with_response

FREQUENCIES = np.geomspace(500, 16000, 34)


def test_stimulus_repeats_and_mean_are_drawn_as_given(neuron):
    stim, counts, pred = neuron
    fig, (top, middle, bottom) = plot_stim_with_response(stim[None], counts, pred, dt_ms=5.0, title="unit 1")
    np.testing.assert_array_equal(top.images[0].get_array(), stim)
    np.testing.assert_array_equal(middle.images[0].get_array().filled(np.nan), counts)
    np.testing.assert_array_equal(line(bottom, "prediction").get_ydata(), pred)
    mean = line(bottom, "mean response").get_ydata()
    np.testing.assert_allclose(mean[:190], np.nanmean(counts[:, :190], axis=0))
    assert np.isnan(mean[190:]).all()
    assert fig.get_suptitle() == "unit 1"


def test_time_is_in_seconds_and_panels_are_aligned(neuron):
    stim, counts, pred = neuron
    _, axes = plot_stim_with_response(stim, counts, pred, dt_ms=5.0)
    assert axes[0].images[0].get_extent() == [0.0, 1.0, -0.5, 33.5]
    assert axes[1].images[0].get_extent()[:2] == [0.0, 1.0]
    assert {ax.get_xlim() for ax in axes} == {(0.0, 1.0)}
    np.testing.assert_allclose(line(axes[2], "prediction").get_xdata()[[0, -1]], [0.0025, 0.9975])  # bin centres
    assert axes[2].get_xlabel() == "time (s)"
    assert [ax.get_ylabel() for ax in axes] == ["frequency band", "repeat", "response (a.u.)"]


def test_time_is_in_bins_without_dt(neuron):
    _, axes = plot_stim_with_response(neuron[0], neuron[1])
    assert axes[-1].get_xlabel() == "time (bins)"
    assert axes[-1].get_xlim() == (0.0, 200.0)


@pytest.mark.parametrize("shape", [(50,), (1, 50)])
def test_a_single_trial_has_no_raster(shape, rng):
    response = rng.uniform(size=shape)
    _, axes = plot_stim_with_response(rng.normal(size=(5, 50)), response)
    assert len(axes) == 2
    np.testing.assert_array_equal(line(axes[1], "response").get_ydata(), response.ravel())


def test_first_repeat_is_on_top(neuron):
    _, axes = plot_stim_with_response(neuron[0], neuron[1])
    bottom, top = axes[1].get_ylim()
    assert bottom == 6.5
    assert top == 0.5


@pytest.mark.parametrize("response", [np.full((3, 50), np.nan), np.zeros((3, 50)), -np.ones((3, 50))])
def test_empty_silent_and_negative_responses_can_be_drawn(response):
    fig, axes = plot_stim_with_response(np.zeros((5, 50)), response, dt_ms=5.0)
    fig.draw_without_rendering()
    assert len(axes) == 3


def test_a_waveform_is_drawn_as_its_range_in_every_bin(neuron, rng):
    waveform = rng.normal(size=200 * 8)
    _, axes = plot_stim_with_response(waveform, neuron[1], neuron[2], dt_ms=5.0)
    assert [ax.get_ylabel() for ax in axes] == ["sound", "repeat", "response (a.u.)"]
    (area,) = axes[0].collections
    corners = area.get_paths()[0].vertices
    samples = waveform.reshape(200, 8)
    assert corners[:, 1].max() == samples.max()
    assert {*samples.min(1), *samples.max(1)} <= set(corners[:, 1])
    assert axes[0].get_xlim() == (0.0, 1.0)


def test_psth_and_prediction_are_drawn_as_given(rng):
    target, pred = rng.uniform(size=100), rng.uniform(size=100)
    ax = plot_psth_vs_pred(target, pred, 10.0, "unit", "data", "model")
    np.testing.assert_array_equal(line(ax, "data").get_ydata(), target)
    np.testing.assert_array_equal(line(ax, "model").get_ydata(), pred)
    assert (ax.get_title(), ax.get_xlabel(), ax.get_xlim()) == ("unit", "time (s)", (0.0, 1.0))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["data", "model"]
    assert plot_psth_vs_pred(target, pred, legend=False).get_legend() is None


def test_the_legend_never_covers_a_peak():
    ax = plot_psth_vs_pred(np.ones(100), np.ones(100))
    ax.figure.draw_without_rendering()
    legend = ax.get_legend().get_window_extent()
    assert ax.transData.transform((0, 1.0))[1] < legend.y0


def test_a_neurons_title_has_its_score(neuron):
    stim, counts, pred = neuron
    psth = np.nanmean(counts[:, :190], axis=0)
    expected = np.corrcoef(psth, pred[:190])[0, 1]
    fig, axes = plot_neuron(stim, counts, None, pred, 5.0, FREQUENCIES, "unit 1")
    assert fig.get_suptitle() == f"unit 1, cc {expected:.2f}"
    assert axes[0].get_ylabel() == "frequency (kHz)"
    assert tick_labels(axes[0]) == ["0.5", "1", "2", "4", "8", "16"]
    np.testing.assert_allclose(axes[0].get_yticks(), np.linspace(0, 33, 6), atol=1e-6)  # octaves of log-spaced bands


def test_a_neurons_scores_and_psth_can_be_given(neuron):
    stim, counts, pred = neuron
    fig, axes = plot_neuron(
        stim, counts, pred, pred, 5.0, scores={"cc": 0.5, "cc_norm": float("nan")}, response_label="spikes/bin"
    )
    assert fig.get_suptitle() == "cc 0.50, cc_norm undefined"
    np.testing.assert_array_equal(line(axes[2], "mean response").get_ydata(), pred)
    assert axes[2].get_ylabel() == "spikes/bin"


@pytest.mark.parametrize("prediction", [np.full(200, np.nan), np.full(200, 0.1), np.zeros(200)])
def test_a_prediction_without_variance_has_no_score(neuron, prediction):
    assert plot_neuron(neuron[0], neuron[1], None, prediction, 5.0)[0].get_suptitle() == "cc undefined"


@pytest.mark.parametrize(("n_bins", "n_repeats"), [(40, 2), (40, 1), (3000, 3)])
def test_short_and_long_recordings_with_long_titles_fit(n_bins, n_repeats, rng):
    fig, _ = plot_neuron(
        rng.normal(size=(34, n_bins)),
        rng.poisson(0.2, (n_repeats, n_bins)),
        None,
        rng.uniform(size=n_bins),
        5.0,
        title="a title that is much longer than any figure is wide " * 3,
    )
    fig.draw_without_rendering()
    title = fig._suptitle.get_window_extent()
    assert title.x0 >= 0
    assert title.x1 <= fig.bbox.width


def test_evenly_spaced_bands_have_round_khz_ticks(rng):
    _, axes = plot_neuron(
        rng.normal(size=(41, 60)), np.ones((2, 60)), None, np.ones(60), 5.0, np.linspace(0, 20000, 41)
    )
    assert tick_labels(axes[0]) == ["0", "5", "10", "15", "20"]
    assert list(axes[0].get_yticks()) == [0, 10, 20, 30, 40]
