"""What the store last told of recent users: a bounded memory that answers while the store cannot be asked.

It never answers in the store's place: whoever can be read is read, in the round trip that every batch makes, and what
was read is remembered. So an answer of the store is never older than an answer of this memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from time import monotonic
from typing import NamedTuple

OVERHEAD = 400
"""Bytes that an entry takes beside what is remembered."""


class Entry(NamedTuple):
    """What is known of one user: stored history, copy and attributes, and when the store told, in seconds."""

    history: bytes | None
    copy: bytes | None
    attributes: bytes | None
    told: float


class Recent:
    """Users in the order in which the store told of them, the oldest first.

    Args:
        max_bytes: what is remembered takes no more; the users told of longest ago are forgotten.
        max_age_s: seconds after which nothing that was told is used any more.
        clock: seconds.
    """

    def __init__(self, max_bytes: int, max_age_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._max_bytes = max_bytes
        self._max_age = max_age_s
        self.now = clock
        self._users: OrderedDict[str, Entry] = OrderedDict()
        self._bytes = 0
        self._erased = -1.0

    def __len__(self) -> int:
        """Users that are remembered."""
        return len(self._users)

    @property
    def size(self) -> int:
        """Bytes in use."""
        return self._bytes

    def read(self, asked: float, found: Iterable[tuple[str, bytes | None, bytes | None, bytes | None]]) -> None:
        """Takes in what a read that was `asked` then has found: user, history, copy and attributes, None for nothing.

        Nothing is taken that may be older than what a write has told since.
        """
        if asked <= self._erased:
            return
        users = self._users
        for user, history, copy, attributes in found:
            known = users.get(user)
            if known is not None:
                if known[3] > asked:
                    continue
                users.move_to_end(user)
            elif not history and not attributes:
                continue
            self._put(user, known, Entry(history, copy, attributes, asked))
        self._trim(asked)

    def wrote(self, user: str, *, history: bytes | None = None, attributes: bytes | None = None) -> None:
        """Takes in what a write has made of a history or of attributes, of a user who is remembered."""
        if (known := self._users.get(user)) is None:
            return
        history = known.history if history is None else history
        attributes = known.attributes if attributes is None else attributes
        self._users.move_to_end(user)
        self._put(user, known, Entry(history, known.copy, attributes, self.now()))

    def made(self, user: str, header: bytes, copy: bytes) -> None:
        """Takes in a copy that was made from the history with this header."""
        known = self._users.get(user)
        if known is not None and known.history is not None and known.history.startswith(header):
            self._put(user, known, known._replace(copy=copy))

    def forget(self, user: str) -> None:
        """Forgets a user, and does not listen to reads that may still tell of them."""
        self._erased = self.now()
        self._drop(user)

    def recall(self, user: str) -> Entry | None:
        """What is remembered of a user, unless it is too old."""
        found = self._users.get(user)
        return found if found is not None and self.now() - found.told <= self._max_age else None

    def __contains__(self, user: str) -> bool:
        """Whether a user is remembered."""
        return user in self._users

    def _put(self, user: str, known: Entry | None, entry: Entry) -> None:
        """Remembers a user in the place of what is `known`; somebody of whom nothing is kept is not worth a place."""
        if not entry[0] and not entry[2]:
            self._drop(user)
            return
        self._users[user] = entry
        self._bytes += _size(user, entry) - (0 if known is None else _size(user, known))

    def _drop(self, user: str) -> None:
        if (known := self._users.pop(user, None)) is not None:
            self._bytes -= _size(user, known)

    def _trim(self, now: float) -> None:
        while self._users:
            user = next(iter(self._users))
            if self._bytes <= self._max_bytes and now - self._users[user].told <= self._max_age:
                return
            self._drop(user)


def _size(user: str, entry: Entry) -> int:
    history, copy, attributes, _ = entry
    return OVERHEAD + len(user) + len(history or b"") + len(copy or b"") + len(attributes or b"")
