"""Shared by the tests of the command line: a working folder of their own, and a finished run."""

import pytest
from shell import run


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs that go to ``runs/`` by default must not end in the repository."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def ridge_run(tmp_path_factory):
    """The folder of a finished run, and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "ridge"
    return out, run("fit", "tiny", "ridge", "--out", out, exit_code=0).stdout
