"""Compatibility name of :func:`deepSTRF.models.audio.linear_nonlinear.start_from_ridge`."""

from deepSTRF.models.audio.linear_nonlinear import start_from_ridge

__all__ = ["start_from_ridge"]
