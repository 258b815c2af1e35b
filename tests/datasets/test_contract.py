"""Every registered data set keeps the contract; a recording is skipped where its files are not there."""

import inspect
import os
from pathlib import Path

import pytest

from deepSTRF.registry import dataset_cards, get_dataset
from deepSTRF.testing import check_dataset

CARDS = dataset_cards()
SMALL = {"n_neurons": 4, "n_stims": 5, "duration_s": 0.5, "n_repeats": 3}


def registered():
    """One parameter for each data set; those of animals are read from files."""
    rows = []
    for name, card in CARDS.items():
        marks = [] if card.species.startswith("none") else [pytest.mark.recordings, pytest.mark.slow]
        rows.append(pytest.param(name, bool(marks), id=name, marks=marks))
    return rows


@pytest.mark.parametrize(("name", "is_recorded"), registered())
def test_registered_data_sets(name, is_recorded):
    cls = get_dataset(name)
    if is_recorded:
        folder = Path(os.environ.get("DEEPSTRF_SHARED", "../shared")) / "data" / name
        if not folder.is_dir():
            pytest.skip(f"no recording of {name}: {folder} does not exist (set DEEPSTRF_SHARED)")
        dataset = cls(folder)
    else:
        accepted = inspect.signature(cls).parameters
        dataset = cls(**{key: value for key, value in SMALL.items() if key in accepted})
    check_dataset(dataset)
    assert CARDS[name].default_split in dataset.protocols or CARDS[name].default_split.startswith("holdout:")
