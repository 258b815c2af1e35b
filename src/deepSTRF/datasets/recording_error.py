"""The error of recordings whose files cannot be fetched or read."""

__all__ = ["RecordingError"]


class RecordingError(ValueError):
    """A file of a recording cannot be fetched or read; the message names the file and says what to do."""
