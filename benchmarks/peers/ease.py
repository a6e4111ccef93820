"""EASE: the item-to-item regression in closed form (Steck 2019, eq. 8)."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.group import Group
from benchmarks.peers.likes import Matrix, of_supports
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray


def weights(likes: Matrix, penalty: float) -> FloatArray:
    """B = I - P diag(1 / diag(P)) with P = (X'X + penalty I)^-1, zero on the diagonal: float32 [N, N].

    With U users and far more items, P comes from a U x U inverse: P = (I - X'(X X' + penalty I)^-1 X) / penalty.
    """
    users, items = likes.shape
    x = likes.astype(np.float64)
    precision: FloatArray
    if users < items:
        inner = np.linalg.solve(x @ x.T + penalty * np.eye(users), x)
        precision = (np.eye(items) - x.T @ inner) / penalty
    else:
        precision = np.linalg.inv(x.T @ x + penalty * np.eye(items))
    b = -precision / np.diag(precision)
    np.fill_diagonal(b, 0.0)
    rounded: FloatArray = b.astype(np.float32)
    return rounded


def ease(group: Group, penalty: float) -> Scorer:
    """Score by the sum of the weights from the liked items; only items that somebody liked take part."""
    likes = group.likes
    items = likes.shape[1]
    alive = np.flatnonzero(likes.any(0))
    b = weights(likes[:, alive], penalty)

    def score(events: Events, context: Context) -> FloatArray:
        out = np.zeros((events.users, items), np.float32)
        out[:, alive] = of_supports(events, items)[:, alive] @ b
        return out

    return score
