"""Rasters, coverage, models against each other, amounts of data and changing fields: what is drawn, labels, errors."""

import numpy as np
import pytest
import torch
from artists import line, tick_labels

from deepSTRF.plotting import (
    plot_amount_of_data,
    plot_coverage,
    plot_dynamic_strf,
    plot_model_against_model,
    plot_raster,
)

NAN = float("nan")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_spikes_are_ticks_and_missing_bins_grey(rng):
    counts = rng.poisson(0.3, (4, 100)).astype(float)
    counts[1, 50:] = NAN
    _, (raster, mean) = plot_raster(counts, np.full(100, 0.3), 10.0, "unit 1", response_label="spikes per bin")
    (ticks,) = raster.collections
    places = [(path[0, 0], round(path[:, 1].mean())) for path in ticks.get_segments()]
    rows, bins = np.nonzero(np.nan_to_num(counts))
    np.testing.assert_allclose(places, np.column_stack([(bins + 0.5) * 0.01, rows + 1]))
    np.testing.assert_array_equal(~raster.images[0].get_array().mask, np.isnan(counts))
    assert raster.get_ylim() == (4.5, 0.5)  # first repeat on top
    np.testing.assert_allclose(line(mean, "PSTH").get_ydata(), np.nanmean(counts, axis=0))
    assert [raster.get_ylabel(), mean.get_ylabel(), mean.get_xlabel()] == ["repeat", "spikes per bin", "time (s)"]
    assert mean.get_xlim() == (0.0, 1.0)


def test_other_responses_are_an_image_and_long_ones_an_excerpt(rng):
    _, (raster, mean) = plot_raster(rng.normal(size=(3, 3000)), dt_ms=5.0, excerpt=(1000, 1400))
    assert raster.images[0].get_array().shape == (3, 400)
    assert mean.get_xlabel() == "time (s): 5 to 7 s of 15 s"
    assert mean.get_legend() is None


