"""What the store last told of recent users: a bounded memory that answers while the store cannot be asked.

It never answers in the store's place: whoever can be read is read, in the round trip that every batch makes, and what
was read is remembered. So an answer of the store is never older than an answer of this memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic

OVERHEAD = 400
"""Bytes that an entry takes beside what is remembered."""


@dataclass(slots=True)
class Entry:
    """What is known of one user: stored history, copy and attributes, and when the store told, in seconds."""

    history: bytes | None
    copy: bytes | None
    attributes: bytes | None
    told: float

    @property
    def size(self) -> int:
        """Bytes that it takes, about, but for the name."""
        return OVERHEAD + len(self.history or b"") + len(self.copy or b"") + len(self.attributes or b"")


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
            if known is None:
                if history or attributes:
                    self._put(user, Entry(history, copy, attributes, asked))
            elif known.told <= asked:
                if known.history == history and known.copy == copy and known.attributes == attributes:
                    known.told = asked
                    users.move_to_end(user)
                else:
                    self._put(user, Entry(history, copy, attributes, asked))
        self._trim(asked)

    def wrote(self, user: str, *, history: bytes | None = None, attributes: bytes | None = None) -> None:
        """Takes in what a write has made of a history or of attributes, of a user who is remembered."""
        if (known := self._users.get(user)) is None:
            return
        history = known.history if history is None else history
        attributes = known.attributes if attributes is None else attributes
        self._put(user, Entry(history, known.copy, attributes, self.now()))

    def made(self, user: str, header: bytes, copy: bytes) -> None:
        """Takes in a copy that was made from the history with this header."""
        known = self._users.get(user)
        if known is not None and known.history is not None and known.history.startswith(header):
            self._bytes += len(copy) - len(known.copy or b"")
            known.copy = copy

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

    def _put(self, user: str, entry: Entry) -> None:
        """Remembers a user as told of last; somebody of whom nothing is kept is not worth a place."""
        self._drop(user)
        if entry.history or entry.attributes:
            self._users[user] = entry
            self._bytes += entry.size + len(user)

    def _drop(self, user: str) -> None:
        if (known := self._users.pop(user, None)) is not None:
            self._bytes -= known.size + len(user)

    def _trim(self, now: float) -> None:
        while self._users:
            user = next(iter(self._users))
            if self._bytes <= self._max_bytes and now - self._users[user].told <= self._max_age:
                return
            self._drop(user)
