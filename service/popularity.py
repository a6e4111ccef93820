"""Popularity as it is now: likes that the service records are counted in the store, and the counts read every while.

Each tenant has counts of its own: what its users like is nobody else's business.

Every process adds what it has recorded and reads what all have, in one task behind the requests. Counts are kept at
most once: what a failed write may have added is not added again. While the store is away the last counts stay.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress

import numpy as np

from meta.policy import Policy
from meta.types import FloatArray
from service.access.tenants import NOBODY, key
from service.decay import Decay
from service.errors import StoreUnavailableError
from service.metrics import Metrics
from service.store import Store

SHARE = 20
"""The task waits so many times as long as a round of it took: it never takes more than a twentieth of the process."""
_LOG = logging.getLogger("quickstudy")


class Popularity:
    """The live part of a policy's popularity, for each tenant.

    Args:
        policy: says which half-lives it reads; without any, nothing is counted.
        store: where the counts are.
        refresh_s: seconds between two rounds, at least.
        tenants: whose counts are read from the start.
    """

    def __init__(
        self,
        policy: Policy,
        store: Store,
        metrics: Metrics,
        *,
        refresh_s: float = 2.0,
        tenants: Iterable[str] = (NOBODY,),
    ) -> None:
        self._policy = policy
        self._store = store
        self._metrics = metrics
        self._refresh = refresh_s
        self._decays = [Decay.near(half_life) for half_life in policy.half_lives_ms]
        self._terms: dict[str, FloatArray | None] = dict.fromkeys(tenants)
        self._pending: dict[tuple[str, int, int], dict[bytes, float]] = defaultdict(lambda: defaultdict(float))
        self._waiting = 0
        self._read_at = -math.inf
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        metrics.follow(metrics.popularity_age, lambda: time.monotonic() - self._read_at)

    def start(self) -> None:
        """Starts the task on the running loop, where the policy reads popularity at all."""
        if self._decays:
            self._task = asyncio.create_task(self._run(), name="popularity")

    def counted_for(self, tenant: str) -> str:
        """The tenant by whose likes these requests are ranked; one for all where likes are not counted."""
        return tenant if self._decays else NOBODY

    def term(self, tenant: str) -> FloatArray | None:
        """float32 [N], what the policy adds to the advantages of a tenant's requests now; None until counts were read.

        A tenant who asks is one whose counts are read from then on.
        """
        return self._terms.setdefault(tenant, None)

    def add(self, tenant: str, likes: Iterable[tuple[bytes, int]], now_ms: int) -> None:
        """Counts likes of a tenant's users: the 8-byte hash of an item, and when, in ms since 1970. Returns at once."""
        if not self._decays:
            return
        oldest = [decay.generation(now_ms) - 1 for decay in self._decays]
        for item, time_ms in likes:
            for which, decay in enumerate(self._decays):
                generation = decay.generation(time_ms)
                if generation >= oldest[which]:
                    self._pending[tenant, which, generation][item] += decay.weight(time_ms, generation)
            self._waiting += 1

    async def close(self) -> None:
        """Ends after the round under way, and writes what waits once more."""
        if self._task is None:
            return
        self._closing.set()
        await self._task
        try:
            await self._write()
        except StoreUnavailableError as error:
            _LOG.error("%s: the last likes are not counted", error)

    async def _run(self) -> None:
        failing = False
        while not self._closing.is_set():
            started = time.monotonic()
            try:
                await self._write()
                await self._read()
                failing = False
            except StoreUnavailableError as error:
                self._metrics.popularity_errors.inc()
                if not failing:
                    _LOG.warning("%s; popularity stays as it was", error)
                failing = True
            except Exception:
                self._metrics.popularity_errors.inc()
                _LOG.exception("popularity could not be renewed and is tried again")
            pause = max(self._refresh, SHARE * (time.monotonic() - started))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause)

    async def _write(self) -> None:
        """Adds what waits to the store; it is given up where that fails."""
        pending, likes = self._pending, self._waiting
        if not likes:
            return
        self._pending, self._waiting = defaultdict(lambda: defaultdict(float)), 0
        counts = {
            key(tenant, self._decays[which].name(generation)): (self._decays[which].ttl_s, items)
            for (tenant, which, generation), items in pending.items()
        }
        try:
            await self._store.count(counts)
        except StoreUnavailableError:
            self._metrics.likes.labels("lost").inc(likes)
            raise
        self._metrics.likes.labels("counted").inc(likes)

    async def _read(self) -> None:
        for tenant in list(self._terms):
            self._terms[tenant] = await self._read_of(tenant, time.time_ns() // 1_000_000)
        self._read_at = time.monotonic()

    async def _read_of(self, tenant: str, now_ms: int) -> FloatArray:
        counts = np.zeros((len(self._decays), len(self._policy.catalogue)))
        for row, decay in zip(counts, self._decays, strict=True):
            for name, divisor in decay.readable(now_ms).items():
                self._place(row, await self._store.counts(key(tenant, name)), divisor)
        return self._policy.popularity(counts, now_ms)

    def _place(self, row: FloatArray, found: Mapping[bytes, bytes], divisor: float) -> None:
        """Adds the counts of items that the catalogue knows to a row [N]."""
        sound = {item: value for item, value in found.items() if len(item) == 8}
        hashes = np.frombuffer(b"".join(sound), "<u8")
        at = self._policy.catalogue.rows_of_hashes(hashes)
        values = np.fromiter(map(float, sound.values()), np.float64, len(sound)) / divisor
        row[at[at >= 0]] += values[at >= 0]
