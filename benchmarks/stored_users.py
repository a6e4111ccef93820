"""Very many users in a real store: histories as the service writes them, packed here, as a million scripts take long.

What is written is what `append.lua` would have written, which `same_as_the_script` proves on a sample.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from redis import Redis

from service.access.tenants import NOBODY, user_key
from service.metrics import Metrics
from service.settings import MAX_HISTORY, StoreSettings
from service.store import Store, connect, history

AT_ONCE = 2_000
"""Users that are packed and sent together."""


class StoredUsers:
    """Users of one store, numbered from 0.

    Args:
        url: of the store.
        items: uint64 [N], hashes of the items that they have met.
        prefix: what their ids begin with.
        events: of each.
    """

    def __init__(self, url: str, items: npt.NDArray[np.uint64], *, prefix: str, events: int) -> None:
        self._url, self._items, self._prefix, self._events = url, items, prefix, events
        self._redis = Redis.from_url(url)
        self._ttl = StoreSettings().history_ttl_s
        self._store = Store(connect(url), Metrics(), cap=MAX_HISTORY, read_timeout_s=5.0, write_timeout_s=5.0)
        self._rng = np.random.default_rng(events)
        self.count, self.seconds = 0, 0.0
        """How many there are, and how long it took to write them."""
        self.bytes = np.zeros(2, np.int64)
        """By how much they have made the store's memory grow: in use, and resident."""

    def name(self, user: int) -> str:
        """The id of a user."""
        return f"{self._prefix}{user:08d}"

    def grow(self, count: int) -> None:
        """Adds users until there are so many."""
        started, before = time.perf_counter(), self._memory()
        while self.count < count:
            n = min(AT_ONCE, count - self.count)
            with self._redis.pipeline(transaction=False) as pipeline:
                for user, value in enumerate(self._histories(n), self.count):
                    pipeline.set(self._keys(user)[0], value, ex=self._ttl)
                pipeline.execute()
            self.count += n
        self.seconds += time.perf_counter() - started
        self.bytes += self._memory() - before

    def _memory(self) -> npt.NDArray[np.int64]:
        """Bytes that the store uses, and that it has resident; not while it rewrites its file."""
        while self._redis.info("persistence")["aof_rewrite_in_progress"]:
            time.sleep(0.2)
        told = self._redis.info("memory")
        return np.array([told["used_memory"], told["used_memory_rss"]])

    def work(self) -> npt.NDArray[np.float64]:
        """What the store has done so far: bytes received and sent, and seconds of a core."""
        told = self._redis.info()
        moved = told["total_net_input_bytes"] + told["total_net_output_bytes"]
        return np.array([moved, told["used_cpu_user"] + told["used_cpu_sys"]])

    def logged_bytes(self) -> float:
        """Mean bytes of a decision in the log."""
        streams = list(self._redis.scan_iter("qs:decisions:*"))
        entries = sum(map(self._redis.xlen, streams))
        return sum(self._redis.memory_usage(key, samples=0) or 0 for key in streams) / max(1, entries)

    def bytes_each(self, users: list[int]) -> tuple[float, float]:
        """Mean bytes of the histories and of the copies of users, keys and all; of those that have one."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for user in users:
                for key in self._keys(user):
                    pipeline.memory_usage(key)
            sizes = np.array([size or 0 for size in pipeline.execute()], float).reshape(-1, 2)
        return tuple((sizes.sum(0) / np.maximum((sizes > 0).sum(0), 1)).tolist())

    def same_as_the_script(self, users: int) -> bool:
        """Whether the service's own way to write leaves the very same bytes, of so many users."""
        values = list(self._histories(users))
        return asyncio.run(self._written(values)) == values

    async def _written(self, values: list[bytes]) -> list[bytes | None]:
        """What the service leaves in the store when it appends the events of histories to nothing."""
        users = [user_key(NOBODY, f"as-the-script-{n}") for n in range(len(values))]
        start = history.HEADER
        pseudonyms = {user: int.from_bytes(x[8:start], "little") for user, x in zip(users, values, strict=True)}
        try:
            await self._store.append({user: x[start:] for user, x in zip(users, values, strict=True)}, None, pseudonyms)
            kept = await self._store.read(users)
            for user in users:
                await self._store.erase(user)
        finally:
            await self._store.close()
        return kept.histories

    def _histories(self, users: int) -> Iterator[bytes]:
        """Whole histories: random events, one a minute until now."""
        record = np.zeros((users, self._events), history.RECORD)
        now = time.time_ns() // 1_000_000
        at = now - 60_000 * np.arange(self._events, 0, -1) + self._rng.integers(1_000, size=record.shape)
        record["event"] = self._rng.integers(2**64, size=record.shape, dtype=np.uint64)
        record["time_low"], record["time_high"] = at & 0xFFFFFFFF, at >> 32
        record["item"] = self._items[self._rng.integers(len(self._items), size=record.shape)]
        record["reward"] = self._rng.random(record.shape) < 0.3
        mixed = np.bitwise_xor.reduce(record["event"], axis=1) & np.uint64(0xFFFFFFFF)
        head = (mixed | np.uint64(self._events << 32)).astype("<u8")
        for start, events in zip(head, record, strict=True):
            yield start.tobytes() + secrets.token_bytes(8) + events.tobytes()

    def _keys(self, user: int) -> tuple[str, str]:
        """Where the history and the copy of a user are kept."""
        return self._store.keys(user_key(NOBODY, self.name(user)))[:2]
