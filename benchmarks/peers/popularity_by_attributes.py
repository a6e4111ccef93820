"""Popularity among people like the user: what their attributes say, on top of popularity by time."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.group import Group
from benchmarks.peers.popularity_by_time import popularity_by_time
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray

MOST = 4.0
"""Times by which attributes may raise or lower an item's popularity."""


def popularity_by_attributes(group: Group, penalty: float, half_life_days: float, floor: float) -> Scorer:
    """Score by popularity by time + log(share of the people like this who like the item / share of everybody).

    The share is a ridge regression of likes on centred attributes, whatever their kind.

    Args:
        group: whose likes are counted.
        penalty: of the regression, in users.
        half_life_days, floor: see `popularity_by_time`.
    """
    timed = popularity_by_time(group, half_life_days, floor)
    likes, mean = group.likes, group.attributes[group.users].mean(0)
    share = likes.mean(0)
    x = group.attributes[group.users] - mean
    w = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (likes - share))

    def score(events: Events, context: Context) -> FloatArray:
        ratio = 1.0 + (context.attributes - mean) @ w / np.maximum(share, 1.0 / len(likes))
        return np.asarray(timed(events, context) + np.log(np.clip(ratio, 1.0 / MOST, MOST)))

    return score
