"""What `benchmarks.serve` asks of a service: users whose copies are ready, have just gone stale, or never were."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

import numpy as np

from benchmarks.load import Call
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.client.habits import PLAIN

RECOMMEND, RECORD = (f"/quickstudy.v1.Recommender/{name}" for name in ("Recommend", "RecordEvents"))
EVENTS, CANDIDATES = 20, 100
WARM, CROWD = 1_000, 12_000
"""Users whose copies are ready; users who have clicked since theirs was made, each asked for once after that."""
ZIPF = 1.0
"""The n-th busiest user calls in proportion to n^-ZIPF (Zipf 1949)."""
CLICKS, STRANGERS = 0.2, 0.1
"""Shares of the mix: calls that record a click, and users of whom nothing is known."""
POOL = 4_096
"""Different requests that are sent in turn."""
_AT_ONCE = 1_000


class Traffic:
    """Calls for the items of one catalogue.

    Args:
        address: of the service whose users these are.
        items: ids of the catalogue.
        rng: draws users, candidates and clicks.
    """

    def __init__(self, address: str, items: Sequence[str], rng: np.random.Generator) -> None:
        self._address = address
        self._items = items
        self._rng = rng
        self._clicks = 0
        weight = 1.0 / np.arange(1, CROWD + 1) ** ZIPF
        self._weight = weight / weight.sum()
        self._warm = self._pool([f"warm-{u}" for u in self._zipf(POOL, WARM)])
        self._cold = self._pool([f"stranger-{u}" for u in range(POOL)])
        self._crowd = self._pool([f"crowd-{u}" for u in range(CROWD)])

    def prepare(self) -> None:
        """Gives everybody a history and the warm ones a copy."""
        self._record([f"{kind}-{u}" for kind, n in (("warm", WARM), ("crowd", CROWD)) for u in range(n)], EVENTS)
        asyncio.run(self._make_copies())

    def warm(self) -> Iterator[Call]:
        """Users whose copies are ready, the busier the more often."""
        return cycle(self._warm)

    def cold(self) -> Iterator[Call]:
        """Users of whom nothing is known."""
        return cycle(self._cold)

    def clicked(self) -> Iterator[Call]:
        """Users who have all clicked just now, each once: every call has to adapt."""
        self._record([f"crowd-{u}" for u in range(CROWD)], 1)
        return iter(self._crowd)

    def mix(self) -> Iterator[Call]:
        """A crowd of which few are busy: some clicks, some strangers, and copies that are ready or not, as it comes."""
        draws = self._rng.random((CROWD, 2))
        for user, (click, stranger) in zip(self._zipf(CROWD, CROWD), draws, strict=True):
            if click < CLICKS:
                yield Call(RECORD, pb.RecordEventsRequest(events=self._events(f"crowd-{user}", 1)).SerializeToString())
            elif stranger < STRANGERS:
                yield Call(RECOMMEND, self._request(f"stranger-{user}"))
            else:
                yield self._crowd[user]

    def whole(self) -> Iterator[Call]:
        """The warm users, asking for the best of the whole catalogue."""
        bodies = (pb.RecommendRequest(user_id=f"warm-{u}").SerializeToString() for u in range(WARM))
        return cycle([Call(RECOMMEND, body) for body in bodies])

    def _zipf(self, n: int, users: int) -> list[int]:
        weight = self._weight[:users]
        drawn: list[int] = self._rng.choice(users, n, p=weight / weight.sum()).tolist()
        return drawn

    def _pool(self, users: Sequence[str]) -> list[Call]:
        return [Call(RECOMMEND, self._request(user)) for user in users]

    def _request(self, user: str) -> bytes:
        drawn = self._rng.choice(len(self._items), min(CANDIDATES, len(self._items)), replace=False, shuffle=False)
        ids = [self._items[row] for row in drawn.tolist()]
        return pb.RecommendRequest(user_id=user, candidate_ids=ids).SerializeToString()

    def _events(self, user: str, n: int) -> list[pb.Event]:
        rows, rewards = self._rng.integers(len(self._items), size=n), self._rng.integers(2, size=n)
        self._clicks += n
        return [
            pb.Event(event_id=f"{self._clicks - i}", user_id=user, item_id=self._items[row], reward=float(reward))
            for i, (row, reward) in enumerate(zip(rows, rewards, strict=True))
        ]

    def _record(self, users: Sequence[str], n: int) -> None:
        asyncio.run(self._send(event for user in users for event in self._events(user, n)))

    async def _send(self, events: Iterator[pb.Event]) -> None:
        async with Client(self._address, habits=PLAIN) as client:
            while batch := list(islice(events, _AT_ONCE)):
                await client.record(batch)

    async def _make_copies(self) -> None:
        async with Client(self._address, habits=PLAIN) as client:
            for start in range(0, WARM, 50):
                await asyncio.gather(*(client.recommend(f"warm-{u}") for u in range(start, start + 50)))
        await asyncio.sleep(0.2)  # copies are written behind the replies
