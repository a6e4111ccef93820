"""The rows that know nothing of the user: popularity, and chance."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.likes import Matrix
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray


def popularity(likes: Matrix) -> Scorer:
    """Score an item by the number of training users who liked it."""
    count = likes.sum(0)

    def score(events: Events, context: Context) -> FloatArray:
        return np.repeat(count[None], events.users, 0)

    return score


def chance(items: int, seed: int) -> Scorer:
    """Score by coin flips."""
    rng = np.random.default_rng(seed)

    def score(events: Events, context: Context) -> FloatArray:
        return rng.random((events.users, items))

    return score
