"""What is drawn is what was given, on axes with units, and nothing global changes."""

from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from deepSTRF import plotting
from deepSTRF.models.wav2spec import CausalMelSpectrogram
from deepSTRF.plotting import (
    compare_wav2spec_to_groundtruth,
    plot_cc_against_ceiling,
    plot_learning_curves,
    plot_movie_fields,
    plot_neuron,
    plot_psth_vs_pred,
    plot_stim_with_response,
    plot_strf_grid,
    plot_strf_recovery,
)

FREQUENCIES = np.geomspace(500, 16000, 34)


def line(ax, label):
    """The line of `ax` with that legend entry."""
    (found,) = [artist for artist in ax.lines if artist.get_label() == label]
    return found


def tick_labels(ax):
    ax.figure.draw_without_rendering()
    return [text.get_text() for text in ax.get_yticklabels()]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def neuron(rng):
    """Spectrogram, counts of 6 repeats with missing bins, prediction: 200 bins of 5 ms, that is one second."""
    counts = rng.poisson(0.3, (6, 200)).astype(float)
    counts[2, 150:] = np.nan
    counts[4] = np.nan
    counts[:, 190:] = np.nan
    return rng.normal(size=(34, 200)), counts, rng.uniform(size=200)


@pytest.fixture
def history():
    values = [0.1, 0.4, 0.3]
    return [
        {
            "epoch": epoch,
            "train_loss": 1.0 - value,
            "val_loss": torch.tensor(1.1 - value),
            "val_cc": torch.tensor([value, float("nan"), value + 0.2]),
            "val_cc_norm": torch.tensor([value + 0.1, float("nan"), value + 0.3]),
            "seconds": 3.0,
        }
        for epoch, value in enumerate(values)
    ]


def every_figure(convert, history):
    """Call each public function on arrays made by `convert`; returns their figures."""
    rng = np.random.default_rng(1)
    stim, response, trace = rng.normal(size=(34, 50)), rng.poisson(0.3, (4, 50)), rng.uniform(size=50)
    strfs = rng.normal(size=(3, 34, 10))
    recording = SimpleNamespace(stims=[convert(rng.normal(size=(1, 2000)))], dt=5.0)
    return {
        "compare_wav2spec_to_groundtruth": compare_wav2spec_to_groundtruth(
            recording, CausalMelSpectrogram(8000, 34), ground_truth_stims=[convert(stim)]
        )[2],
        "plot_stim_with_response": plot_stim_with_response(convert(stim), convert(response), convert(trace), 5.0)[0],
        "plot_psth_vs_pred": plot_psth_vs_pred(convert(trace), convert(trace), 5.0).figure,
        "plot_neuron": plot_neuron(convert(stim), convert(response), None, convert(trace), 5.0, FREQUENCIES)[0],
        "plot_strf_grid": plot_strf_grid(convert(strfs), dt_ms=5.0, frequencies_hz=convert(FREQUENCIES))[0],
        "plot_strf_recovery": plot_strf_recovery(convert(strfs), convert(strfs), convert(np.ones(3)))[0],
        "plot_learning_curves": plot_learning_curves(history)[0],
        "plot_movie_fields": plot_movie_fields(convert(rng.normal(size=(2, 5, 6, 7))))[0],
        "plot_cc_against_ceiling": plot_cc_against_ceiling(convert(trace), convert(trace)).figure,
    }


# --- all of them


@pytest.mark.parametrize(
    "convert", [np.asarray, torch.as_tensor, lambda x: torch.as_tensor(x * 1.0).requires_grad_()], ids="ntg"
)
def test_every_figure_renders_and_leaves_no_trace(convert, history, tmp_path):
    settings, backend, open_figures = dict(matplotlib.rcParams), matplotlib.get_backend(), plt.get_fignums()
    figures = every_figure(convert, history)
    assert set(figures) == set(plotting.__all__)
    for name, fig in figures.items():
        fig.savefig(tmp_path / f"{name}.png", dpi=30)
        assert (tmp_path / f"{name}.png").stat().st_size > 500
    assert plt.get_fignums() == open_figures
    assert dict(matplotlib.rcParams) == settings
    assert matplotlib.get_backend() == backend


