"""A circuit breaker towards the store: while it does not answer, nobody but a probe waits for it."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from time import perf_counter

from service.errors import StoreUnavailableError

PAUSE_S = 0.1
"""Seconds between two probes."""
_LOG = logging.getLogger("quickstudy")


class Breaker:
    """Opens when a call gets no answer and no other call got one meanwhile; closes when a probe is answered.

    One silent call among others that are answered is the call's own misfortune. A silent call without such company
    is reason enough, because a wrong guess costs no more than the time of one probe.

    Args:
        kind: which calls, for the log.
        probe: asks the store for a sign of life; raises StoreUnavailableError without one.
        opened: called whenever it opens.
    """

    def __init__(self, kind: str, probe: Callable[[], Awaitable[None]], opened: Callable[[], None]) -> None:
        self._kind = kind
        self._probe = probe
        self._tell = opened
        self._answered = -math.inf
        self._opened = math.inf
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """True while calls should not be made."""
        return self._opened < math.inf

    def open_for(self) -> float:
        """Seconds since it opened; 0 while it is closed."""
        return max(0.0, perf_counter() - self._opened)

    def succeeded(self) -> None:
        """A call was answered, be it with an error."""
        self._answered = perf_counter()

    def failed(self, started: float) -> None:
        """A call that `started` then, on the clock of `perf_counter`, was not answered."""
        if self.open or self._answered > started or self._closing.is_set():
            return
        self._opened = perf_counter()
        self._tell()
        self._task = asyncio.create_task(self._heal(), name="breaker")

    async def close(self) -> None:
        """Ends the probes."""
        self._closing.set()
        if self._task is not None:
            await self._task

    async def _heal(self) -> None:
        """Probes at once and then every `PAUSE_S` seconds until the store is back."""
        _LOG.warning("the store does not answer: no %s until it does", self._kind)
        while not self._closing.is_set():
            try:
                await self._probe()
            except StoreUnavailableError:
                try:
                    await asyncio.wait_for(self._closing.wait(), PAUSE_S)
                except TimeoutError:
                    continue
                return
            _LOG.warning("the store answers again: %s after %.1f s", self._kind, self.open_for())
            self._opened = math.inf
            self.succeeded()
            return
