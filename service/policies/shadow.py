"""The shadow: a version that nobody sees ranks again what was answered, whenever the process has nothing else to do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from protos.quickstudy.v1 import decision_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.decisions import Logged
from service.metrics import Metrics
from service.ranker import Query, Ranker, RecommendJob
from service.store import Kept
from service.writer import Writer

WAITING = 256
"""Requests that may wait; the rest is dropped."""
PATIENCE_S = 2.0
"""Seconds after which a request that waits is dropped: its user has moved on."""
LOOK_S = 0.002
"""How often a busy process is asked again whether it has nothing to do, seconds."""
_LOG = logging.getLogger("quickstudy")


class _Asked(NamedTuple):
    """A request that was answered, and what was known of its user."""

    ranker: Ranker
    query: Query
    kept: Kept
    time_ms: int
    since: float


class Shadow:
    """One task that ranks one request at a time while no caller waits, so that an answer waits for one at most.

    Args:
        idle: whether no caller waits.
        writer: logs the slates.
    """

    def __init__(self, idle: Callable[[], bool], writer: Writer, metrics: Metrics) -> None:
        self._idle = idle
        self._writer = writer
        self._waiting: deque[_Asked] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._done = {result: metrics.shadow.labels(result) for result in ("ranked", "dropped", "failed")}
        metrics.follow(metrics.shadow_lag, self.lag)

    def start(self) -> None:
        """Starts the task on the running loop."""
        self._task = asyncio.create_task(self._run(), name="shadow")

    def put(self, ranker: Ranker, jobs: list[RecommendJob], kept: Kept) -> None:
        """Has a ranker rank again what was answered. Returns at once."""
        now_ms, since = time.time_ns() // 1_000_000, time.monotonic()
        for i, job in enumerate(jobs):
            if job.reply.cancelled() or not job.reply.done() or job.reply.exception() is not None:
                continue
            if len(self._waiting) < WAITING:
                self._waiting.append(_Asked(ranker, job.request, kept.of([i]), now_ms, since))
            else:
                self._done["dropped"].inc()
        self._wake.set()

    def lag(self) -> float:
        """Seconds that the oldest request has waited; 0 where none does."""
        return time.monotonic() - self._waiting[0].since if self._waiting else 0.0

    async def close(self) -> None:
        """Ends the task; what waits is dropped."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._closing:
            await self._wake.wait()
            if not self._waiting:
                self._wake.clear()
            elif self.lag() > PATIENCE_S:
                self._waiting.popleft()
                self._done["dropped"].inc()
            elif self._idle():
                self._rank(self._waiting.popleft())
                await asyncio.sleep(0)  # who has come meanwhile comes first
            else:
                await asyncio.sleep(LOOK_S)

    def _rank(self, asked: _Asked) -> None:
        try:
            shown = asked.ranker.beside(asked.query, asked.kept, asked.time_ms)
            entry = decision_pb2.Decision(time_ms=asked.time_ms, shadow=pb.RecommendResponse.FromString(shown))
            self._writer.put([], [Logged(asked.query.tenant, entry.SerializeToString())])
            self._done["ranked"].inc()
        except Exception:
            self._done["failed"].inc()
            _LOG.exception("the shadow could not rank a request")
