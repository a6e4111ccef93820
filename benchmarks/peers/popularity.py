"""The rows that know nothing of the user: popularity, and chance."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.group import Group
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray


def popularity(group: Group, log: bool = False) -> Scorer:
    """Score an item by the number of training users who liked it, or by its logarithm."""
    count = group.likes.sum(0)
    count = np.log1p(count) if log else count

    def score(events: Events, context: Context) -> FloatArray:
        return np.repeat(count[None], events.users, 0)

    return score


def chance(group: Group, seed: int = 0) -> Scorer:
    """Score by chance."""
    rng, items = np.random.default_rng(seed), group.log.items

    def score(events: Events, context: Context) -> FloatArray:
        return rng.random((events.users, items))

    return score
