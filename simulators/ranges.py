"""Ranges of a world's constants: what is outside of them is refused in one sentence."""

from __future__ import annotations

import math

from meta.errors import InputError

MOST = 10_000_000
"""Of anything that is counted: more would not fit into memory."""


def within(low: float, high: float, **values: float) -> None:
    """Refuses values that are no finite number in low..high; InputError."""
    for name, value in values.items():
        if not low <= value <= high or math.isinf(value):
            rule = f"in {low:g}..{high:g}" if math.isfinite(low + high) else "finite"
            rule = f"finite and at least {low:g}" if math.isfinite(low) and math.isinf(high) else rule
            raise InputError(f"{name} must be {rule}, got {value}")


def counts(**values: int) -> None:
    """Refuses counts below 1 or beyond any memory; InputError."""
    for name, value in values.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
        within(1, MOST, **{name: value})


def finite(**values: float) -> None:
    """Refuses what is no finite number; InputError."""
    within(-math.inf, math.inf, **values)


def not_negative(**values: float) -> None:
    """Refuses what is below 0 or not finite; InputError."""
    within(0.0, math.inf, **values)


def shares(**values: float) -> None:
    """Refuses what is outside 0..1; InputError."""
    within(0.0, 1.0, **values)
