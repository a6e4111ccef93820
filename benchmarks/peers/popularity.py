"""The rows that know nothing of the user: popularity, and chance."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.likes import Matrix
from meta.coldstart import Scorer
from meta.types import BoolArray, FloatArray, IntArray


def popularity(likes: Matrix) -> Scorer:
    """Score an item by the number of training users who liked it."""
    count = likes.sum(0)

    def score(items: IntArray, rewards: FloatArray, mask: BoolArray) -> FloatArray:
        return np.repeat(count[None], len(items), 0)

    return score


def chance(items: int, seed: int) -> Scorer:
    """Score by coin flips."""
    rng = np.random.default_rng(seed)

    def score(rows: IntArray, rewards: FloatArray, mask: BoolArray) -> FloatArray:
        return rng.random((len(rows), items))

    return score
