"""The public name of :mod:`deepSTRF.scales`."""

from deepSTRF.scales import *  # noqa: F403
from deepSTRF.scales import __all__ as __all__
