"""Something that is done again and again behind the calls, for as long as the server lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from service.errors import StoreUnavailableError

_LOG = logging.getLogger("quickstudy")


class Rounds:
    """Does rounds until it is closed. A round that fails is told, a store that is away once, and the next one is done.

    Args:
        do: one round.
        name: of the task.
        every_s: seconds between two rounds, at least.
        without: what the log says of rounds without the store.
    """

    def __init__(self, do: Callable[[], Awaitable[None]], name: str, every_s: float, without: str) -> None:
        self._do = do
        self._name = name
        self._every = every_s
        self._without = without
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts the task on the running loop, with a round at once."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def close(self) -> None:
        """Ends after the round under way."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def pause(self, seconds: float) -> None:
        """Lets others work, unless it is being closed: then a round has to come to its end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def _run(self) -> None:
        away = False
        while not self._closing.is_set():
            try:
                await self._do()
                away = False
            except StoreUnavailableError as error:
                if not away:
                    _LOG.warning("%s; %s", error, self._without)
                away = True
            except Exception:
                _LOG.exception("a round of %s failed and is done again", self._name)
            await self.pause(self._every)
