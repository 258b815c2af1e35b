"""Receptive fields are drawn as given, red for excitation, on lag axes that agree."""

import numpy as np
import pytest
import torch

from deepSTRF.plotting import plot_movie_fields, plot_strf_grid, plot_strf_recovery

FREQUENCIES = np.geomspace(500, 16000, 34)


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
    _, axes = plot_strf_grid(np.array([[[-1.0, 1.0], [0.0, 0.0]]]))
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


@pytest.mark.parametrize(("count", "ncols", "n_rows"), [(1, 4, 1), (4, 4, 1), (33, 10, 4)])
def test_grids_of_all_sizes(count, ncols, n_rows):
    fig, axes = plot_strf_grid(np.ones((count, 3, 2)), ncols=ncols)
    assert len(axes) == count
    assert len({ax.get_subplotspec().rowspan.start for ax in axes}) == n_rows
    assert len(fig.axes) == count + 1  # and the colour bar: unused panels are gone


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
