"""The shadow: it works while nobody waits, in turn, and drops what it has no time for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from protos.quickstudy.v1 import decision_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.batching import Job
from service.decisions import Logged
from service.metrics import Metrics
from service.policies import shadow as module
from service.policies.shadow import WAITING, Shadow
from service.ranker import Query, RecommendJob
from service.store import Kept


class Ranks:
    """Answers with the seed of the query; seed 13 breaks it."""

    def beside(self, query: Query, kept: Kept, now_ms: int) -> bytes:
        """A reply."""
        if query.seed == 13:
            raise ArithmeticError("broken")
        return pb.RecommendResponse(seed=query.seed).SerializeToString()


class Log:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.seeds: list[int] = []

    def put(self, copies: Sequence[Any], logged: Iterable[Logged]) -> None:
        """Takes decisions."""
        self.seeds += [decision_pb2.Decision.FromString(value).shadow.seed for _, value in logged]


def jobs(*seeds: int) -> list[RecommendJob]:
    """Requests that have been answered."""
    made = []
    for seed in seeds:
        query = Query.of(pb.RecommendRequest(user_id="u", seed=seed), "d", "")
        made.append(Job(query, asyncio.get_running_loop().create_future(), 1, math.inf, 0.0))
        made[-1].reply.set_result(b"")
    return made


def counted(metrics: Metrics, result: str) -> float:
    """Requests for the shadow that ended so."""
    return metrics.registry.get_sample_value("quickstudy_shadow_total", {"result": result}) or 0.0


async def test_it_ranks_what_was_answered_once_nobody_waits() -> None:
    """In the order of the requests; what failed, was refused or given up is not ranked again."""
    log, metrics, idle = Log(), Metrics(), asyncio.Event()
    shadow = Shadow(idle.is_set, log, metrics)  # type: ignore[arg-type] # fakes
    shadow.start()
    some = jobs(1, 2, 13, 3)
    refused, gone = jobs(4, 5)
    refused.reply = asyncio.get_running_loop().create_future()
    refused.reply.set_exception(ValueError())
    gone.reply = asyncio.get_running_loop().create_future()
    gone.reply.cancel()
    shadow.put(Ranks(), [*some, refused, gone], Kept.nothing(6))  # type: ignore[arg-type] # a fake
    await asyncio.sleep(0.05)
    assert ([], True) == (log.seeds, shadow.lag() >= 0.05)
    idle.set()
    async with asyncio.timeout(5):
        while shadow.lag():
            await asyncio.sleep(0.001)
    assert [1, 2, 3] == log.seeds
    assert (3.0, 1.0, 0.0) == tuple(counted(metrics, x) for x in ("ranked", "failed", "dropped"))
    await shadow.close()


async def test_a_busy_process_drops_what_it_cannot_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while too many wait, and what has waited too long; both are counted."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    log, metrics = Log(), Metrics()
    shadow = Shadow(lambda: False, log, metrics)  # type: ignore[arg-type] # a fake
    shadow.put(Ranks(), jobs(*[1] * (WAITING + 5)), Kept.nothing(WAITING + 5))  # type: ignore[arg-type] # a fake
    assert counted(metrics, "dropped") == 5
    shadow.start()
    async with asyncio.timeout(5):
        while shadow.lag():
            await asyncio.sleep(0.01)
    assert ([], WAITING + 5.0) == (log.seeds, counted(metrics, "dropped"))
    await shadow.close()
