"""A client that holds back by itself when the service refuses: a refusal costs the service work as well."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

import grpc

from service.client.call_error import CallError

MEMORY_S = 60.0
"""Seconds after which a call weighs 1/e in the counts."""


class Throttle:
    """Adaptive throttling (Beyer et al., Site Reliability Engineering, 2016, ch. 21, client-side throttling).

    A call is refused here with probability max(0, (requests - K accepts) / (requests + 1)). A caller who is over its
    own rate knows from RetryInfo when it may call again, and is refused here until then.

    Args:
        rng: draws who is refused.
        most: K, requests for each one that the service accepts, above 1.
        clock: seconds, never going back.
    """

    def __init__(self, rng: random.Random, most: float = 2.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._rng, self._most, self._clock = rng, most, clock
        self._requests = self._accepts = 0.0
        self._at = clock()
        self._closed_until = -math.inf

    def admit(self, method: str) -> None:
        """Lets a call pass, or not. One that is in flight counts for nothing: nobody knows yet what becomes of it.

        Raises:
            CallError: RESOURCE_EXHAUSTED with reason "THROTTLED"; the service was not asked.
        """
        if (wait := self._closed_until - self._clock()) > 0:
            raise _throttled(method, f"the caller is over its rate for another {wait:.3g} s", wait)
        self._fade()
        requests, accepts = self._requests, self._accepts
        if self._rng.random() < (requests - self._most * accepts) / (requests + 1):
            self._requests += 1
            raise _throttled(method, f"the service accepted {accepts:.0f} of the last {requests:.0f} calls", None)

    def ended(self, error: CallError | None) -> None:
        """A call that was let through has been answered, or has failed."""
        self._fade()
        self._requests += 1
        if error is None or error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED:
            self._accepts += 1
        elif error.reason == "RATE_LIMITED" and error.retry_s is not None:
            self._closed_until = self._clock() + error.retry_s

    def _fade(self) -> None:
        now = self._clock()
        kept = math.exp((self._at - now) / MEMORY_S)
        self._at, self._requests, self._accepts = now, self._requests * kept, self._accepts * kept


def _throttled(method: str, why: str, retry_s: float | None) -> CallError:
    text = f"held back by the client: {why}"
    return CallError(method, grpc.StatusCode.RESOURCE_EXHAUSTED, text, reason="THROTTLED", retry_s=retry_s)
