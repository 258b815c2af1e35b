"""Wrong types are a TypeError, wrong values a ValueError, and undefined values are drawn."""

import functools

import numpy as np
import pytest
import torch

from deepSTRF import plotting

NAN, INF = torch.nan, torch.inf
STIM, RESPONSE, TRACE, FIELDS = torch.rand(4, 20), torch.rand(3, 20), torch.rand(20), torch.rand(3, 4, 5)
MOVIE_FIELDS = torch.rand(2, 5, 4, 3)
stimulus = functools.partial(plotting.plot_stim_with_response, stim=STIM, response=RESPONSE)
neuron = functools.partial(
    plotting.plot_neuron, spectrogram=STIM, responses=RESPONSE, psth=None, prediction=TRACE, dt_ms=5.0
)
traces = functools.partial(plotting.plot_psth_vs_pred, target=TRACE, pred=TRACE)
grid = functools.partial(plotting.plot_strf_grid, strfs=FIELDS)
recovery = functools.partial(plotting.plot_strf_recovery, true=FIELDS, recovered=FIELDS)
movie = functools.partial(plotting.plot_movie_fields, fields=MOVIE_FIELDS)
curves = plotting.plot_learning_curves
ceiling = functools.partial(plotting.plot_cc_against_ceiling, cc=TRACE, ceiling=TRACE)

WRONG_TYPES = [
    (stimulus, {"stim": "abc"}, "stim must be an array of real numbers, got a str"),
    (stimulus, {"stim": STIM.to(torch.complex64)}, "complex"),
    (stimulus, {"dt_ms": "5"}, "dt_ms must be a number, got a str: '5'"),
    (stimulus, {"axes": [1, 2, 3]}, "matplotlib Axes, got an int"),
    (stimulus, {"frequencies_hz": ["a"] * 4}, "frequencies_hz must be an array of real numbers"),
    (traces, {"ax": "a"}, "Axes, got a str"),
    (neuron, {"prediction": None}, r"prediction must be an array \(T,\), got None"),
    (neuron, {"scores": {"cc": "high"}}, "score 'cc' must be an array of real numbers"),
    (neuron, {"scores": [0.5]}, "scores must be a dict of names to numbers, got a list"),
    (grid, {"strfs": "abc"}, r"strfs\[0\] must be an array"),
    (grid, {"strfs": 3.0}, r"strfs must be \(K, F, T\) or a sequence of \(F, T\), got a float"),
    (grid, {"ncols": 2.5}, "ncols must be an integer, got a float: 2.5"),
    (grid, {"ncols": "4"}, "ncols must be an integer, got a str: '4'"),
    (grid, {"titles": "abc"}, "titles must be a list of one title per receptive field, got a str"),
    (recovery, {"correlations": ["a"] * 3}, "correlations must be an array of real numbers"),
    (movie, {"fields": 3.0}, "fields must be .* a sequence .* got a float"),
    (curves, {"history": {"val_cc": 1}}, "list of one dict"),
    (curves, {"history": [1, 2]}, "list of one dict"),
    (curves, {"history": [{"val_cc_norm": "a"}]}, "val_cc_norm in the history must be numbers, got 'a'"),
    (curves, {"history": [{"epoch": "a", "val_cc_norm": 0.1}]}, "epoch in the history must be numbers"),
    (curves, {"history": [{"val_cc_norm": 1.0}], "axes": [None, None]}, "Axes, got None"),
    (ceiling, {"ax": 1}, "Axes, got an int"),
]

