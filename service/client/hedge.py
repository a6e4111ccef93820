"""A second attempt for a call that is slower than most: the first answer wins, the other attempt is cancelled."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from service.client.call_error import CallError

T = TypeVar("T")

LEAST = 20
"""Answers before it is known what slow means."""


class Hedge:
    """Hedged requests (Dean and Barroso, The Tail at Scale, 2013): deferred to the 95th percentile of the last answers.

    Own code, since the C core under grpcio knows no hedgingPolicy (gRFC A6: implemented "except hedging").

    Args:
        share: most second attempts for each call; when all calls get slow, hedging them all would make it worse.
    """

    def __init__(self, share: float = 0.05) -> None:
        self._share = share
        self._budget = 1.0
        self._seconds: deque[float] = deque(maxlen=200)

    def delay(self) -> float | None:
        """Seconds after which a second attempt is due; None before that is known."""
        if len(self._seconds) < LEAST:
            return None
        return sorted(self._seconds)[int(0.95 * len(self._seconds))]

    async def first(self, one: Callable[[], Awaitable[T]], other: Callable[[], Awaitable[T]]) -> T:
        """The answer of whichever attempt answers first.

        Raises:
            CallError: no attempt was answered; what the first one said.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        self._budget = min(10.0, self._budget + self._share)
        attempts = [asyncio.ensure_future(one())]
        try:
            await asyncio.wait(attempts, timeout=self.delay())
            if not attempts[0].done() and self._budget >= 1:
                self._budget -= 1
                attempts.append(asyncio.ensure_future(other()))
            answer = await _first(attempts)
        finally:
            for attempt in attempts:
                attempt.cancel()
            # so that the loser is gone when the answer is there, and its error is nobody's surprise
            await asyncio.gather(*attempts, return_exceptions=True)
        self._seconds.append(clock() - began)
        return answer


async def _first(attempts: Sequence[asyncio.Future[T]]) -> T:
    pending = set(attempts)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for attempt in done:
            if not isinstance(attempt.exception(), CallError):
                return attempt.result()
    return attempts[0].result()
