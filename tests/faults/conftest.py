"""Fixtures of the fault tests: those of the service."""

from __future__ import annotations

from tests.service.conftest import policy

__all__ = ["policy"]
