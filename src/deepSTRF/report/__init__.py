"""Runs go in, one HTML page comes out: ``deepstrf report``."""

from deepSTRF.report.page import write_report

__all__ = ["write_report"]
