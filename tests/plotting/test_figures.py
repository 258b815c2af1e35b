"""Every figure renders, and nothing global changes."""

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
    plot_amount_of_data,
    plot_cc_against_ceiling,
    plot_coverage,
    plot_dynamic_strf,
    plot_fold_curves,
    plot_learning_curves,
    plot_model_against_model,
    plot_movie_fields,
    plot_neuron,
    plot_predictions,
    plot_psth_vs_pred,
    plot_raster,
    plot_recording,
    plot_stim_with_response,
    plot_strf_grid,
    plot_strf_recovery,
)

FREQUENCIES = np.geomspace(500, 16000, 34)


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
        "plot_fold_curves": plot_fold_curves([history, history])[0],
        "plot_predictions": plot_predictions([convert(stim), None], [convert(response), convert(response)], dt_ms=5.0)[
            0
        ],
        "plot_recording": plot_recording(convert(np.ones((2, 3))), convert(np.ones(3)), convert(np.full(3, 0.5))),
        "plot_movie_fields": plot_movie_fields(convert(rng.normal(size=(2, 5, 6, 7))))[0],
        "plot_raster": plot_raster(convert(response), convert(trace), 5.0)[0],
        "plot_coverage": plot_coverage(convert(np.ones((2, 3)))).figure,
        "plot_model_against_model": plot_model_against_model(convert(trace), convert(trace[::-1].copy())).figure,
        "plot_amount_of_data": plot_amount_of_data(
            convert(np.arange(1.0, 4.0)), convert(response[:3] * 1.0), convert(trace)
        ).figure,
        "plot_dynamic_strf": plot_dynamic_strf(convert(strfs), prediction=convert(trace[:3]))[0],
        "plot_cc_against_ceiling": plot_cc_against_ceiling(convert(trace), convert(trace)).figure,
    }


@pytest.mark.slow
def test_every_figure_renders_and_changes_no_global_setting(history, tmp_path):
    settings, backend, open_figures = dict(matplotlib.rcParams), matplotlib.get_backend(), plt.get_fignums()
    figures = every_figure(np.asarray, history)
    assert set(figures) == set(plotting.__all__)
    for name, fig in figures.items():
        fig.savefig(tmp_path / f"{name}.png", dpi=30)
        assert (tmp_path / f"{name}.png").stat().st_size > 500
    assert plt.get_fignums() == open_figures
    assert dict(matplotlib.rcParams) == settings
    assert matplotlib.get_backend() == backend


@pytest.mark.parametrize("convert", [torch.as_tensor, lambda x: torch.as_tensor(x * 1.0).requires_grad_()], ids="tg")
def test_every_figure_takes_tensors(convert, history):
    assert set(every_figure(convert, history)) == set(plotting.__all__)


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
