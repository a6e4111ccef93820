"""Puts concurrent requests into batches: an idle process runs each at once, a busy one waits a little for company."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, TypeVar

from service.errors import RETRY_S, ExpiredError, OverloadedError
from service.pace import Pace
from service.window import Window

Request = TypeVar("Request")
Reply = TypeVar("Reply")

QUEUED_S = 0.00015
"""A request that shows up this soon after a batch, seconds, was waiting while we computed, and more wait behind it, as
gRPC hands calls over one by one. A lone caller needs longer, because the reply has to travel first."""
TICK_S = 0.0005
"""Shorter waits are none, as the loop's clock ticks in milliseconds."""
LATEST_RETRY_S = 5.0
"""Longest pause that a refused caller is asked for, seconds."""
MAX_WAITING_SHARE = 0.25
"""Share of a caller's remaining time that the queue may take, as it is predicted. Under overload refusals take turns
between the batches, so it takes up to twice as long; the rest is for the way here and back."""
COMPANY_S = 1.0
"""For how long, seconds, so many calls at once as there were are expected to be as many again."""
OVERLOAD_S = 0.25
"""Seconds for which one refusal counts as a sign of more."""
HANDOVER_SHARE = 3.0
"""Longest that handing over may take, in times of the last batch."""
HANDOVER_S = 0.002
"""While calls are being refused: if none is handed over for so long, seconds, gRPC has no more of them waiting."""
MAX_RUNNING = 2
"""Batches under way at once: one computes while the other waits for the store. More would only slow every read down."""
LEAST = 0.5
"""Size of the second of them, in times of the first: a few calls do not go ahead while many more are about to come."""
LOOK_S = 0.001
"""When it is looked again, seconds, whether the first has begun to answer: then a few calls may go."""


@dataclass(slots=True, eq=False)
class Job(Generic[Request, Reply]):
    """One waiting request.

    Args:
        request: what to compute.
        reply: where the result or the error goes.
        cost: candidates to score.
        deadline: when the caller gives up, on the clock of `perf_counter`.
        arrived: when it came, same clock.
    """

    request: Request
    reply: asyncio.Future[Reply]
    cost: int
    deadline: float
    arrived: float


