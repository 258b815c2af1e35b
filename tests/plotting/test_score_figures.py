"""Learning curves and scores are drawn as given, and what is undefined is said."""

import numpy as np
import pytest
import torch
from artists import line

from deepSTRF.plotting import plot_cc_against_ceiling, plot_learning_curves


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
