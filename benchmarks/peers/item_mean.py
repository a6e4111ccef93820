"""What items earn on average: the shrunk mean, and item + user offset. Both predict rewards."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.group import Group
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray, IntArray

SWEEPS = 10
"""Rounds of alternation between the effects of items and users; they have settled by then."""


def item_mean(group: Group, shrink: float) -> Scorer:
    """Score by (sum of the item's rewards + shrink * mean reward) / (events + shrink), whoever asks."""
    log, at = group.log, group.log.events_of(group.users)
    mean = float(log.reward[at].mean())
    effect = _effect(log.item[at], log.reward[at] - mean, log.items, shrink)

    def score(events: Events, context: Context) -> FloatArray:
        return np.repeat((mean + effect)[None], events.users, 0)

    return score


def item_and_user(group: Group, shrink: float, shrink_user: float) -> Scorer:
    """Score by mean + item effect + user effect, the user's from the support (Koren 2008, baseline estimates).

    Args:
        group: whose events are learnt.
        shrink: events at the mean that an item's effect starts from.
        shrink_user: the same for a user's.
    """
    log, at = group.log, group.log.events_of(group.users)
    owner = np.repeat(np.arange(len(group.users)), log.lengths[group.users])
    item, mean = log.item[at], float(log.reward[at].mean())
    left = log.reward[at] - mean
    by_user: FloatArray = np.zeros(len(group.users))
    for _ in range(SWEEPS):
        by_item = _effect(item, left - by_user[owner], log.items, shrink)
        by_user = _effect(owner, left - by_item[item], len(group.users), shrink_user)

    def score(events: Events, context: Context) -> FloatArray:
        rest = events.mask * (events.reward - mean - by_item[np.maximum(events.item, 0)])
        offset = rest.sum(1) / (events.mask.sum(1) + shrink_user)
        return np.asarray(mean + by_item[None] + offset[:, None])

    return score


def _effect(index: IntArray, rest: FloatArray, size: int, shrink: float) -> FloatArray:
    """The shrunk mean of what is left to explain, by index: float64 [size]."""
    return np.bincount(index, rest, size) / (np.bincount(index, minlength=size) + shrink)