def test_a_users_figure_stays_open_and_is_drawn_into(neuron):
    stim, counts, pred = neuron
    fig, axes = plt.subplots(3)
    try:
        returned, panels = plot_stim_with_response(stim, counts, pred, 5.0, title="mine", axes=axes)
        assert returned is fig
        assert panels == list(axes)
        assert axes[0].get_title() == "mine"
        assert plot_psth_vs_pred(pred, pred, ax=axes[2]) is axes[2]
        assert plt.fignum_exists(fig.number)
    finally:
        plt.close(fig)


def test_a_part_of_a_figure_can_be_drawn_into(history):
    fig = matplotlib.figure.Figure()
    left, right = fig.subfigures(1, 2)
    assert plot_learning_curves(history, axes=left.subplots(2))[0] is fig
    assert plot_cc_against_ceiling([0.1], [0.2], ax=right.subplots(), title="a title").figure is right


def test_old_address():
    from deepSTRF.utils import plotting as old

    assert old.plot_strf_grid is plot_strf_grid
    assert old.plot_psth_vs_pred is plot_psth_vs_pred
    assert old.plot_stim_with_response is plot_stim_with_response


# --- stimulus and response


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stim": np.zeros((2, 5, 50))}, r"\(1, F, T\)"),
        ({"stim": np.zeros(50)}, "dimensions"),
        ({"stim": np.zeros(1999)}, "same number of samples.*50 bins.*1999"),
        ({"response": np.zeros((2, 3, 50))}, "dimensions"),
        ({"response": np.zeros((0, 50))}, "empty"),
        ({"response": np.zeros((3, 49))}, "50 and 49"),
        ({"pred": np.zeros(49)}, "expected 50, got 49"),
        ({"pred": np.zeros((1, 50))}, "dimensions"),
        ({"psth": np.zeros(49)}, "expected 50, got 49"),
        ({"dt_ms": 0.0}, "dt_ms"),
        ({"dt_ms": float("nan")}, "dt_ms"),
        ({"axes": []}, "3 panels"),
        ({"frequencies_hz": [1.0, 2.0]}, "expected 5, got 2"),
        ({"frequencies_hz": [5.0, 4.0, 3.0, 2.0, 1.0]}, "flip"),
    ],
)
def test_wrong_stimuli_and_responses_are_refused(change, message):
    arguments = {"stim": np.zeros((5, 50)), "response": np.zeros((3, 50))} | change
    with pytest.raises(ValueError, match=message):
        plot_stim_with_response(**arguments)


def test_psth_and_prediction_are_drawn_as_given(rng):
    target, pred = rng.uniform(size=100), rng.uniform(size=100)
    ax = plot_psth_vs_pred(target, pred, 10.0, "unit", "data", "model")
    np.testing.assert_array_equal(line(ax, "data").get_ydata(), target)
    np.testing.assert_array_equal(line(ax, "model").get_ydata(), pred)
    assert (ax.get_title(), ax.get_xlabel(), ax.get_xlim()) == ("unit", "time (s)", (0.0, 1.0))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["data", "model"]
    assert plot_psth_vs_pred(target, pred, legend=False).get_legend() is None


@pytest.mark.parametrize(("target", "pred"), [((10,), (11,)), ((1, 10), (1, 10)), ((), ()), ((10,), (10, 1))])
def test_wrong_traces_are_refused(target, pred):
    with pytest.raises(ValueError, match=r"target|pred"):
        plot_psth_vs_pred(np.zeros(target), np.zeros(pred))


def test_the_legend_never_covers_a_peak():
    ax = plot_psth_vs_pred(np.ones(100), np.ones(100))
    ax.figure.draw_without_rendering()
    legend = ax.get_legend().get_window_extent()
    assert ax.transData.transform((0, 1.0))[1] < legend.y0


# --- one neuron


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


def test_a_missing_prediction_is_refused(neuron):
    with pytest.raises(ValueError, match="prediction is None"):
        plot_neuron(neuron[0], neuron[1], None, None, 5.0)


# --- receptive fields