def test_coverage():
    repeats = np.array([[3, 0, 1], [2, 5, 0]])
    ax = plot_coverage(repeats, stimuli=["rain", "birds"], neurons=list("abc"), title="mine")
    drawn = ax.images[0].get_array()
    np.testing.assert_array_equal(drawn.mask, repeats == 0)
    np.testing.assert_array_equal(drawn[~drawn.mask], repeats[repeats > 0])
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("mine, 66.7 % recorded", "neuron", "stimulus")
    assert tick_labels(ax) == ["rain", "birds"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.figure.axes[1].get_ylabel() == "repeats (grey: no data)"


def test_models_against_each_other():
    first, second = [0.5, 0.2, NAN, 0.4], [0.6, 0.1, 0.3, 0.9]
    ax = plot_model_against_model(first, second, names=("ridge", "net"), significant=[1, 0, 1, NAN], score_label="cc")
    filled, hollow = (dots.get_offsets() for dots in ax.collections)
    np.testing.assert_allclose(filled, [[0.5, 0.6]])
    np.testing.assert_allclose(hollow, [[0.2, 0.1], [0.4, 0.9]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ridge: cc", "net: cc")
    np.testing.assert_array_equal(line(ax, "equal").get_xdata(), line(ax, "equal").get_ydata())
    assert ax.get_xlim() == ax.get_ylim()
    assert legend(ax)[1:] == [
        "significant difference (n = 1)",
        "no significant difference (n = 2)",
        "better: net in 2, ridge in 1",
        "undefined, left out (n = 1)",
    ]


def test_long_names_of_models_stay_on_the_page():
    ax = plot_model_against_model([0.1], [0.2], names=("a linear-nonlinear model " * 2, "a recurrent network " * 2))
    ax.figure.draw_without_rendering()
    page = ax.figure.bbox
    for artist in (ax.xaxis.label, ax.yaxis.label, ax.get_legend()):
        box = artist.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= page.width
        assert box.y0 >= 0
        assert box.y1 <= page.height


def test_the_mean_over_amounts_is_of_the_same_neurons():
    scores = [[0.2, 0.5, 0.1], [0.4, 0.5, NAN], [0.5, 0.6, 0.3]]
    ax = plot_amount_of_data([10, 10, 20], scores, limit=[0.7, 0.8, 0.9], slope=[-4, -4, -4], interval=(0.7, 0.8))
    mean = line(ax, "mean (n = 2)")
    np.testing.assert_allclose(mean.get_xdata(), [10, 20])
    np.testing.assert_allclose(mean.get_ydata(), [0.4, 0.55])
    curve = line(ax, "fitted curve")
    np.testing.assert_allclose(curve.get_ydata(), 0.75 - 4 / curve.get_xdata())
    assert ax.get_xlim() == (0, 40)
    assert legend(ax)[-2:] == ["unlimited data: 0.75 (0.70 to 0.80)", "undefined, left out (n = 1)"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("training data (stimuli)", "cc_norm (correlation)")


def test_amounts_without_extrapolation_or_without_data():
    assert legend(plot_amount_of_data([5, 10], [0.1, 0.2])) == ["neuron", "mean (n = 1)"]
    assert legend(plot_amount_of_data([5], [[NAN]], limit=[NAN])) == ["undefined, left out (n = 1)"]


def test_a_strip_of_fields(rng):
    fields, trace = torch.as_tensor(rng.normal(size=(30, 34, 10))), rng.normal(size=30)
    frequencies = np.geomspace(500, 16000, 34)
    fig, (top, *strip) = plot_dynamic_strf(
        fields, np.arange(100, 130), 5.0, frames=[101, 120], frequencies_hz=frequencies, prediction=trace
    )
    limit = fields[[1, 20]].abs().max()
    for ax, index in zip(strip, (1, 20), strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), fields[index])
        np.testing.assert_allclose(ax.images[0].get_clim(), (-limit, limit))
        np.testing.assert_allclose(ax.get_xlim(), (-47.5, 2.5))
    assert [ax.get_title() for ax in strip] == ["0.505 s", "0.6 s"]
    assert tick_labels(strip[0]) == ["1", "4", "16"]
    assert (strip[0].get_ylabel(), fig.get_supxlabel()) == ("frequency (kHz)", "lag (ms)")
    np.testing.assert_allclose(top.lines[1].get_xdata(), [0.505, 0.6])
    np.testing.assert_allclose(top.lines[1].get_ydata(), trace[[1, 20]])
    assert top.get_xlabel() == "time (s)"


def test_frames_are_evenly_spaced_by_default_and_one_band_is_a_curve(rng):
    _, strip = plot_dynamic_strf(rng.normal(size=(11, 1, 4)), frames=3)
    assert [ax.get_title() for ax in strip] == ["bin 0", "bin 5", "bin 10"]
    assert not strip[0].images
    assert len(plot_dynamic_strf(rng.normal(size=(2, 3, 4)))[1]) == 2


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: plot_raster(np.ones((2, 5)), np.ones(4)), ValueError, "expected 5, got 4"),
        (lambda: plot_raster(np.ones((2, 5)), axes=[]), ValueError, "2 panels, for raster, mean response; got 0"),
        (lambda: plot_coverage([3, 1]), ValueError, "repeats must have 2 dimensions"),
        (lambda: plot_coverage([[3, -1]]), ValueError, "some are negative"),
        (lambda: plot_coverage([[3, 1]], neurons=["a"]), ValueError, "one name for each of 2, got 1"),
        (lambda: plot_coverage([[3, 1]], ax=1), TypeError, "Axes, got an int"),
        (lambda: plot_model_against_model([1.0], [1.0, 2.0]), ValueError, "got 1, 2 and 1"),
        (lambda: plot_model_against_model([1.0], [1.0], names=["a"]), ValueError, "names must be two"),
        (lambda: plot_model_against_model([1.0], [1.0], names="ab"), TypeError, "names must be a list"),
        (lambda: plot_amount_of_data([1, 2], [[0.1]]), ValueError, "one row for each of 2 amounts, got 1"),
        (lambda: plot_amount_of_data([0], [[0.1]]), ValueError, "positive"),
        (lambda: plot_amount_of_data([1], [[0.1]], slope=[1.0]), ValueError, "give limit too"),
        (lambda: plot_amount_of_data([1], [[0.1]], [1.0, 2.0]), ValueError, "each of 1 neurons, got 2"),
        (lambda: plot_dynamic_strf(np.ones((3, 4))), ValueError, "fields must have 3 dimensions"),
        (lambda: plot_dynamic_strf(np.ones((3, 4, 5)), [0, 1]), ValueError, "bins must rise, one for each of 3"),
        (lambda: plot_dynamic_strf(np.ones((3, 4, 5)), frames=[7]), ValueError, r"bins 0 to 2 .* got \[7\]"),
        (lambda: plot_dynamic_strf(np.ones((3, 4, 5)), frames=0), ValueError, "frames"),
        (lambda: plot_dynamic_strf(np.ones((3, 4, 5)), frequencies_hz=[1.0]), ValueError, "expected 4, got 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()
