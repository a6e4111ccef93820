"""Whom a peer is fitted on."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.peers.likes import Matrix, of_users
from meta.catalogue import Catalogue
from meta.tasks import Sequences
from meta.types import IntArray


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
