"""What every decision adds to an estimate: all estimators have this form, so that one bootstrap serves them all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.errors import InputError
from meta.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Contributions:
    """An estimate as a sum of ratios of sums, sum_j (sum_i above_ji / sum_i below_ji).

    Args:
        user: int [n], whose decision, 0..B-1.
        above: float [J, n], numerators; J is 1 or 2 for most estimators.
        below: float [J, n], denominators; 1 where an estimator divides by the number of decisions.
    """

    user: IntArray
    above: FloatArray
    below: FloatArray

    @property
    def value(self) -> float:
        """The estimate.

        Raises:
            InputError: a denominator is 0, as all importance weights are.
        """
        return float(ratios(self.above.sum(1), self.below.sum(1)).sum())

    def minus(self, other: Contributions) -> Contributions:
        """The difference to another estimate from the same decisions, which keeps their pairs."""
        return Contributions(
            self.user, np.concatenate([self.above, -other.above]), np.concatenate([self.below, other.below])
        )

    def by_user(self) -> FloatArray:
        """Sums over each user's decisions, numerators and then denominators: float [B, 2 J]."""
        rows = [*self.above, *self.below]
        return np.stack([np.bincount(self.user, weights=row) for row in rows], 1)


def ratios(above: FloatArray, below: FloatArray) -> FloatArray:
    """Above / below, both [J].

    Raises:
        InputError: a denominator is 0, as all importance weights are.
    """
    if not (below > 0).all():
        raise InputError(
            "the judged policy would have shown nothing of what the log shows: all importance weights are 0, so the "
            "log cannot tell its value; collect decisions that explore more"
        )
    found: FloatArray = above / below
    return found


def mean(user: IntArray, values: FloatArray) -> Contributions:
    """The mean of one value a decision, [n]."""
    return Contributions(user, values[None], np.ones((1, len(values))))


def ratio(user: IntArray, above: FloatArray, below: FloatArray) -> Contributions:
    """The ratio of two sums over decisions, both [n]."""
    return Contributions(user, above[None], below[None])
