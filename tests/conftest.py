"""Shared by all tests: one torch thread, no display, a tiny data set, the real recordings, and disks that fill up."""

import gc
import os
import subprocess
from collections import Counter
from pathlib import Path

import matplotlib
import pytest
import tiny_data  # noqa: F401 - registers the data set "tiny"
import torch

matplotlib.use("Agg")
torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    """Files with many slow tests come first: two processes end at the same time where what is left last is short."""
    slow, tests = Counter(item.path for item in items if "slow" in item.keywords), Counter(item.path for item in items)
    items.sort(key=lambda item: (slow[item.path], tests[item.path]), reverse=True)


def pytest_collection_finish():
    """What is loaded by now stays: readers of recordings, which collect garbage, need not look through it again."""
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings, ``$DEEPSTRF_SHARED/data``; the test is skipped where there is none."""
    folder = Path(os.environ.get("DEEPSTRF_SHARED", "../shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no recordings: {folder} does not exist (set DEEPSTRF_SHARED)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Keep what the tests compute and download out of the folders of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPSTRF_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("DEEPSTRF_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture
def no_figures(monkeypatch):
    """Draw no figures: they take most of the time of a run as short as those of the tests."""
    monkeypatch.setattr("deepSTRF.runs.fit.draw_figures", lambda *_: [])


@pytest.fixture
def disk(tmp_path):
    """Yield a function that mounts a disk in memory of so many kB; the test is skipped where that is not allowed."""
    mounts = []

    def mount(kilobytes):
        folder = tmp_path / f"disk{len(mounts)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("no disk in memory can be mounted here: there is no command `mount`")
        if done.returncode:
            pytest.skip(f"no disk in memory can be mounted here: {done.stderr.strip()}")
        mounts.append(folder)
        return folder

    yield mount
    for folder in mounts:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def read_only():
    """Yield a function after which a mounted disk can only be read, also by root."""

    def remount(folder):
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

    return remount
