"""Item-kNN: cosine similarity of likes, shrunk, nearest items kept (Sarwar et al. 2001)."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.group import Group
from benchmarks.peers.likes import of_supports
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray


def item_knn(group: Group, keep: int, shrink: float) -> Scorer:
    """Score by the sum of similarities to the liked items, each item holding its `keep` nearest."""
    likes = group.likes
    items = likes.shape[1]
    alive = np.flatnonzero(likes.any(0))
    x = likes[:, alive]
    count = x.sum(0)
    close = (x.T @ x) / (np.sqrt(np.outer(count, count)) + shrink)
    np.fill_diagonal(close, 0.0)
    if keep < len(alive):
        bar = -np.partition(-close, keep - 1, axis=1)[:, keep - 1]
        close[close < bar[:, None]] = 0.0

    def score(events: Events, context: Context) -> FloatArray:
        out = np.zeros((events.users, items), np.float32)
        out[:, alive] = of_supports(events, items)[:, alive] @ close
        return out

    return score
