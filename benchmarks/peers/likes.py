"""What every peer is fitted on: who liked what, as a dense matrix of 0 and 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meta.tasks import Sequences
from meta.types import BoolArray, FloatArray, IntArray

Matrix = npt.NDArray[np.float32]


def of_users(log: Sequences, users: IntArray) -> Matrix:
    """Return float32 [len(users), N], 1 where a user liked an item at any time."""
    likes = np.zeros((len(users), log.items), np.float32)
    for row, user in enumerate(users):
        events = slice(log.offsets[user], log.offsets[user + 1])
        likes[row, log.item[events][log.reward[events] > 0]] = 1.0
    return likes


def of_supports(items: IntArray, rewards: FloatArray, mask: BoolArray, catalogue: int) -> Matrix:
    """Return float32 [B, N], 1 where an item is liked in the support [B, T]."""
    likes = np.zeros((len(items), catalogue), np.float32)
    user, event = np.nonzero(mask & (rewards > 0))
    likes[user, items[user, event]] = 1.0
    return likes
