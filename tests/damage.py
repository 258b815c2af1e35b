"""Damaged bytes for the readers of files, the same in every run.

Valid small files are cut, have bytes flipped, inserted, removed or written over with numbers that lengths and counts
are made of; and there are bytes that never were a file.
"""

import struct
import warnings

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st


def fuzzed(max_examples):
    return settings(
        max_examples=max_examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)


@st.composite
def damaged(draw, *files):
    """Draw one of the files with a few changes, or bytes that are no file."""
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=400))
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        # the start of a file, where lengths and counts lie, is hit as often as all the rest
        reach = draw(st.sampled_from((min(64, len(content)), len(content))))
        at = draw(st.integers(0, max(reach - 1, 0)))
        change = draw(st.sampled_from(("flip", "cut", "insert", "remove", "number", "repeat")))
        if change == "flip" and content:
            content[at] ^= draw(st.integers(1, 255))
        elif change == "cut":
            del content[draw(st.integers(0, len(content))) :]
        elif change == "insert":
            content[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif change == "remove":
            del content[at : at + draw(st.integers(1, 60))]
        elif change == "number":
            content[at : at + 4] = struct.pack(draw(st.sampled_from("<>")) + "I", draw(st.sampled_from(NUMBERS)))
        elif change == "repeat":
            content[at:at] = content[at : at + draw(st.integers(1, 200))]
    return bytes(content)


def loads_or_names(read, name, *errors):
    """What `read` returns, or None if it says in one of `errors` that the file `name` is bad."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # also what is only warned about must come as an error
        try:
            value, failure = read(), None
        except errors as error:
            value, failure = None, error
    if failure is not None:
        assert type(failure) in errors, f"{type(failure).__name__} is not one of ours: {failure}"
        assert name in str(failure), f"the message does not name {name}: {failure}"
        assert len(str(failure)) > len(name) + 20
    return value
