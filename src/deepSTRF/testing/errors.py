"""What the check suites raise, and how."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["ContractError", "contract_errors", "expect_error", "require"]


class ContractError(AssertionError):
    """A class breaks its contract; the message says which part, what was expected and what came."""


def require(condition: bool, message: str) -> None:
    """Raise ContractError with `message` unless `condition` holds."""
    if not condition:
        raise ContractError(message)


@contextmanager
def contract_errors(context: str) -> Iterator[None]:
    """Turn any error into a ContractError that begins with `context`, what was tried."""
    try:
        yield
    except ContractError:
        raise
    except Exception as error:
        raise ContractError(f"{context}: {type(error).__name__}: {error}") from error


def expect_error(call: Callable[[], Any], kind: type[Exception], what: str) -> None:
    """Raise ContractError unless `call` raises an error of one kind."""
    try:
        call()
    except kind:
        return
    except Exception as error:
        raise ContractError(f"{what}: expected {kind.__name__}, got {type(error).__name__}: {error}") from error
    raise ContractError(f"{what}: expected {kind.__name__}, got no error")
