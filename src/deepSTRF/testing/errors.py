"""What the check suites raise."""

__all__ = ["ContractError"]


class ContractError(AssertionError):
    """A class breaks its contract; the message says which part, what was expected and what came."""
