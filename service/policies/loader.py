"""From a version in the library to a ranker that may serve: loaded, warm, with the items and the popularity of now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np

from meta.policy import Policy
from service.errors import UnusablePolicyError
from service.policies.library import Fixed, Library
from service.policies.lineup import Lineup
from service.popularity import Popularity
from service.ranker import Ranker
from service.serving import Cast
from service.stock import Stock
from service.store import Store, history
from service.trend import Trend


class Loader:
    """Loads policies beside the event loop.

    Args:
        stock: keeps their items.
        popularity: keeps their popularity.
        store: keeps as long histories as they see, where `cap` says how long that is.
        make: makes a ranker.
        cap: events to keep of each user for a policy.
    """

    def __init__(
        self,
        stock: Stock,
        popularity: Popularity,
        store: Store,
        make: Callable[[Policy, Trend], Ranker],
        cap: Callable[[Policy], int],
    ) -> None:
        self._stock = stock
        self._popularity = popularity
        self._store = store
        self._make = make
        self._cap = cap

    async def load(self, library: Library, version: str) -> Ranker:
        """A ranker of a version in a library.

        Raises:
            UnknownVersionError, UnusablePolicyError, LibraryUnavailableError: as `Library.load`.
        """
        return await self.prepare(await asyncio.to_thread(library.load, version))

    async def prepare(self, policy: Policy) -> Ranker:
        """A ranker of a policy. Raises UnusablePolicyError where it cannot rank."""
        try:
            await asyncio.to_thread(_warm_up, policy)
        except Exception as error:
            raise UnusablePolicyError(f"version {policy.version} cannot rank: {error}") from error
        await self._stock.follow(policy)
        trend = await self._popularity.follow(policy)
        self._store.cap = max(self._store.cap, self._cap(policy))
        return self._make(policy, trend)

    async def fixed(self, library: Fixed) -> Cast:
        """The cast of a library of one."""
        return Cast(Lineup(library.policy.version), await self.prepare(library.policy))

    def drop(self, ranker: Ranker) -> None:
        """Keeps a ranker up to date no longer; batches that it has begun go on."""
        self._stock.leave(ranker.policy)
        self._popularity.leave(ranker.trend)


def _warm_up(policy: Policy) -> None:
    """Computes once what the first request will need: caches fill, lazy imports happen, before anybody waits."""
    value = bytes(history.HEADER) + history.pack("warm-up", 0, policy.catalogue.ids[0], 1.0, "", 0)
    events = history.decode([value], policy.items).events
    copy = policy.adapt(events).copy
    one = np.ones(1, np.int64)
    for candidates in (None, np.zeros((1, 1), np.int32)):
        policy.rank(
            copy, events, candidates, slate_size=one, temperature=np.zeros(1, np.float32), seed=one.astype(np.uint64)
        )
