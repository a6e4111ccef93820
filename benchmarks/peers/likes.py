"""What every peer is fitted on: who liked what, as a dense matrix of 0 and 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meta.tasks import Sequences
from meta.types import Events, IntArray

Matrix = npt.NDArray[np.float32]


def of_users(log: Sequences, users: IntArray) -> Matrix:
    """Return float32 [len(users), N], 1 where a user liked an item at any time."""
    likes = np.zeros((len(users), log.items), np.float32)
    for row, user in enumerate(users):
        events = slice(log.offsets[user], log.offsets[user + 1])
        likes[row, log.item[events][log.reward[events] > 0]] = 1.0
    return likes


def of_supports(events: Events, items: int) -> Matrix:
    """Return float32 [B, N], 1 where an item is liked in the histories [B, T]."""
    likes = np.zeros((events.users, items), np.float32)
    user, event = np.nonzero(events.mask & (events.reward > 0))
    likes[user, events.item[user, event]] = 1.0
    return likes
