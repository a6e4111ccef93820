"""Writes copies and decisions after the reply has left: bounded, in few round trips, never lost silently."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from time import monotonic

from service.access.tenants import UserKey
from service.decisions import Logged, new_pseudonym, stream
from service.errors import StoreUnavailableError
from service.metrics import Metrics
from service.store import FreshCopy, Store
from service.store.named import Name

_AT_ONCE = 256
_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)
WRITTEN_S = 1.0
"""For how long, seconds, a written name is still told: a read from before the write may be looked at after it."""
_LOG = logging.getLogger("quickstudy")


class Writer:
    """One task that empties bounded queues into the store and tries again while the store is away.

    Decisions are written at least once: a write whose answer was lost is repeated.

    Args:
        store: where to.
        shards: number of streams of each tenant, used in turn.
        cap: decisions kept of each tenant over all streams, approximately.
        backlog: entries that may wait; of what comes then, the newest are given up, counted and logged.
        linger_s: wait for company, seconds.
    """

    def __init__(
        self, store: Store, metrics: Metrics, *, shards: int = 4, cap: int = 100_000, backlog: int, linger_s: float
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._shards = shards
        self._cap = max(1, cap // shards)
        self._backlog = backlog
        self._linger = linger_s
        self._copies: deque[FreshCopy] = deque()
        self._decisions: deque[Logged] = deque()
        self._named: dict[Name, bytes] = {}
        self._written: dict[Name, tuple[float, bytes]] = {}
        self._newcomers: dict[UserKey, int] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._shard = 0
        self._overflowing = False
        self._closing = False

    def start(self) -> None:
        """Starts the task on the running loop."""
        self._task = asyncio.create_task(self._run(), name="writer")

    def put(self, copies: Sequence[FreshCopy], decisions: Sequence[Logged]) -> None:
        """Queues a batch and returns at once."""
        for queue, new, kind in ((self._copies, copies, "copy"), (self._decisions, decisions, "decision")):
            room = max(0, self._backlog - len(queue))
            queue.extend(new[:room])  # type: ignore[arg-type] # each queue gets its own kind
            if len(new) > room:
                self._overflow(len(new) - room, kind)
        self._wake.set()

    def name(self, name: Name, reply: bytes) -> None:
        """Queues the reply of a decision that has a name; `named` tells it until readers of the store can know it."""
        if len(self._named) < self._backlog:
            self._named[name] = reply
        else:
            self._overflow(1, "named decision")

    def named(self, name: Name) -> bytes | None:
        """The reply of a decision that is not written yet, or was just now; None where there is none of this name."""
        if name in self._named:
            return self._named[name]
        time, reply = self._written.get(name, (-math.inf, None))
        return reply if monotonic() - time < WRITTEN_S else None

    def pseudonym(self, user: UserKey) -> int:
        """By which number the log shall know somebody who has none; the same until it is written, when they have it."""
        number = self._newcomers.get(user) or new_pseudonym()
        if user in self._newcomers or len(self._newcomers) < self._backlog:
            self._newcomers[user] = number
        else:
            self._overflow(1, "newcomer")
        return number

    def newcomers(self, users: Iterable[UserKey]) -> dict[UserKey, int]:
        """The pseudonyms of those of these users whose own are not written yet."""
        return {user: self._newcomers[user] for user in users if user in self._newcomers}

    def forget(self, user: UserKey) -> None:
        """Gives up what waits of a user but their decisions, which name nobody."""
        self._newcomers.pop(user, None)
        for names in (self._named, self._written):
            for name in [name for name in names if name.user == user]:
                del names[name]

    async def close(self, timeout_s: float = 5.0) -> None:
        """Writes what is queued, for at most `timeout_s` seconds, and stops."""
        if self._task is None:
            return
        self._closing = True  # and no cancellation: one that meets a write under way may get lost in it
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._task
                while self._waiting():
                    try:
                        await self._flush()
                    except StoreUnavailableError:
                        await asyncio.sleep(_PAUSES_S[0])  # it may be back in time
        except TimeoutError:
            self._metrics.lost.labels("decision").inc(len(self._decisions))
            _LOG.error("the store is away: %d decisions are lost at shutdown", len(self._decisions))

    async def _run(self) -> None:
        failures = 0
        while not self._closing:
            await self._wake.wait()
            await asyncio.sleep(self._linger)
            try:
                await self._flush()
                failures = 0
            except StoreUnavailableError as error:
                if failures == 0:
                    _LOG.warning("%s; %d decisions wait", error, len(self._decisions))
                await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
                failures += 1
            except Exception:
                _LOG.exception("a background write failed and is tried again")
                await asyncio.sleep(_PAUSES_S[-1])

    async def _flush(self) -> None:
        """Writes the oldest entries of each queue; they stay queued when that fails."""
        copies = [self._copies[i] for i in range(min(_AT_ONCE, len(self._copies)))]
        decisions = [self._decisions[i] for i in range(min(_AT_ONCE, len(self._decisions)))]
        named = list(itertools.islice(self._named.items(), _AT_ONCE))
        newcomers = list(itertools.islice(self._newcomers.items(), _AT_ONCE))
        if copies or decisions or named or newcomers:
            streams: dict[str, list[bytes]] = defaultdict(list)
            for tenant, value in decisions:
                streams[stream(tenant, self._shard)].append(value)
            await self._store.save(copies, streams, self._cap, named, newcomers)
        for queue, done, kind in ((self._copies, copies, "copy"), (self._decisions, decisions, "decision")):
            for _ in done:
                queue.popleft()
            self._metrics.written.labels(kind).inc(len(done))
        now = monotonic()
        for name, reply in named:
            if self._named.pop(name, None) is not None:  # else its user was erased meanwhile
                self._written[name] = now, reply
        while self._written and now - next(iter(self._written.values()))[0] >= WRITTEN_S:
            del self._written[next(iter(self._written))]
        for user, _ in newcomers:
            self._newcomers.pop(user, None)
        self._metrics.written.labels("named decision").inc(len(named))
        self._metrics.written.labels("newcomer").inc(len(newcomers))
        self._shard = (self._shard + 1) % self._shards
        if not self._waiting():
            self._wake.clear()
            self._overflowing = False

    def _waiting(self) -> bool:
        return bool(self._copies or self._decisions or self._named or self._newcomers)

    def _overflow(self, lost: int, kind: str) -> None:
        self._metrics.lost.labels(kind).inc(lost)
        if not self._overflowing:
            _LOG.error("the backlog is full: decisions are being lost until the store is back")
        self._overflowing = True
