"""A rate limit for each caller: a token bucket, kept as one number."""

from __future__ import annotations

import time
from collections.abc import Callable

from service.errors import LimitedError

MOST_CALLERS = 10_000
"""Callers remembered before those whose bucket has filled up again are forgotten, at no loss."""


class Limits:
    """The generic cell rate algorithm (ITU-T I.371, 1996): a token bucket told by the time at which it will be full.

    A limit is of one process: `N` workers let a caller with many connections through `N` times.

    Args:
        rate_per_s: calls a second that a caller may go on making.
        burst: calls at once after a rest, at least 1.
        clock: seconds, never going back.
    """

    def __init__(self, rate_per_s: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._each = 1.0 / rate_per_s
        self._ahead = (burst - 1) / rate_per_s
        self._clock = clock
        self._full: dict[str, float] = {}

    def take(self, caller: str) -> None:
        """Counts one call.

        Raises:
            LimitedError: the caller has no call left; it says when there is one again.
        """
        now = self._clock()
        full = max(self._full.get(caller, now), now)
        if (wait := full - now - self._ahead) > 1e-9:  # a nanosecond of rounding is not a call too many
            raise LimitedError(f"the caller's rate is above {1 / self._each:g} calls a second", wait)
        if len(self._full) >= MOST_CALLERS and caller not in self._full:
            self._forget(now)
        self._full[caller] = full + self._each

    def _forget(self, now: float) -> None:
        """Drops buckets that are full; where none is, the one that is fullest, so that memory is bounded."""
        self._full = {caller: full for caller, full in self._full.items() if full > now}
        if len(self._full) >= MOST_CALLERS:
            del self._full[min(self._full, key=self._full.__getitem__)]
