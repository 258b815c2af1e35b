"""A limit of time for tests that may hang."""

import contextlib
import signal

import pytest


@contextlib.contextmanager
def fail_after(seconds, message):
    """Fail the test, with what `message` returns then, if the block is not done after so many seconds."""

    def fail(*_):
        pytest.fail(message())

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
