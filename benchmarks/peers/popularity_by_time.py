"""Popularity that follows time: what training users liked before the request, the latest counting most."""

from __future__ import annotations

import numpy as np

from benchmarks.peers.group import Group
from meta.coldstart import Scorer
from meta.types import Context, Events, FloatArray

DAY_MS = 86_400_000


def popularity_by_time(group: Group, half_life_days: float, floor: float = 0.0) -> Scorer:
    """Score by log(1 + decayed likes strictly before the request) + floor * log(1 + likes at any time).

    Args:
        group: whose likes are counted.
        half_life_days: after which a like counts half.
        floor: share of popularity as such, which a log of few users at any one time needs; 0 or more.
    """
    log, at = group.log, group.log.events_of(group.users)
    at = at[log.reward[at] > 0]
    at = at[np.argsort(log.time_ms[at], kind="stable")]
    item, days = log.item[at], log.time_ms[at] / DAY_MS
    ever = np.log1p(np.bincount(item, minlength=log.items))

    def score(events: Events, context: Context) -> FloatArray:
        """One pass in time order: the counts fade to each request in turn and take what was liked since the last."""
        now_ms = context.now_ms[:, 0]
        out = np.empty((len(now_ms), log.items), np.float32)
        count, then, seen = np.zeros(log.items), 0.0, 0
        for user in np.argsort(now_ms, kind="stable"):
            now = now_ms[user] / DAY_MS
            until = int(np.searchsorted(log.time_ms[at], now_ms[user], side="left"))
            fresh = slice(seen, until)
            count = count * 0.5 ** ((now - then) / half_life_days)
            count += np.bincount(item[fresh], 0.5 ** ((now - days[fresh]) / half_life_days), log.items)
            out[user] = np.log1p(count) + floor * ever
            then, seen = now, until
        return out

    return score
