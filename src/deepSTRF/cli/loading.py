"""Importing torch and the library for a command, in three quarters of the time."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

__all__ = ["loading"]


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Look for no garbage while modules are imported: they make a million objects, of which all are kept.

    Only in a process that has no torch yet, and so nothing else that could be garbage.

    Examples
    --------
    >>> with loading():
    ...     from deepSTRF.runs import fit_run
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # nor later among what was imported
        gc.enable()
