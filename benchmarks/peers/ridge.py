"""Ridge regression of rewards on features: one model of everybody, and a head of each user's own on what it left."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.group import Group
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray


def ridge(group: Group, penalty: float, penalty_user: float) -> Scorer:
    """Score by w . x(user, item) + d . f(item): w of everybody, d of the user, both by ridge regression.

    x holds the item's features, the user's attributes and their products; f the item's features and a constant, so that
    d contains the user's offset.

    Args:
        group: whose events are learnt.
        penalty: of w, in events.
        penalty_user: of d, in events.
    """
    log, at = group.log, group.log.events_of(group.users)
    owner = np.repeat(group.users, log.lengths[group.users])
    features = np.asarray(group.catalogue.features, np.float64)
    mean = float(log.reward[at].mean())
    w = _solve(_pairs(features[log.item[at]], group.attributes[owner]), log.reward[at] - mean, penalty)
    heads = np.concatenate([features, np.ones((len(features), 1))], 1)

    def score(events: Events, context: Context) -> FloatArray:
        out = np.empty((events.users, log.items))
        for user in range(events.users):
            attributes = np.broadcast_to(context.attributes[user], (log.items, context.attributes.shape[1]))
            out[user] = mean + _pairs(features, attributes) @ w
            met = events.item[user][events.mask[user]]
            if len(met):
                left = events.reward[user][events.mask[user]] - out[user, met]
                out[user] += heads @ _solve(heads[met], left, penalty_user)
        return out

    return score


def _pairs(features: FloatArray, attributes: FloatArray) -> FloatArray:
    """Inputs of events: features [M, F], attributes [M, A] -> [M, F + A + F A]."""
    crossed = (features[:, :, None] * attributes[:, None, :]).reshape(len(features), -1)
    return np.concatenate([features, attributes, crossed], 1)


def _solve(x: FloatArray, y: FloatArray, penalty: float) -> FloatArray:
    """(X'X + penalty I)^-1 X'y."""
    solution: FloatArray = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return solution