WRONG_VALUES = [
    (stimulus, {"stim": [[1.0, 2.0], [1.0]]}, "stim must be an array, but is ragged"),
    (stimulus, {"stim": torch.zeros(2, 4, 20)}, r"\(1, F, T\)"),
    (stimulus, {"stim": TRACE}, "2 or 3 dimensions"),
    (stimulus, {"stim": torch.zeros(1999)}, "same number of samples.*20 bins.*1999"),
    (stimulus, {"stim": STIM[:, :0]}, "empty"),
    (stimulus, {"response": RESPONSE[:, 1:]}, "same number of time bins, got 20 and 19"),
    (stimulus, {"response": torch.zeros(2, 3, 20)}, "dimensions"),
    (stimulus, {"response": torch.zeros(0, 20)}, "empty"),
    (stimulus, {"pred": TRACE[1:]}, "expected 20, got 19"),
    (stimulus, {"pred": TRACE[None]}, "dimensions"),
    (stimulus, {"psth": TRACE[1:]}, "psth must .* expected 20, got 19"),
    (stimulus, {"dt_ms": 0.0}, "dt_ms must be positive and finite, got 0"),
    (stimulus, {"dt_ms": NAN}, "dt_ms must be positive and finite, got nan"),
    (stimulus, {"axes": []}, "axes must hold 3 panels, for stimulus, repeats, mean response; got 0"),
    (stimulus, {"axes": "abc"}, "axes must hold 3 panels"),
    (stimulus, {"figsize": 5}, "figsize must have"),
    (stimulus, {"figsize": (-1, 2)}, "figsize must be .* positive"),
    (stimulus, {"frequencies_hz": [1, 2]}, "expected 4, got 2"),
    (stimulus, {"frequencies_hz": [4.0, 3.0, 2.0, 1.0]}, "flip"),
    (traces, {"pred": TRACE[1:]}, "20 and 19 bins"),
    (traces, {"target": TRACE[None], "pred": TRACE[None]}, "target must have 1 dimensions"),
    (traces, {"target": TRACE[0], "pred": TRACE[0]}, "target must have 1 dimensions"),
    (traces, {"pred": TRACE[:, None]}, "pred must have 1 dimensions"),
    (neuron, {"prediction": TRACE[1:]}, "prediction must have as many bins"),
    (grid, {"strfs": []}, "empty"),
    (grid, {"strfs": np.zeros((0, 5, 4))}, "empty"),
    (grid, {"strfs": FIELDS[0]}, r"\(K, F, T\)"),
    (grid, {"strfs": [FIELDS[0], FIELDS[0, :, 1:]]}, "ragged"),
    (grid, {"strfs": np.zeros((2, 2, 5, 4))}, r"\(1, F, T\)"),
    (grid, {"titles": ["a"]}, "expected 3, got 1"),
    (grid, {"ncols": 0}, "ncols must be a positive integer, got 0"),
    (grid, {"dt_ms": -1.0}, "dt_ms"),
    (grid, {"frequencies_hz": [1.0]}, "expected 4, got 1"),
    (recovery, {"recovered": FIELDS[:2]}, "agree"),
    (recovery, {"recovered": FIELDS[:, 1:]}, "agree"),
    (recovery, {"correlations": [1.0]}, "expected 3, got 1"),
    (recovery, {"titles": ["a"]}, "expected 3, got 1"),
    (recovery, {"ncols": 0}, "ncols"),
    (movie, {"fields": []}, "empty"),
    (movie, {"fields": MOVIE_FIELDS[..., 0]}, "3 dimensions"),
    (movie, {"fields": [np.zeros((5, 4, 3)), np.zeros((5, 3, 3))]}, "ragged"),
    (movie, {"titles": ["a"]}, "expected 2, got 1"),
    (movie, {"dt_ms": 0}, "dt_ms"),
    (movie, {"ncols": 0}, "ncols"),
    (curves, {"history": []}, "history is empty"),
    (curves, {"history": [{"val_cc": 1.0}]}, "it has: val_cc"),
    (curves, {"history": [{"val_cc_norm": 1.0}], "mode": "best"}, "mode must be one of 'max', 'min'; got 'best'"),
    (curves, {"history": [{"val_cc_norm": 1.0}], "axes": [None]}, "2 panels, for loss, scores; got 1"),
    (ceiling, {"ceiling": TRACE[1:]}, "one value per neuron, got 20, 19 and 20"),
]


@pytest.mark.parametrize(("plot", "arguments", "words"), WRONG_TYPES)
def test_wrong_types(plot, arguments, words):
    with pytest.raises(TypeError, match=words):
        plot(**arguments)


@pytest.mark.parametrize(("plot", "arguments", "words"), WRONG_VALUES)
def test_wrong_values(plot, arguments, words):
    with pytest.raises(ValueError, match=words):
        plot(**arguments)


@pytest.mark.parametrize("value", [NAN, INF, -INF, 0.0])
def test_undefined_values_are_drawn_without_a_warning(value):
    """All missing, all infinite, all zero: a figure, no error and no warning."""

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
