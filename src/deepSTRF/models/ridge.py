"""Compatibility name of :func:`deepSTRF.models.audio.ridge.fit_ridge`."""

from deepSTRF.models.audio.ridge import fit_ridge

__all__ = ["fit_ridge"]