def test_receptive_fields_are_drawn_as_given_with_symmetric_colours(rng):
    strfs = rng.normal(size=(5, 34, 20)) + 3.0
    fig, axes = plot_strf_grid(strfs, [f"unit {n}" for n in range(5)], dt_ms=5.0, suptitle="all")
    assert len(axes) == 5
    assert fig.get_suptitle() == "all"
    for n, ax in enumerate(axes):
        (image,) = ax.images
        np.testing.assert_array_equal(image.get_array(), strfs[n])
        assert image.get_clim() == (-np.abs(strfs[n]).max(), np.abs(strfs[n]).max())
        assert ax.get_title() == f"unit {n}"
    assert len({ax.get_position().y0 for ax in axes}) == 2  # 4 columns, 2 rows


def test_red_excites(rng):
    _, axes = plot_strf_grid(np.array([[[-1.0, 1.0]]]))
    suppression, excitation = axes[0].images[0].to_rgba(np.array([-1.0, 1.0]))
    assert excitation[0] > excitation[2]
    assert suppression[2] > suppression[0]


def test_columns_are_centred_on_their_lags():
    _, axes = plot_strf_grid(np.ones((1, 34, 20)), dt_ms=5.0)
    assert axes[0].images[0].get_extent() == [-97.5, 2.5, -0.5, 33.5]
    _, axes = plot_strf_grid(np.ones((1, 34, 20)))
    assert axes[0].images[0].get_extent() == [-19.5, 0.5, -0.5, 33.5]


def test_grid_has_units():
    fig, _ = plot_strf_grid(np.ones((2, 34, 20)), dt_ms=5.0, frequencies_hz=FREQUENCIES)
    assert (fig.get_supxlabel(), fig.get_supylabel()) == ("lag (ms)", "frequency (kHz)")
    fig, _ = plot_strf_grid(np.ones((2, 34, 20)))
    assert (fig.get_supxlabel(), fig.get_supylabel()) == ("lag (bins)", "frequency band")


def test_shared_scale_holds_for_all_panels_and_ignores_missing_values(rng):
    strfs = rng.normal(size=(3, 6, 4))
    strfs[1] = np.nan
    strfs[0, 0, 0] = np.inf
    limit = np.abs(strfs[np.isfinite(strfs)]).max()
    _, axes = plot_strf_grid(strfs, shared_clim=True)
    assert {ax.images[0].get_clim() for ax in axes} == {(-limit, limit)}


def test_each_panel_states_its_scale(rng):
    strfs = np.stack([np.full((6, 4), -0.25), np.full((6, 4), np.nan), np.zeros((6, 4))])
    _, axes = plot_strf_grid(strfs)
    assert [ax.texts[0].get_text() for ax in axes] == ["±0.25", "undefined", "all zero"]


@pytest.mark.parametrize("strfs", [torch.ones(3, 1, 5, 4), [torch.ones(5, 4)] * 3, [np.ones((1, 5, 4))] * 3])
def test_all_forms_of_receptive_fields_are_taken(strfs):
    _, axes = plot_strf_grid(strfs)
    assert len(axes) == 3
    assert axes[0].images[0].get_array().shape == (5, 4)


@pytest.mark.parametrize(("count", "ncols", "n_rows"), [(1, 4, 1), (4, 4, 1), (119, 10, 12)])
def test_grids_of_all_sizes(count, ncols, n_rows):
    fig, axes = plot_strf_grid(np.ones((count, 3, 2)), ncols=ncols)
    assert len(axes) == count
    assert len({ax.get_subplotspec().rowspan.start for ax in axes}) == n_rows
    assert len(fig.axes) == count + 1  # and the colour bar: unused panels are gone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strfs": []}, "empty"),
        ({"strfs": np.zeros((0, 5, 4))}, "empty"),
        ({"strfs": np.zeros((5, 4))}, r"\(K, F, T\)"),
        ({"strfs": 3.0}, r"\(K, F, T\)"),
        ({"strfs": [np.zeros((5, 4)), np.zeros((5, 3))]}, "ragged"),
        ({"strfs": np.zeros((2, 2, 5, 4))}, r"\(1, F, T\)"),
        ({"strfs": np.zeros((2, 5, 4)), "titles": ["a"]}, "expected 2, got 1"),
        ({"strfs": np.zeros((2, 5, 4)), "ncols": 0}, "ncols"),
        ({"strfs": np.zeros((2, 5, 4)), "dt_ms": -1.0}, "dt_ms"),
        ({"strfs": np.zeros((2, 5, 4)), "frequencies_hz": [1.0]}, "expected 5, got 1"),
    ],
)
def test_wrong_grids_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_strf_grid(**arguments)


