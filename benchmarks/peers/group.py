"""Whom a peer is fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.peers.likes import Matrix, of_users
from meta.catalogue import Catalogue
from meta.tasks import Sequences
from meta.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Group:
    """Some users of a log.

    Args:
        log: the log.
        users: int [U], indices of the users.
        catalogue: the items.
    """

    log: Sequences
    users: IntArray
    catalogue: Catalogue

    @property
    def likes(self) -> Matrix:
        """float32 [U, N], 1 where a user liked an item at any time."""
        return of_users(self.log, self.users)

    @property
    def attributes(self) -> FloatArray:
        """float32 [users of the log, A], without columns where nothing is known of users."""
        known = self.log.attributes
        return np.zeros((len(self.log.users), 0), np.float32) if known is None else known
