"""How far means over simulated users can be trusted: 95% intervals over users and over the trainings they met."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from meta.types import FloatArray

NORMAL = 1.96
"""97.5% quantile of the normal distribution."""
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5% quantiles of Student's t with 1, 2, ... degrees of freedom: trainings are few."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its 95% interval.

    Args:
        value: the mean.
        low, high: the interval.
    """

    value: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)


def half_width(values: FloatArray) -> FloatArray:
    """Half of the 95% interval of the mean of values that cross trainings with users.

    All trainings of a recipe meet the same users, so users of one training share its luck and trainings share their
    users. The interval adds what means by user tell of users to what means by training tell of trainings,

        half^2 = (1.96 se_users)^2 + (t se_trainings)^2,

    se the standard error over users, of their means over trainings, and the reverse (crossed random effects: Owen
    2007, "The pigeonhole bootstrap", eq. 9, which counts what is left over twice: the interval is a little wide).
    One training says nothing of others: then the interval is over users alone.

    Args:
        values: float [R, B, ...], R trainings (1 where nothing is trained), B users.

    Returns:
        float [...]; 0 for a single user who met a single training.
    """
    trainings, users = values.shape[:2]
    squared = np.zeros(values.shape[2:])
    if users > 1:
        squared += NORMAL**2 * values.mean(0).var(0, ddof=1) / users
    if trainings > 1:
        quantile = STUDENT[trainings - 2] if trainings - 2 < len(STUDENT) else NORMAL
        squared += quantile**2 * values.mean(1).var(0, ddof=1) / trainings
    half: FloatArray = np.sqrt(squared)
    return half


def mean(values: FloatArray) -> Mean:
    """Mean of values [R, B] with its interval, see `half_width`."""
    return _around(float(values.mean()), float(half_width(values)))


def ratio(above: FloatArray, below: FloatArray) -> Mean:
    """Ratio of two means over the same users and trainings, both [R, B], by the delta method: users keep their pairs.

    Args:
        above, below: the mean of `below` must not be 0.
    """
    value = float(above.mean() / below.mean())
    return _around(value, float(half_width(above - value * below)) / abs(float(below.mean())))


def paired(one: FloatArray, other: FloatArray) -> FloatArray:
    """Differences [R, B] by user, and by training where both have several (of the first ones, if one has fewer)."""
    if len(one) > 1 and len(other) > 1:
        both = min(len(one), len(other))
        one, other = one[:both], other[:both]
    return one - other


def _around(value: float, half: float) -> Mean:
    return Mean(value, value - half, value + half)
