"""How a client behaves when a call is slow or fails."""

from __future__ import annotations

import json
from dataclasses import dataclass

from meta.errors import InputError

SERVICE = "quickstudy.v1.Recommender"


@dataclass(frozen=True, slots=True)
class Habits:
    """What a client does beside calling.

    Args:
        attempts: most attempts of a call that the server ends with UNAVAILABLE or CANCELLED, 1 to 5, by gRPC's own
            retries and within the deadline of the call. Every call of the contract may be repeated: an event is known
            by its id, a slate that nobody got is not shown, and erasing, replacing or activating twice leaves what
            once leaves.
        hedge: whether a slow `Recommend` is asked for a second time: see `hedge.py`. It helps where the second
            connection meets another worker or replica. It costs at most 5% more calls, and a name for each decision,
            so that both attempts are one: the service keeps named decisions for a while.
        throttle: whether the client holds back when the service sheds load: see `throttle.py`.
    """

    attempts: int = 3
    hedge: bool = False
    throttle: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 5:
            raise InputError(f"attempts must be in 1..5, which is as far as gRPC goes, got {self.attempts}")

    def options(self) -> list[tuple[str, object]]:
        """Arguments of a channel: a retry policy as gRFC A6 has it, or none at all.

        After many failures gRPC itself stops repeating (`retryThrottling`: a token each, a tenth back for a success).
        All clients of a process share the tokens; half of them have to do for all calls to a worker that dies.
        """
        if self.attempts < 2:
            return [("grpc.enable_retries", 0)]
        policy = {
            "maxAttempts": self.attempts,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            # A server that ends says CANCELLED to calls that it has not looked at yet (grpc/grpc issue 41785).
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        }
        config = {
            "methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": policy}],
            "retryThrottling": {"maxTokens": 1_000, "tokenRatio": 0.1},
        }
        return [("grpc.service_config", json.dumps(config))]


PLAIN = Habits(attempts=1, throttle=False)
"""One attempt a call and no more: for who judges a service."""
