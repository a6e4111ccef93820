"""The items that a process ranks: it follows what any process has changed, and has its policies offer that."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping

from meta.assortment import GONE, Assortment, Change
from meta.policy import Policy
from service.errors import StoreUnavailableError
from service.metrics import Metrics
from service.rounds import Rounds
from service.store import attributes, item_store
from service.store.item_store import ItemStore

_LOG = logging.getLogger("quickstudy")


class Stock:
    """Keeps the items of policies as the store has them.

    The next assortment is made in a thread and put in place between two batches, so that no request waits for it or
    sees half of it. While the store is away the items stay as they were.

    Args:
        store: where changes are.
        refresh_s: seconds between two looks.
    """

    def __init__(self, store: ItemStore, metrics: Metrics, *, refresh_s: float = 0.25) -> None:
        self._store = store
        self._metrics = metrics
        self._rounds = Rounds(self.renew, "stock", refresh_s, "the items stay as they are")
        self._stands: dict[bytes, bytes] = {}
        self._changes: dict[Policy, dict[str, Change]] = {}
        self._seen = 0
        self._read_at = -math.inf
        self._reading = asyncio.Lock()
        metrics.follow(metrics.items, lambda: max((policy.items.on_offer for policy in self._changes), default=0))
        metrics.follow(metrics.items_age, lambda: time.monotonic() - self._read_at)

    async def start(self) -> None:
        """Reads all that stands, and follows from then on. Raises StoreUnavailableError."""
        await self.renew()
        self._rounds.start()

    async def follow(self, policy: Policy) -> None:
        """Has a policy offer the items of now, from before this returns until `leave`."""
        async with self._reading:
            changes, items = await asyncio.to_thread(_after, policy, {}, self._stands)
            policy.offer(items)
            self._changes[policy] = changes

    def leave(self, policy: Policy) -> None:
        """Has a policy offer nothing new from now on."""
        self._changes.pop(policy, None)

    async def change(self, items: Mapping[str, bytes]) -> None:
        """Stores items. The store has them when this returns, and this process ranks them unless it has gone since."""
        await self._store.change(items)
        try:
            await self.renew()
        except StoreUnavailableError as error:
            _LOG.warning("%s; the changed items are ranked later", error)

    async def renew(self) -> None:
        """One look at the store. Raises StoreUnavailableError."""
        async with self._reading:
            now = await self._store.count()
            if now != self._seen:
                changed = await self._store.since(self._seen, now)
                if changed is None:
                    found = await self._store.everything()
                    found |= dict.fromkeys((name for name in self._stands if name not in found), item_store.NOTHING)
                else:
                    found = await self._store.items(changed)
                for policy, before in list(self._changes.items()):
                    changes, items = await asyncio.to_thread(_after, policy, before, found)
                    policy.offer(items)
                    if policy in self._changes:  # it may have been left meanwhile
                        self._changes[policy] = changes
                self._stands, self._seen = self._stands | found, now
                self._metrics.items_changed.inc(len(found))
            self._read_at = time.monotonic()

    async def close(self) -> None:
        """Ends after the look under way."""
        await self._rounds.close()

    def deletion(self, item_id: str) -> bytes:
        """What is stored of an item that is taken out: nothing, unless a policy would bring it back."""
        known = any(policy.catalogue.rows([item_id])[0] >= 0 for policy in self._changes)
        return item_store.GONE if known else item_store.NOTHING


def _after(
    policy: Policy, before: Mapping[str, Change], found: Mapping[bytes, bytes]
) -> tuple[dict[str, Change], Assortment]:
    """All changes of a policy's items with those that were found, and the items that they make."""
    told = {name.decode(): value for name, value in found.items()}
    told = {name: value for name, value in told.items() if value not in (item_store.GONE, item_store.NOTHING)}
    features = attributes.features(list(told.values()), policy.catalogue.columns)
    stamps = attributes.marks(list(told.values())).tolist()
    changes = {**before, **dict.fromkeys(map(bytes.decode, found), Change(None))}
    for name, row, stamp in zip(told, features, stamps, strict=True):
        changes[name] = Change(row, max(stamp, GONE + 1))
    return changes, policy.assortment(changes)
