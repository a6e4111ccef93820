"""Twice as many calls as a service can answer, and what comes through.

Callers must not be what is short: they are the lean ones of `benchmarks.load`, and have a core of their own. Nor must
gRPC be: a call that is refused costs a few tenths of a millisecond before anybody can look at it, so calls ask for the
whole of a large catalogue, which costs ten times as much. The most that can be answered is measured before and after
each stretch of overload, over as many connections.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from benchmarks.load import Call, Load, at_rate, closed
from protos.quickstudy.v1 import recommender_pb2 as pb

DEADLINE_S = 0.5
"""Of every call, seconds."""
ITEMS = 100_000
"""Of the catalogue that is asked for: a call costs some 6 ms of CPU."""
IN_FLIGHT, CONNECTIONS, MOST_S = 16, 8, 4.0
"""Calls under way when the most is measured, connections, and for how many seconds, at most, it is measured."""
_CALLS = [
    Call("/quickstudy.v1.Recommender/Recommend", pb.RecommendRequest(user_id=f"o{n}").SerializeToString())
    for n in range(64)
]
"""They ask for the whole catalogue: cheap to make, dear to answer."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What came in time in a stretch of time, a second and a second of the service's CPU; all else that came is late.

    A crowded machine takes from the first figure, hardly from the second.
    """

    per_s: float
    per_cpu_s: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of overload.

    Args:
        most: slates in time that were possible: the mean of just before and just after.
        asked: calls a second that were made.
        good: slates that came in time.
        late: how many came later than that.
        p99_s: 99th percentile of the time of all of them, seconds.
        codes: how all calls ended.
    """

    most: Rate
    asked: float
    good: Rate
    late: int
    p99_s: float
    codes: dict[str, int]


@contextmanager
def core(at: int) -> Iterator[None]:
    """What this thread does, and the processes that it starts, have one core, the first or the last; if there are two.

    Pinning is Linux's; elsewhere nothing is pinned.
    """
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(mine) < 2:
        yield
        return
    os.sched_setaffinity(0, {mine[at]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def overload(
    target: str, cpu_s: Callable[[], float], *, times: int, seconds: float, rng: np.random.Generator
) -> list[Stretch]:
    """Asks for twice the most, so many times for so many seconds.

    Args:
        target: "host:port" of the service.
        cpu_s: seconds of CPU that the service has used so far.
        times, seconds: stretches of overload, and how long each is.
        rng: draws when calls come.
    """

    def measured(load: Callable[..., Load], seconds: float, **how: Any) -> tuple[Load, Rate]:
        before = cpu_s()
        told = load(
            target,
            cycle(_CALLS),
            seconds=seconds,
            warm_up_s=0.0,
            connections=CONNECTIONS,
            deadline_s=DEADLINE_S,
            **how,
        )
        good = int(np.searchsorted(told.latency_s, DEADLINE_S, "right"))
        return told, Rate(good / seconds, good / (cpu_s() - before))

    def most() -> Rate:
        return measured(closed, min(MOST_S, seconds), in_flight=IN_FLIGHT)[1]

    most()  # wakes up what is lazy
    found, before = [], most()
    for _ in range(times):
        rate = 2 * before.per_s
        told, good = measured(at_rate, seconds, per_s=rate, rng=rng)
        after = most()
        both = Rate((before.per_s + after.per_s) / 2, (before.per_cpu_s + after.per_cpu_s) / 2)
        late = told.latency_s.size - round(good.per_s * seconds)
        found.append(Stretch(both, rate, good, late, told.ms(0.99) / 1e3, dict(told.ends())))
        before = after
    return found
