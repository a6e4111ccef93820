"""Keeps the embedded store running: one that ends while the service lives is started again on its own files."""

from __future__ import annotations

import asyncio
import logging

from service.errors import StartupError
from service.store.embedded import EmbeddedStore

LOOK_S, AGAIN_S = 0.1, 1.0
"""Seconds between two looks, and after a start that failed."""
_LOG = logging.getLogger("quickstudy")


class Keeper:
    """Looks after a store from `start` to `close`. Meanwhile the breaker keeps calls from waiting for it."""

    def __init__(self, store: EmbeddedStore) -> None:
        self._store = store
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.create_task(self._keep(), name="keeper")

    async def close(self) -> None:
        """Ends looking; the store runs on."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _keep(self) -> None:
        pause = LOOK_S
        while True:
            try:
                await asyncio.wait_for(self._closing.wait(), pause)
            except TimeoutError:
                pause = await self._look()
            else:
                return

    async def _look(self) -> float:
        """Starts the store where it has ended; returns when to look again, seconds."""
        if self._store.runs():
            return LOOK_S
        _LOG.error("the embedded store has ended by itself: starting it again")
        try:
            await asyncio.to_thread(self._store.revive)
        except StartupError as error:
            _LOG.error("%s", error)
            return AGAIN_S
        return LOOK_S
