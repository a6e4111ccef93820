"""From recorded events to the histories that a policy reads: serving and replay group them by the same rule."""

from __future__ import annotations

import numpy as np

from meta.catalogue import id_hash
from meta.types import BoolArray, Events, FloatArray, IntArray

CAP = 64
"""Newest events of a user that a service keeps where nothing else is set."""


def tag(decision_id: str) -> int:
    """By which an event remembers its decision: an 8-bit hash, 1..255; 0 where it belongs to none."""
    return id_hash(decision_id) % 255 + 1 if decision_id else 0


def events(item: IntArray, reward: FloatArray, time_ms: IntArray, tags: IntArray, inside: BoolArray) -> Events:
    """Histories [B, T] of events in time order, oldest first.

    Adjacent events with the same tag are one group; an event of no decision is a group of its own.

    Args:
        item: int [B, T], catalogue rows, -1 where padded or unknown.
        reward: float32 [B, T], 0 where padded.
        time_ms: int [B, T], 0 where padded.
        tags: uint8 [B, T], `tag` of each event's decision.
        inside: bool [B, T], true where there is an event.
    """
    starts = inside.copy()
    starts[:, 1:] &= (tags[:, 1:] == 0) | (tags[:, 1:] != tags[:, :-1])
    group = np.where(inside, np.cumsum(starts, axis=1) - 1, 0)
    return Events(item, reward, group, item >= 0, starts.sum(axis=1), time_ms)
