"""Popularity as it is now: likes that the service records are counted in the store, and the counts read every while.

Each tenant has counts of its own: what its users like is nobody else's business.

Every process adds what it has recorded and reads what all have, in one task behind the requests. Counts are kept at
most once: what a failed write may have added is not added again. While the store is away the last counts stay.
"""

from __future__ import annotations

import logging
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress

import numpy as np

from meta.catalogue import Catalogue
from meta.policy import Policy
from meta.types import FloatArray
from service.access.tenants import NOBODY, key
from service.decay import Decay
from service.errors import StoreUnavailableError
from service.metrics import Metrics
from service.rounds import Rounds
from service.store import Store
from service.trend import Trend

SHARE = 20
"""The task waits so many times as long as each piece of a round took: it never takes more than a twentieth of the
process, nor several pieces in a row, for which callers would wait."""
_LOG = logging.getLogger("quickstudy")


class Popularity:
    """The live part of the popularity that policies read, for each tenant.

    Args:
        store: where the counts are.
        refresh_s: seconds between two rounds, at least.
        tenants: whose counts are read from the start.
    """

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        *,
        refresh_s: float = 2.0,
        tenants: Iterable[str] = (NOBODY,),
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._rounds = Rounds(self._round, "popularity", refresh_s, "popularity stays as it was")
        self._tenants = frozenset(tenants)
        self._trends: list[Trend] = []
        self._decays: frozenset[Decay] = frozenset()
        self._pending: dict[tuple[str, Decay, int], dict[bytes, float]] = defaultdict(lambda: defaultdict(float))
        self._waiting = 0
        self._read_at = -math.inf
        metrics.follow(metrics.popularity_age, lambda: time.monotonic() - self._read_at)

    def start(self) -> None:
        """Starts the task on the running loop."""
        self._rounds.start()

    async def follow(self, policy: Policy) -> Trend:
        """What is popular as a policy reads it, kept up to date until `leave`; read once before this returns.

        While the store is away it knows nothing yet.
        """
        trend = Trend(policy, self._tenants.union(*(other.terms for other in self._trends)))
        with suppress(StoreUnavailableError):
            await self._renew(trend)
        self._follow([*self._trends, trend])
        return trend

    def leave(self, trend: Trend) -> None:
        """Follows a trend no longer."""
        self._follow([other for other in self._trends if other is not trend])

    def add(self, tenant: str, likes: Iterable[tuple[bytes, int]], now_ms: int) -> None:
        """Counts likes of a tenant's users: the 8-byte hash of an item, and when, in ms since 1970. Returns at once."""
        if not self._decays:
            return
        oldest = [(decay, decay.generation(now_ms) - 1) for decay in self._decays]
        for item, time_ms in likes:
            for decay, first in oldest:
                generation = decay.generation(time_ms)
                if generation >= first:
                    self._pending[tenant, decay, generation][item] += decay.weight(time_ms, generation)
            self._waiting += 1

    async def close(self) -> None:
        """Ends after the round under way, and writes what waits once more."""
        await self._rounds.close()
        try:
            await self._write()
        except StoreUnavailableError as error:
            _LOG.error("%s: the last likes are not counted", error)

    async def _round(self) -> None:
        try:
            await self._write()
            for trend in self._trends:
                await self._renew(trend, SHARE)
        except Exception:
            self._metrics.popularity_errors.inc()
            raise

    async def _write(self) -> None:
        """Adds what waits to the store; it is given up where that fails."""
        pending, likes = self._pending, self._waiting
        if not likes:
            return
        self._pending, self._waiting = defaultdict(lambda: defaultdict(float)), 0
        counts = {
            key(tenant, decay.name(generation)): (decay.ttl_s, items)
            for (tenant, decay, generation), items in pending.items()
        }
        try:
            await self._store.count(counts)
        except StoreUnavailableError:
            self._metrics.likes.labels("lost").inc(likes)
            raise
        self._metrics.likes.labels("counted").inc(likes)

    async def _renew(self, trend: Trend, rest: float = 0.0) -> None:
        """Reads all counts of a trend, with a pause after each piece, so many times as long as the piece took."""
        if not trend.decays:
            return
        for tenant in list(trend.terms):
            trend.terms[tenant] = await self._term(trend, tenant, time.time_ns() // 1_000_000, rest)
        self._read_at = time.monotonic()

    async def _term(self, trend: Trend, tenant: str, now_ms: int, rest: float) -> FloatArray:
        catalogue = trend.policy.catalogue
        counts = np.zeros((len(trend.decays), len(catalogue)))
        for row, decay in zip(counts, trend.decays, strict=True):
            for name, divisor in decay.readable(now_ms).items():
                counted = np.zeros(len(catalogue))
                async for piece in self._store.counts(key(tenant, name)):
                    started = time.perf_counter()
                    _place(counted, catalogue, piece)
                    if rest:
                        await self._rounds.pause(rest * (time.perf_counter() - started))
                row += counted / divisor
        return trend.policy.popularity(counts, now_ms)

    def _follow(self, trends: list[Trend]) -> None:
        self._trends = trends
        self._decays = frozenset(decay for trend in trends for decay in trend.decays)


def _place(counted: FloatArray, catalogue: Catalogue, found: Mapping[bytes, bytes]) -> None:
    """Puts the counts of items that the catalogue knows into their places of [N]."""
    sound = {item: value for item, value in found.items() if len(item) == 8}
    at = catalogue.rows_of_hashes(np.frombuffer(b"".join(sound), "<u8"))
    values = np.fromiter(map(float, sound.values()), np.float64, len(sound))
    counted[at[at >= 0]] = values[at >= 0]
