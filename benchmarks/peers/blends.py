"""What a fair peer may do with what it does not model: popularity, and popularity by time, as a prior of its scores.

A raw peer shows what is popular to users who have given it nothing to go by. A blend adds weighted scores to a prior,
standardised by user, or as they are, so that they grow with the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np

from benchmarks.peers.group import Group
from benchmarks.peers.popularity import popularity
from benchmarks.peers.popularity_by_attributes import popularity_by_attributes
from benchmarks.peers.popularity_by_time import popularity_by_time
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray

Fit = Callable[[Group], Scorer]

PRIORS: dict[str, dict[str, Fit]] = {
    "popularity": {"log": partial(popularity, log=True), "count": popularity},
    "popularity by time": {
        f"half-life {days} d, floor {floor}": partial(popularity_by_time, half_life_days=days, floor=floor)
        for days, floor in product((90, 365, 1000), (0.3, 1.0))
    },
    "popularity by time and attributes": {
        f"half-life {days} d, floor {floor}, penalty {penalty}": partial(
            popularity_by_attributes, penalty=penalty, half_life_days=days, floor=floor
        )
        for days, floor, penalty in product((90, 365, 1000), (1.0,), (10.0, 50.0))
    },
}
"""Every kind of prior, and its settings; the last one where something is known of users."""


def raw(scorer: Scorer, prior: Scorer) -> Scorer:
    """The peer's own scores, the prior's for users without a like."""

    def score(events: Events, context: Context) -> FloatArray:
        informed = np.asarray(events.mask & (events.reward > 0)).any(1, keepdims=True)
        return np.where(informed, scorer(events, context), prior(events, context))

    return score


def blend(scorer: Scorer, prior: Scorer, *, weight: float) -> Scorer:
    """The prior plus the weighted scores."""

    def score(events: Events, context: Context) -> FloatArray:
        return np.asarray(prior(events, context) + np.float32(weight) * scorer(events, context))

    return score


def standard(scorer: Scorer) -> Scorer:
    """The same scores, standardised by user."""

    def score(events: Events, context: Context) -> FloatArray:
        return standardise(scorer(events, context))

    return score


def standardise(scores: FloatArray) -> FloatArray:
    """Each row with mean 0 and deviation 1 (all zero where constant)."""
    spread = scores.std(1, keepdims=True)
    out: FloatArray = (scores - scores.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    return out


FORMS: dict[str, tuple[Callable[[Scorer], Scorer], tuple[float, ...]]] = {
    "z": (standard, (0.1, 0.2, 0.4, 0.8, 1.5, 3.0)),
    "s": (lambda scorer: scorer, (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)),
}
"""How scores enter a blend, standardised by user or as they are, and the weights that are tried."""
