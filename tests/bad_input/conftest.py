"""Shared by the tests of bad input: none of them hangs, and there are disks that fill up or can only be read."""

import signal
import subprocess

import pytest

LONGEST_S = 120  # of one test, however busy the machine is; the usual ones take milliseconds


@pytest.fixture(autouse=True)
def no_hang():
    """End a test that hangs, and show where."""

    def stop(*_):
        pytest.fail(f"hangs: not done after {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


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
