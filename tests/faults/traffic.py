"""Callers who do not stop when something breaks, and what they were told."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import grpc

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.client.results import EventResult

CANDIDATES = [f"i{n}" for n in range(100)]
USERS = [f"u{n}" for n in range(16)]
DEADLINE_S = 5.0
"""Time that a caller gives a recommendation, seconds."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Callers who do not stop to collect garbage: what that takes, up to 60 ms, the service would be blamed for."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@dataclass(slots=True)
class Reply:
    """One answered or failed Recommend: when it was asked for and ended, on the clock of `perf_counter`."""

    asked: float
    ended: float
    source: str
    code: grpc.StatusCode

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.asked


@dataclass(slots=True)
class Traffic:
    """Recommend at a fixed rate, whatever becomes of it, and a stream of events of each user.

    An event is sent until it is acknowledged, then comes the next one.

    Args:
        client: calls the service.
        rate: recommendations a second.
        pause_s: between two events of a user, seconds; no user gets more events than a history holds.
        others: call it in turn with `client`, through connections of their own.
    """

    client: Client
    rate: float = 100.0
    pause_s: float = 0.1
    others: Sequence[Client] = ()
    replies: list[Reply] = field(default_factory=list)
    acknowledged: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[str] = field(default_factory=Counter)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """Starts all callers."""
        self._tasks = [asyncio.create_task(self._record(user)) for user in USERS]
        self._tasks.append(asyncio.create_task(self._recommend()))

    async def stop(self) -> None:
        """Waits until every call has ended."""
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def until(self, condition: Callable[[], bool], at_most_s: float = 30.0) -> float:
        """Waits for a condition; returns how long that took, seconds."""
        started = perf_counter()
        async with asyncio.timeout(at_most_s):
            while not condition():
                await asyncio.sleep(0.002)
        return perf_counter() - started

    def since(self, moment: float, until: float = float("inf")) -> list[Reply]:
        """The replies to what was asked for in a stretch of time."""
        return [reply for reply in self.replies if moment <= reply.asked < until]

    async def _recommend(self) -> None:
        running: set[asyncio.Task[None]] = set()
        started = perf_counter()
        for n in itertools.count():
            await asyncio.sleep(started + n / self.rate - perf_counter())
            if self._over.is_set():
                break
            task = asyncio.create_task(self._one(self._caller(n), USERS[n % len(USERS)]))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)

    def _caller(self, n: int) -> Client:
        return (self.client, *self.others)[n % (1 + len(self.others))]

    async def _one(self, client: Client, user: str) -> None:
        asked = perf_counter()
        source, code = "", grpc.StatusCode.OK
        try:
            reply = await client.recommend(user, CANDIDATES)
            source = pb.Source.Name(reply.adaptation.source).removeprefix("SOURCE_")
        except grpc.aio.AioRpcError as error:
            code = error.code()
        self.replies.append(Reply(asked, perf_counter(), source, code))

    async def _record(self, user: str) -> None:
        for n in range(128):
            while True:
                if self._over.is_set():
                    return
                try:
                    (status,) = await self._caller(n).record(
                        [pb.Event(event_id=f"e{n}", user_id=user, item_id=f"i{n}", reward=1.0)]
                    )
                except grpc.aio.AioRpcError as error:
                    self.refused[error.code().name] += 1
                    await asyncio.sleep(0.05)
                else:
                    assert status.result in (EventResult.ADDED, EventResult.DUPLICATE)
                    self.acknowledged[user].append(f"e{n}")
                    break
            await asyncio.sleep(self.pause_s)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of acknowledged events: how many there were, are gone, and are there twice."""

    acknowledged: int
    lost: int
    twice: int


async def kept(client: Client, acknowledged: dict[str, list[str]]) -> Kept:
    """Counts acknowledged events in the histories: each is there once, and sending it again adds nothing."""
    lost = twice = 0
    for user, names in acknowledged.items():
        hashes = Counter(event.event_hash for event in (await client.get_user(user)).events)
        twice += sum(times - 1 for times in hashes.values())
        again = await client.record([pb.Event(event_id=e, user_id=user, item_id="i1", reward=1.0) for e in names])
        lost += sum(status.result != EventResult.DUPLICATE for status in again)
    return Kept(sum(map(len, acknowledged.values())), lost, twice)


@dataclass(frozen=True, slots=True)
class Outage:
    """How a service got through a fault.

    Args:
        asked: recommendations asked for while it lasted.
        answered: share of them that got a slate.
        p50_s, p99_s: median and 99th percentile of the time of those, seconds.
        p99_before_s: 99th percentile before the fault, seconds: what the machine gives.
        gap_s: longest time between two answers, seconds.
        sources: how many slates of which source.
        back_s: from the end of the fault to the first slate that is ADAPTED, seconds.
        events: what became of the events.
        refused: calls of RecordEvents that failed, by code.
    """

    asked: int
    answered: float
    p50_s: float
    p99_s: float
    p99_before_s: float
    gap_s: float
    sources: dict[str, int]
    back_s: float
    events: Kept
    refused: dict[str, int]


def quantile(replies: list[Reply], share: float) -> float:
    """The time, seconds, within which this share of replies came; 0 where none did."""
    took = sorted(reply.seconds for reply in replies)
    return took[int(share * (len(took) - 1))] if took else 0.0


async def outage(
    client: Client,
    begin: Callable[[], Awaitable[None] | None],
    end: Callable[[], Awaitable[None] | None],
    *,
    seconds: float,
    rate: float = 100.0,
    lead_s: float = 1.0,
) -> Outage:
    """Lets a fault last for so many seconds under traffic.

    Args:
        client: calls the service.
        begin, end: start and end the fault.
        seconds: how long it lasts.
        rate: recommendations a second.
        lead_s: traffic before it, seconds; it goes on until every user has met the service.
    """
    traffic = Traffic(client, rate)
    with undisturbed():
        traffic.start()
        await asyncio.sleep(lead_s)
        await traffic.until(lambda: len(traffic.acknowledged) == len(USERS) and len(traffic.replies) > 2 * len(USERS))
        began = perf_counter()
        if waiting := begin():
            await waiting
        await asyncio.sleep(seconds)
        if waiting := end():
            await waiting
        ended = perf_counter()
        await traffic.until(lambda: any(reply.source == "ADAPTED" for reply in traffic.since(ended)))
        back = min(reply.ended for reply in traffic.since(ended) if reply.source == "ADAPTED") - ended
        before = {user: len(names) for user, names in traffic.acknowledged.items()}
        await traffic.until(lambda: all(len(traffic.acknowledged[user]) > before[user] for user in USERS))
        await traffic.stop()
    during = traffic.since(began, ended)
    good = [reply for reply in during if reply.code == grpc.StatusCode.OK]
    moments = sorted([began, ended, *(reply.ended for reply in good)])
    return Outage(
        asked=len(during),
        answered=len(good) / len(during),
        p50_s=quantile(good, 0.5),
        p99_s=quantile(good, 0.99),
        p99_before_s=quantile(traffic.since(0.0, began), 0.99),
        gap_s=max(b - a for a, b in itertools.pairwise(moments)),
        sources=dict(Counter(reply.source for reply in good)),
        back_s=back,
        events=await kept(client, traffic.acknowledged),
        refused=dict(traffic.refused),
    )
