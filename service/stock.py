"""The items that a process ranks: it follows what any process has changed, and has the policy offer that."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from contextlib import suppress

from meta.assortment import GONE, Assortment, Change
from meta.policy import Policy
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.errors import StoreUnavailableError
from service.metrics import Metrics
from service.store import attributes, item_store
from service.store.item_store import ItemStore

_LOG = logging.getLogger("quickstudy")


class Stock:
    """Keeps a policy's items as the store has them.

    The next assortment is made in a thread and put in place between two batches, so that no request waits for it or
    sees half of it. While the store is away the items stay as they were.

    Args:
        policy: offers the items.
        store: where changes are.
        refresh_s: seconds between two looks.
    """

    def __init__(self, policy: Policy, store: ItemStore, metrics: Metrics, *, refresh_s: float = 0.25) -> None:
        self._policy = policy
        self._store = store
        self._metrics = metrics
        self._refresh = refresh_s
        self._changes: dict[str, Change] = {}
        self._seen = 0
        self._read_at = -math.inf
        self._reading = asyncio.Lock()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        metrics.follow(metrics.items, lambda: policy.items.on_offer)
        metrics.follow(metrics.items_age, lambda: time.monotonic() - self._read_at)

    async def start(self) -> None:
        """Reads all that stands, and follows from then on. Raises StoreUnavailableError."""
        await self.renew()
        self._task = asyncio.create_task(self._run(), name="stock")

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
                    found |= dict.fromkeys((name for name in map(str.encode, self._changes) if name not in found), b"")
                else:
                    found = await self._store.items(changed)
                changes, items = await asyncio.to_thread(self._after, found)
                self._policy.offer(items)
                self._changes, self._seen = changes, now
                self._metrics.items_changed.inc(len(found))
            self._read_at = time.monotonic()

    async def close(self) -> None:
        """Ends after the look under way."""
        self._closing.set()
        if self._task is not None:
            await self._task

    def deletion(self, item_id: str) -> bytes:
        """What is stored of an item that is taken out: nothing, unless the policy would bring it back."""
        return item_store.GONE if self._policy.catalogue.rows([item_id])[0] >= 0 else item_store.NOTHING

    def unknown_names(self, features: pb.Attributes) -> set[str]:
        """Names of features that the policy does not use."""
        return attributes.unknown(features, self._policy.catalogue.columns)

    def _after(self, found: Mapping[bytes, bytes]) -> tuple[dict[str, Change], Assortment]:
        """All changes with those that were found, and the items that they make."""
        told = {name.decode(): value for name, value in found.items()}
        told = {name: value for name, value in told.items() if value not in (item_store.GONE, item_store.NOTHING)}
        features = attributes.features(list(told.values()), self._policy.catalogue.columns)
        stamps = attributes.marks(list(told.values())).tolist()
        changes = self._changes | dict.fromkeys(map(bytes.decode, found), Change(None))
        for name, row, stamp in zip(told, features, stamps, strict=True):
            changes[name] = Change(row, max(stamp, GONE + 1))
        return changes, self._policy.assortment(changes)

    async def _run(self) -> None:
        failing = False
        while not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._refresh)
                return
            try:
                await self.renew()
                failing = False
            except StoreUnavailableError as error:
                if not failing:
                    _LOG.warning("%s; the items stay as they are", error)
                failing = True
            except Exception:
                _LOG.exception("the items could not be renewed and are tried again")
