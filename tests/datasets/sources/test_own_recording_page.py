"""The table of mistakes on the page "Your own recording" says what the errors say."""

from pathlib import Path

import numpy as np
import pytest

from deepSTRF.datasets.audio import AudioNeuralDataset

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "own_recording.md"


STIMS = {"rain": np.ones((16, 200)), "birds": np.ones((16, 120))}
TIMES = np.array([0.031, 0.204, 0.7])
COUNTS = np.arange(200) % 10 == 0
ONSETS = np.arange(1, 59, 2.0)


def _units():
    rng = np.random.default_rng(0)
    return {unit: rng.uniform(0, 60, 900) for unit in (3, 8, 21)}


def _trials(onsets=ONSETS, stimuli=("rain", "birds")):
    return {"onset": onsets, "stimulus": [stimuli[k % len(stimuli)] for k in range(len(onsets))]}


def _nested(times, repeats=4):
    return {name: {"a": [times] * repeats} for name in STIMS}


MISTAKES = [
    {"spikes": _nested(TIMES)},
    {"spikes": _nested(TIMES * 1000), "unit": "s"},
    {"spikes": _nested(TIMES), "unit": "ms"},
    {"spikes": _nested(COUNTS.astype(int)), "unit": "s"},
    {"spikes": _nested([0.1, np.nan]), "unit": "s"},
    {"spikes": {"rain": [[TIMES]] * 2, "birds": [[TIMES]] * 3}, "unit": "s"},
    {"spikes": _units(), "unit": "s", "trials": _trials(stimuli=("rain", "brids"))},
    {"spikes": _units(), "unit": "s", "trials": _trials(ONSETS * 1000)},
    {"spikes": _units(), "unit": "s", "trials": _trials(np.r_[ONSETS, 70.0, 72.0])},
    {"spikes": _units(), "unit": "s", "trials": _trials(stimuli=("rain",))},
]


@pytest.mark.parametrize("row", range(10))
def test_messages_of_the_table(row):
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    said = lines[-10 + row].split(" | ")[1].removesuffix(" |")
    with pytest.raises((TypeError, ValueError)) as error:
        AudioNeuralDataset.from_spike_times(STIMS, dt_ms=5.0, **MISTAKES[row])
    assert said in str(error.value)