class Batcher(Generic[Request, Reply]):
    """Collects jobs and hands them over in batches, the earliest deadline first.

    Args:
        run: computes a batch and sets every reply (or error) itself.
        window_s: longest wait for company, seconds.
        max_users: most jobs in a batch.
        max_cost: most candidates in a batch, as padded: jobs times the largest job.
        max_waiting: jobs waiting or running; more are refused.
        max_wait_s: a job that would wait longer, as finished batches tell, is refused at once.
    """

    def __init__(
        self,
        run: Callable[[list[Job[Request, Reply]]], Awaitable[None]],
        *,
        window_s: float = 0.004,
        max_users: int = 64,
        max_cost: int = 65_536,
        max_waiting: int = 2_048,
        max_wait_s: float = 1.0,
    ) -> None:
        self._run = run
        self._window = Window(window_s)
        self._max_users = max_users
        self._max_cost = max_cost
        self._max_waiting = max_waiting
        self._max_wait = max_wait_s
        self._pace = Pace()
        self._ahead = 0
        self._pending: list[Job[Request, Reply]] = []
        self._alarm: asyncio.Handle | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._held = 0
        self._most = self._most_before = 0
        self._most_since = -math.inf
        self._latest: list[Job[Request, Reply]] = []
        self._took = 0.0
        self._refused = -math.inf
        self._came = 0
        self._ended = -math.inf

    @property
    def idle(self) -> bool:
        """Whether nobody waits."""
        return not self._held

    def busy(self) -> float:
        """Share of a core that the loop's thread has used or waited for lately."""
        return self._window.busy(perf_counter())

    async def submit(self, request: Request, cost: int, deadline: float = math.inf) -> Reply:
        """Waits for the reply to one request.

        Raises:
            OverloadedError: too many jobs are waiting, or it would wait too long, or past its deadline.
            ExpiredError: the deadline passed before the job was computed.
        """
        loop = asyncio.get_running_loop()
        now = perf_counter()
        self._came += 1
        if self._held and (refusal := self._refusal(cost, deadline - now)) is not None:
            self._refused = now
            raise refusal
        job: Job[Request, Reply] = Job(request, loop.create_future(), cost, deadline, now)
        self._pending.append(job)
        self._held += 1
        self._ahead += cost
        if self._complete(now):
            self._flush()
        elif self._alarm is None:
            self._gather(now)
        try:
            return await job.reply
        finally:
            self._held -= 1
            self._ahead -= cost

    def wait(self) -> float:
        """Seconds that one more job would wait, as finished batches tell; 0 while nobody is ahead of it."""
        batches = max(math.ceil(self._held / self._max_users), self._ahead / self._max_cost)
        return self._pace.seconds(batches, self._ahead) / MAX_RUNNING if self._held else 0.0

    def _refusal(self, cost: int, left: float) -> OverloadedError | None:
        """Why a job is refused before it waits, where waiting is in vain; one with nobody ahead of it is always tried.

        Args:
            cost: its candidates.
            left: seconds until its caller gives up.
        """
        wait = self.wait()
        retry = min(max(2 * wait, RETRY_S), LATEST_RETRY_S)
        if self._held >= self._max_waiting:
            return OverloadedError(f"{self._held} requests are waiting, the limit is {self._max_waiting}", retry)
        if wait > self._max_wait:
            problem = f"a request would wait {wait:.2f} s, the limit is {self._max_wait:g} s"
            return OverloadedError(problem, retry, "wait too long")
        if wait + self._pace.seconds(1, cost) > (MAX_WAITING_SHARE * left if wait else left):
            problem = f"the reply would take {wait:.3f} s, the caller has {max(0.0, left):.3f} s"
            return OverloadedError(problem, retry, "deadline too near")
        return None

    def _complete(self, now: float) -> bool:
        """Whether there is nobody to wait for: a batch is full, or, unless calls are refused, all are here."""
        all_here = self._all_here(now)
        return len(self._pending) >= self._max_users or (all_here and now - self._refused >= OVERLOAD_S)

    def _gather(self, now: float) -> None:
        """Lets what is waiting wait for company, anew after a batch: gRPC hands over only now what came meanwhile."""
        if self._alarm is not None:
            self._alarm.cancel()
        if now - self._refused < OVERLOAD_S:
            self._take_over(now + max(HANDOVER_SHARE * self._took, HANDOVER_S), -1)
            return
        wait, loop = self._window.wait(now), asyncio.get_running_loop()
        alone = not self._running and now - self._ended > QUEUED_S
        self._alarm = loop.call_soon(self._flush) if alone or wait < TICK_S else loop.call_later(wait, self._flush)

    def _take_over(self, until: float, came: int) -> None:
        """Lets gRPC hand over all calls that it holds before the next batch is cut.

        It hands over one call in a few turns of the loop. Under overload batches would take all the turns, and calls
        would grow old where nobody can see or refuse them, until every one is answered too late.
        """
        if came == self._came or perf_counter() >= until:
            self._flush()
        else:
            self._alarm = asyncio.get_running_loop().call_later(HANDOVER_S, self._take_over, until, self._came)

    def _all_here(self, now: float) -> bool:
        """Whether as many calls are held as at the most lately: then there is nobody to wait for."""
        if now - self._most_since > COMPANY_S:
            self._most_before, self._most, self._most_since = self._most, 0, now
        most = max(self._most, self._most_before)
        self._most = max(self._most, self._held)
        return self._held == most

    def _flush(self) -> None:
        """Cuts what is waiting into batches and starts as many as may run; the rest goes when one of them is done."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        free = MAX_RUNNING - len(self._running)
        if free <= 0:
            return
        if self._running and self._too_few():
            self._alarm = asyncio.get_running_loop().call_later(LOOK_S, self._flush)
            return
        now = perf_counter()
        waiting = []
        for job in sorted(self._pending, key=lambda job: job.deadline):
            if job.reply.done():  # the caller has gone
                continue
            if job.deadline <= now:
                job.reply.set_exception(ExpiredError("the deadline passed while the request was waiting"))
                continue
            waiting.append(job)
        batches = self._cut(waiting)
        self._pending = [job for batch in batches[free:] for job in batch]
        for batch in batches[:free]:
            self._latest = batch
            task = asyncio.ensure_future(self._finish(batch))
            self._running.add(task)
            task.add_done_callback(self._done)

    def _too_few(self) -> bool:
        """Whether what is waiting is no batch of its own yet: one that answers nobody yet is far larger."""
        return len(self._pending) < LEAST * len(self._latest) and not any(job.reply.done() for job in self._latest)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._ended = perf_counter()
        if self._pending and self._complete(self._ended):
            self._flush()
        elif self._pending and not self._running:
            self._gather(self._ended)

    async def _finish(self, batch: list[Job[Request, Reply]]) -> None:
        """Runs a batch; nobody is left waiting, whatever happens."""
        error: Exception = RuntimeError("the batch ended without a reply")
        started = perf_counter()
        try:
            await self._run(batch)
            self._took = perf_counter() - started
            self._pace.finished(len(batch) * max(job.cost for job in batch), self._took)
        except Exception as caught:
            error = caught
        for job in batch:
            if not job.reply.done():
                job.reply.set_exception(error)

    def _cut(self, jobs: list[Job[Request, Reply]]) -> list[list[Job[Request, Reply]]]:
        batches: list[list[Job[Request, Reply]]] = []
        widest = 0
        for job in jobs:
            widest = max(widest, job.cost)
            last = batches[-1] if batches else None
            if last is None or len(last) >= self._max_users or widest * (len(last) + 1) > self._max_cost:
                batches.append([job])
                widest = job.cost
            else:
                last.append(job)
        return batches
