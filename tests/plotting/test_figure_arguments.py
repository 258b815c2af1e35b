"""What figures say to arguments that they cannot use."""

import functools

import pytest
import torch

from deepSTRF import plotting

NAN, INF = torch.nan, torch.inf
STIM, RESPONSE, TRACE, FIELDS = torch.rand(4, 20), torch.rand(3, 20), torch.rand(20), torch.rand(3, 4, 5)
stim_plot = functools.partial(plotting.plot_stim_with_response, STIM, RESPONSE)
neuron_plot = functools.partial(plotting.plot_neuron, STIM, RESPONSE, None, TRACE, 5.0)
PLOT_TABLE = [
    pytest.param(
        lambda: plotting.plot_stim_with_response("abc", RESPONSE), ValueError, "stim must be .* str", id="str"
    ),
    pytest.param(
        lambda: plotting.plot_stim_with_response([[1.0, 2.0], [1.0]], RESPONSE), ValueError, "stim must be", id="ragged"
    ),
    pytest.param(
        lambda: plotting.plot_stim_with_response(STIM.to(torch.complex64), RESPONSE),
        ValueError,
        "complex",
        id="complex",
    ),
    pytest.param(lambda: plotting.plot_stim_with_response(TRACE, RESPONSE), ValueError, "2 or 3 dim", id="rank"),
    pytest.param(lambda: plotting.plot_stim_with_response(STIM[:, :0], RESPONSE), ValueError, "empty", id="empty"),
    pytest.param(
        lambda: plotting.plot_stim_with_response(STIM, RESPONSE[:, 1:]), ValueError, "same number of time bins", id="T"
    ),
    pytest.param(lambda: stim_plot(pred=TRACE[1:]), ValueError, "expected 20, got 19", id="pred"),
    pytest.param(lambda: stim_plot(dt_ms=0), ValueError, "dt_ms must be a positive number.* got 0", id="dt-zero"),
    pytest.param(lambda: stim_plot(dt_ms="5"), ValueError, "dt_ms must be a positive number.* got '5'", id="dt-str"),
    pytest.param(lambda: stim_plot(axes=[1, 2, 3]), TypeError, "matplotlib Axes, got int", id="axes"),
    pytest.param(lambda: stim_plot(axes="abc"), ValueError, "axes must hold 3 panels", id="axes-number"),
    pytest.param(lambda: stim_plot(figsize=5), ValueError, "figsize must have", id="figsize"),
    pytest.param(lambda: stim_plot(figsize=(-1, 2)), ValueError, "figsize must be .* positive", id="figsize-negative"),
    pytest.param(lambda: stim_plot(frequencies_hz=[1, 2]), ValueError, "expected 4, got 2", id="frequencies"),
    pytest.param(
        lambda: stim_plot(frequencies_hz=["a"] * 4), ValueError, "frequencies_hz must be", id="frequencies-str"
    ),
    pytest.param(lambda: plotting.plot_psth_vs_pred(TRACE, TRACE, ax="a"), TypeError, "Axes, got str", id="ax"),
    pytest.param(lambda: plotting.plot_psth_vs_pred(TRACE, TRACE[1:]), ValueError, "20 and 19 bins", id="lengths"),
    pytest.param(lambda: neuron_plot(scores={"cc": "high"}), ValueError, "score 'cc' must be", id="score"),
    pytest.param(lambda: neuron_plot(scores=[0.5]), ValueError, "scores must be a dict", id="scores"),
    pytest.param(lambda: plotting.plot_strf_grid([]), ValueError, "empty", id="grid-empty"),
    pytest.param(lambda: plotting.plot_strf_grid("abc"), ValueError, r"strfs\[0\] must be an array", id="grid-str"),
    pytest.param(lambda: plotting.plot_strf_grid(FIELDS[0]), ValueError, r"\(K, F, T\)", id="grid-rank"),
    pytest.param(
        lambda: plotting.plot_strf_grid(FIELDS, ncols=2.5), ValueError, "ncols must be .* 2.5", id="ncols-float"
    ),
    pytest.param(
        lambda: plotting.plot_strf_grid(FIELDS, ncols="4"), ValueError, "ncols must be .* '4'", id="ncols-str"
    ),
    pytest.param(lambda: plotting.plot_strf_grid(FIELDS, ncols=0), ValueError, "ncols must be", id="ncols-zero"),
    pytest.param(
        lambda: plotting.plot_strf_grid(FIELDS, titles="abc"), TypeError, "titles must be a list", id="titles"
    ),
    pytest.param(
        lambda: plotting.plot_strf_grid(FIELDS, titles=["a"]), ValueError, "expected 3, got 1", id="titles-few"
    ),
    pytest.param(
        lambda: plotting.plot_strf_recovery(FIELDS, FIELDS, ["a"] * 3),
        ValueError,
        "correlations must be",
        id="recovery",
    ),
    pytest.param(
        lambda: plotting.plot_strf_recovery(FIELDS, FIELDS[:2]), ValueError, "must agree", id="recovery-number"
    ),
    pytest.param(lambda: plotting.plot_learning_curves([]), ValueError, "history is empty", id="history-empty"),
    pytest.param(
        lambda: plotting.plot_learning_curves({"val_cc": 1}), ValueError, "list of one dict", id="history-dict"
    ),
    pytest.param(lambda: plotting.plot_learning_curves([1, 2]), ValueError, "list of one dict", id="history-rows"),
    pytest.param(
        lambda: plotting.plot_learning_curves([{"val_cc_norm": "a"}]),
        ValueError,
        "val_cc_norm in the history must be numbers, got 'a'",
        id="history-value",
    ),
    pytest.param(
        lambda: plotting.plot_learning_curves([{"epoch": "a", "val_cc_norm": 0.1}]),
        ValueError,
        "epoch in the history must be numbers",
        id="history-epoch",
    ),
    pytest.param(
        lambda: plotting.plot_cc_against_ceiling(TRACE, TRACE[1:]), ValueError, "one value per neuron", id="ceiling"
    ),
    pytest.param(lambda: plotting.plot_cc_against_ceiling(TRACE, TRACE, ax=1), TypeError, "Axes, got int", id="cc-ax"),
]


@pytest.mark.parametrize(("action", "error", "words"), PLOT_TABLE)
def test_plotting(action, error, words):
    with pytest.raises(error, match=words):
        action()


@pytest.mark.parametrize("value", [NAN, INF, -INF, 0.0])
def test_undefined_values_are_drawn_without_a_word(value):
    """All missing, all infinite, all zero: a figure, no error and (in these tests) no warning."""

    def like(tensor):
        return torch.full_like(tensor, value)

    for figure in (
        plotting.plot_stim_with_response(like(STIM), like(RESPONSE), like(TRACE))[0],
        plotting.plot_psth_vs_pred(like(TRACE), like(TRACE)).figure,
        plotting.plot_neuron(STIM, like(RESPONSE), None, like(TRACE), 5.0)[0],
        plotting.plot_strf_grid(like(FIELDS))[0],
        plotting.plot_strf_grid(like(FIELDS), shared_clim=True)[0],
        plotting.plot_strf_recovery(FIELDS, like(FIELDS), like(FIELDS[:, 0, 0]))[0],
        plotting.plot_cc_against_ceiling(like(TRACE), TRACE).figure,
        plotting.plot_learning_curves([{"epoch": 0, "val_cc_norm": value, "train_loss": value}])[0],
    ):
        figure.draw_without_rendering()