def test_a_movie_field_is_drawn_at_its_best_lag_and_its_strongest_pixel(rng):
    fields = rng.uniform(-1, 1, (5, 6, 8, 10))
    fields[3, 4, 7, 8] = -3.0
    fields[4, 0, 0] = np.nan
    fig, pairs = plot_movie_fields(fields, dt_ms=20.0, titles=list("abcde"), ncols=2, suptitle="all")
    assert [picture.get_title() for picture, _ in pairs] == list("abcde")
    assert len(fig.axes) == 10  # unused panels are gone
    picture, course = pairs[3]
    np.testing.assert_array_equal(picture.images[0].get_array(), fields[3, :, :, 8])
    assert picture.images[0].get_clim() == (-3.0, 3.0)
    assert picture.images[0].origin == "upper"
    assert picture.lines[0].get_xydata().tolist() == [[7, 4]]
    np.testing.assert_array_equal(course.lines[-1].get_ydata(), fields[3, 4, 7])
    np.testing.assert_array_equal(course.lines[-1].get_xdata(), np.arange(-180.0, 1.0, 20.0))
    assert course.get_xlim() == (-190.0, 10.0)
    assert pairs[4][1].get_xlabel() == "lag (ms)"
    assert plot_movie_fields(fields[:1])[1][0][1].get_xlabel() == "lag (bins)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fields": []}, "empty"),
        ({"fields": np.zeros((2, 5, 4))}, "3 dimensions"),
        ({"fields": 3.0}, "sequence"),
        ({"fields": [np.zeros((5, 4, 3)), np.zeros((5, 3, 3))]}, "ragged"),
        ({"fields": np.zeros((2, 5, 4, 3)), "titles": ["a"]}, "expected 2, got 1"),
        ({"fields": np.zeros((2, 5, 4, 3)), "dt_ms": 0}, "dt_ms"),
        ({"fields": np.zeros((2, 5, 4, 3)), "ncols": 0}, "ncols"),
    ],
)
def test_wrong_movie_fields_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_movie_fields(**arguments)


def test_recovery_pairs_are_drawn_on_one_lag_axis(rng):
    true, recovered = rng.normal(size=(7, 6, 10)), rng.normal(size=(7, 6, 4))
    _, pairs = plot_strf_recovery(true, recovered, [0.5] * 6 + [float("nan")], titles=list("abcdefg"), dt_ms=10.0)
    assert len(pairs) == 7
    for n, (above, below) in enumerate(pairs):
        np.testing.assert_array_equal(above.images[0].get_array(), true[n])
        np.testing.assert_array_equal(below.images[0].get_array(), recovered[n])
        assert below.images[0].get_clim() == (-np.abs(recovered[n]).max(), np.abs(recovered[n]).max())
        assert above.get_xlim() == below.get_xlim() == (-95.0, 5.0)
        assert below.images[0].get_extent()[:2] == [-35.0, 5.0]
        assert above.get_position().y0 > below.get_position().y0
    assert (pairs[0][0].get_ylabel(), pairs[0][1].get_ylabel()) == ("true", "recovered")
    assert pairs[0][0].get_title() == "a\nr = 0.50"
    assert pairs[6][0].get_title() == "g\nr undefined"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recovered": np.zeros((2, 6, 4))}, "agree"),
        ({"recovered": np.zeros((3, 5, 4))}, "agree"),
        ({"correlations": [1.0]}, "expected 3, got 1"),
        ({"titles": ["a"]}, "expected 3, got 1"),
        ({"ncols": 0}, "ncols"),
    ],
)
def test_wrong_recoveries_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        plot_strf_recovery(**({"true": np.zeros((3, 6, 4)), "recovered": np.zeros((3, 6, 4))} | change))


# --- scores


