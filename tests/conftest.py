"""Shared by all tests: one torch thread, no display, and where the real recordings lie."""

import os
from pathlib import Path

import matplotlib
import pytest
import torch

matplotlib.use("Agg")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings, ``$DEEPSTRF_SHARED/data``; the test is skipped where there is none."""
    folder = Path(os.environ.get("DEEPSTRF_SHARED", "../shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings: {folder} does not exist (set DEEPSTRF_SHARED)")
    return folder
