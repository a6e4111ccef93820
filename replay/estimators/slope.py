"""SLOPE: a bound on weights chosen from the log itself, by Lepski's principle.

From the least biased estimate to the least variable one, go on as long as the intervals still share a point: beyond
that, what is gained in variance is lost in bias (Su, Srinath & Krishnamurthy 2020, "Adaptive estimator selection for
off-policy evaluation"). Within a constant it is as good as knowing the bias.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from meta.types import FloatArray
from replay.contributions import Contributions

SIZE = 10
"""Bounds that are tried."""
NORMAL = 1.96


def grid(weight: FloatArray) -> list[float]:
    """Bounds on weights [n] to choose from, none at all first, then from the largest weight down to the typical one."""
    largest = float(weight.max(initial=1.0))
    return [float("inf"), *(float(each) for each in np.geomspace(largest, min(1.0, largest), SIZE)[1:])]


def slope(found: Iterable[Contributions]) -> Contributions:
    """The last of these means whose interval, twice as wide as usual, meets those of all before it.

    Args:
        found: ordered by falling variance and rising bias, at least one; means over the same decisions.
    """
    low, high, chosen = -np.inf, np.inf, None
    for each in found:
        value, half = each.value, 2 * NORMAL * _error(each)
        low, high = max(low, value - half), min(high, value + half)
        if chosen is not None and low > high:
            break
        chosen = each
    if chosen is None:
        raise ValueError("nothing to choose from")
    return chosen


def _error(found: Contributions) -> float:
    """Standard error of a mean over decisions, clustered by user."""
    above, below = found.by_user().T
    residual = above - found.value * below
    return float(np.sqrt((residual**2).sum()) / below.sum())