def test_learning_curves_average_over_defined_neurons(history):
    fig, (loss, score) = plot_learning_curves(history, title="a run")
    np.testing.assert_allclose(line(loss, "training").get_ydata(), [0.9, 0.6, 0.7])
    np.testing.assert_allclose(line(loss, "validation").get_ydata(), [1.0, 0.7, 0.8], rtol=1e-6)
    np.testing.assert_allclose(line(score, "cc (val)").get_ydata(), [0.2, 0.5, 0.4], rtol=1e-6)
    np.testing.assert_allclose(line(score, "cc_norm (val)").get_ydata(), [0.3, 0.6, 0.5], rtol=1e-6)
    assert score.get_legend_handles_labels()[1] == ["cc (val)", "cc_norm (val)"]  # no "seconds"
    assert fig.get_suptitle() == "a run"
    assert [ax.get_xlabel() for ax in (loss, score)] == ["epoch", "epoch"]


@pytest.mark.parametrize(
    ("monitor", "mode", "best"),
    [("val_cc_norm", "max", 1), ("val_loss", "min", 1), ("val_cc", "min", 0), ("train_loss", "max", 0)],
)
def test_the_best_epoch_is_marked(history, monitor, mode, best):
    _, axes = plot_learning_curves(history, monitor=monitor, mode=mode)
    assert axes[1].get_title(loc="left").startswith(f"best epoch {best}: {monitor}")
    for ax in axes:
        assert any(list(artist.get_xdata()) == [best, best] for artist in ax.lines)


def test_of_equal_epochs_the_first_is_best():
    _, axes = plot_learning_curves([{"epoch": e, "val_cc": 0.5} for e in range(4)], monitor="val_cc")
    assert axes[1].get_title(loc="left") == "best epoch 0: val_cc 0.500"


def test_an_undefined_monitor_is_said_and_not_marked():
    history = [{"epoch": e, "val_loss": 1.0, "val_cc_norm": torch.full((3,), torch.nan)} for e in range(2)]
    fig, axes = plot_learning_curves(history)
    assert "undefined" in axes[1].get_title(loc="left")
    fig.draw_without_rendering()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"history": []}, "empty"),
        ({"history": [{"val_cc": 1.0}]}, "it has: val_cc"),
        ({"history": [{"val_cc_norm": 1.0}], "mode": "best"}, "mode"),
        ({"history": [{"val_cc_norm": 1.0}], "axes": [None]}, "2 panels"),
    ],
)
def test_wrong_histories_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plot_learning_curves(**arguments)


def test_neurons_are_drawn_counted_and_left_out():
    nan = float("nan")
    cc = [0.5, 0.6, nan, 0.4, 0.3, nan]
    ceiling = [0.8, 0.9, 0.7, nan, nan, nan]
    ax = plot_cc_against_ceiling(cc, ceiling, single_trial=[False] * 4 + [True, True], title="test")
    several, single = ax.collections
    np.testing.assert_allclose(several.get_offsets(), [[0.8, 0.5], [0.9, 0.6]])
    np.testing.assert_allclose(single.get_offsets(), [[1.0, 0.3]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "noise ceiling",
        "neuron (n = 2)",
        "single trial, ceiling unknown (n = 1)",
        "undefined, left out (n = 3)",
    ]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), ax.lines[0].get_ydata())  # the identity
    assert ax.get_xlabel() == "noise ceiling (correlation)"
    assert ax.get_ylabel() == "cc of prediction (correlation)"


@pytest.mark.parametrize(("cc", "ceiling"), [([float("nan")], [float("nan")]), ([-0.4], [0.9]), ([1.3], [1.2])])
def test_all_scores_lie_inside_the_panel(cc, ceiling):
    ax = plot_cc_against_ceiling(cc, ceiling, title="long " * 20)
    ax.figure.draw_without_rendering()
    for values, limits in ((ceiling, ax.get_xlim()), (cc, ax.get_ylim())):
        finite = [value for value in values if np.isfinite(value)]
        assert all(limits[0] <= value <= limits[1] for value in finite)
    assert not ax.title.get_window_extent().overlaps(ax.get_legend().get_window_extent())


def test_scores_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="2, 1 and 2"):
        plot_cc_against_ceiling([0.1, 0.2], [0.3])
