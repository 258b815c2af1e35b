"""Ctrl-C and SIGTERM end a training after the present epoch; a second one ends it at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["StopSignals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals(contextlib.AbstractContextManager):
    """Remember the first SIGINT or SIGTERM in ``caught`` (0: none), and let the second one through.

    Parameters
    ----------
    say : callable
        Told that the present epoch is being finished.

    Attributes
    ----------
    armed : bool
        Until it is set, a signal does what it always does: there is nothing yet to finish.

    Examples
    --------
    >>> import os
    >>> with StopSignals(print) as signals:
    ...     signals.armed = True
    ...     os.kill(os.getpid(), signal.SIGTERM)
    Finishing this epoch (a second signal ends the run at once) ...
    >>> signals.caught == signal.SIGTERM
    True
    """

    def __init__(self, say: Callable[[str], Any]) -> None:
        self.say = say
        self.armed = False
        self.caught = 0

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._catch) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self.armed and not self.caught:
            self.caught = number
            self.say("Finishing this epoch (a second signal ends the run at once) ...")
            return
        before = self._before[signal.Signals(number)]
        if callable(before):
            before(number, frame)
        elif before != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
