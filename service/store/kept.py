"""What the store is given and what it tells: the nouns that cross its boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.access.tenants import UserKey


@dataclass(frozen=True, slots=True)
class Appended:
    """What one user's append did: a digit an event (1 added, 2 duplicate, 3 too old), and the history after it."""

    results: str
    length: int
    watermark: int


class Kept(NamedTuple):
    """What is kept of users, in their order, None where there is nothing: histories, copies and attributes."""

    histories: list[bytes | None]
    copies: list[bytes | None]
    attributes: list[bytes | None]

    @classmethod
    def nothing(cls, users: int) -> Kept:
        """Of users of whom nothing is kept."""
        return cls([None] * users, [None] * users, [None] * users)

    def of(self, some: Sequence[int]) -> Kept:
        """Of some of the users, by their places."""
        return Kept(*([each[i] for i in some] for each in self))


class FreshCopy(NamedTuple):
    """A copy to be kept: whose, made from which state of the history (its header), and the stored bytes."""

    user: UserKey
    header: bytes
    value: bytes


class EventLog(NamedTuple):
    """How the events of one call are logged.

    Args:
        stream: key of the stream.
        cap: entries that it keeps, about.
        start: of each entry, a serialized Recorded that lacks user and outcomes.
        outcomes: a serialized Recorded of one outcome alone for each packed event of each user.
    """

    stream: str
    cap: int
    start: bytes
    outcomes: Mapping[UserKey, Sequence[bytes]]
