"""The named errors of training."""

__all__ = ["AllFitsFailedError", "NonFiniteLossError", "ResumeError", "UnknownMonitorError"]


class NonFiniteLossError(RuntimeError):
    """The training loss became NaN or infinite; the message names the epoch and the batch."""


class UnknownMonitorError(KeyError):
    """The monitor is not among the keys of the epoch dict; the message lists them."""

    def __str__(self) -> str:  # KeyError would print the message quoted
        return str(self.args[0])


class ResumeError(ValueError):
    """The saved state of a training is damaged or belongs to another training; the message names the difference."""


class AllFitsFailedError(RuntimeError):
    """Every seed or fold failed; the message holds the traceback of the first."""
