"""Predictions for new stimuli: what is drawn where, and what is an error."""

import re

import numpy as np
import pytest

from deepSTRF.plotting import plot_predictions

RNG = np.random.default_rng(0)
RATES = RNG.uniform(size=(3, 100))


def test_stimulus_above_predictions_below():
    stim, frequencies = RNG.normal(size=(8, 100)), np.geomspace(500, 8000, 8)
    fig, axes = plot_predictions([stim, None] * 3, [RATES] * 6, list("abcdef"), dt_ms=5.0, frequencies_hz=frequencies)
    assert len(axes) == 8  # four stimuli
    np.testing.assert_allclose(axes[0].images[0].get_array(), stim)
    np.testing.assert_allclose(axes[1].images[0].get_array(), RATES)
    assert axes[1].images[0].get_extent() == [0, 0.5, -0.5, 2.5]
    assert [axes[0].get_title(), axes[0].get_ylabel(), axes[1].get_xlabel()] == ["a", "frequency (kHz)", "time (s)"]
    assert not axes[2].images
    assert fig.axes[-1].get_ylabel() == "predicted response per bin"


def test_mistakes():
    for stimuli, predictions, kind, message in [
        ([], [], ValueError, "one prediction per stimulus"),
        ([None], [RATES, RATES], ValueError, "got 2 and 1 stimuli"),
        ([None], [RATES[0]], ValueError, "predictions[0] must have 2 dimensions"),
        (None, [RATES], TypeError, "stimuli must be a list"),
    ]:
        with pytest.raises(kind, match=re.escape(message)):
            plot_predictions(stimuli, predictions)
