"""The figure of a recording: what is drawn where, and names where there is room for them."""

import numpy as np
import pytest

from deepSTRF.plotting import plot_recording


def test_coverage_rates_and_ceilings():
    repeats = np.array([[3, 0, 1], [2, 5, 0]])
    fig = plot_recording(repeats, [1.0, 2.0, 3.0], [0.5, np.nan, 0.9], stimuli=["rain", "birds"], neurons=list("abc"))
    coverage, rate, ceiling = fig.axes[:3]
    drawn = coverage.images[0].get_array()
    np.testing.assert_array_equal(drawn.mask, repeats == 0)
    np.testing.assert_array_equal(drawn[~drawn.mask], repeats[repeats > 0])
    assert [bar.get_height() for bar in rate.patches] == [1, 2, 3]
    known, undefined = (dots.get_offsets() for dots in ceiling.collections)
    np.testing.assert_array_equal(known[[0, 2]], [[0, 0.5], [2, 0.9]])
    np.testing.assert_array_equal(undefined, [[1, 0]])
    assert [label.get_text() for label in coverage.get_yticklabels()] == ["rain", "birds"]
    assert [label.get_text() for label in ceiling.get_xticklabels()] == ["a", "b", "c"]
    fig.draw_without_rendering()


def test_other_numbers_of_neurons():
    with pytest.raises(ValueError, match="one value for each of 3 neurons, got 2 and 3"):
        plot_recording(np.ones((2, 3)), [1.0, 2.0], [0.1, 0.2, 0.3])
