"""Shared by the tests of bad input: none of them hangs."""

import signal

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
