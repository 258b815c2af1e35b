"""Every registered data set keeps the contract: a public recording on generated files in the layout of its archive.

The files are written by ``releases/<name>_files.py``; without one, the real ones of $DEEPSTRF_SHARED are read.
"""

import inspect
import os
from pathlib import Path

import pytest

from deepSTRF.registry import dataset_cards, get_dataset
from deepSTRF.testing import check_dataset
from deepSTRF.user_files import import_file

CARDS = dataset_cards()
SMALL = {"n_neurons": 4, "n_stims": 5, "duration_s": 0.5, "n_repeats": 3}
RELEASES = Path(__file__).parent / "releases"


def is_simulated(name):
    return CARDS[name].species.startswith("none")


def is_generated(name):
    return (RELEASES / f"{name}_files.py").exists()


def registered():
    """One parameter for each data set."""
    rows = []
    for name in CARDS:
        needs_files = not is_simulated(name) and not is_generated(name)
        rows.append(
            pytest.param(name, id=name, marks=[pytest.mark.recordings, pytest.mark.slow] if needs_files else [])
        )
    return rows


def load(name, tmp_path):
    cls = get_dataset(name)
    if is_simulated(name):
        accepted = inspect.signature(cls).parameters
        return cls(**{key: value for key, value in SMALL.items() if key in accepted})
    if is_generated(name):
        import_file(RELEASES / f"{name}_files.py").write_release(tmp_path)
        return cls(tmp_path)
    folder = Path(os.environ.get("DEEPSTRF_SHARED", "../shared")) / "data" / name
    if not folder.is_dir():
        pytest.skip(f"no recording of {name}: {folder} does not exist (set DEEPSTRF_SHARED)")
    return cls(folder)


@pytest.mark.filterwarnings("ignore:the data set holds membrane potentials:RuntimeWarning")  # as that of AC-1 does
@pytest.mark.parametrize("name", registered())
def test_registered_data_sets(name, tmp_path):
    dataset = load(name, tmp_path)
    check_dataset(dataset)
    if not is_simulated(name):  # a simulated one has fewer stimuli here than by default
        assert all(dataset.split_indices(CARDS[name].default_split or None))
