"""Events on their way: sent in batches from the background, each one delivered or handed back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from uuid import uuid4

import grpc

from meta.errors import InputError
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client.call_error import CallError
from service.client.client import Client
from service.client.results import EventStatus

PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)
"""Ends of a call after which sending the same events again can help."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Between two attempts to send a batch, doubled each time; longer where RetryInfo says so."""


@dataclass(frozen=True, slots=True)
class Undelivered:
    """An event that the service does not hold, and why."""

    event: pb.Event
    why: str


class UndeliveredError(Exception):
    """Events could not be delivered: here they are, in the order in which they were added.

    Attributes:
        events: what to keep, mend or send again; under the same ids nothing counts twice.
    """

    def __init__(self, events: list[Undelivered]) -> None:
        super().__init__(f"{len(events)} events were not delivered; of the first one: {events[0].why}")
        self.events = events


class Outbox:
    """Gathers events and sends them by one `RecordEvents` at a time, in order. Use as an async context manager.

    Leaving it delivers what is still there. Events have ids, so that a batch whose answer got lost is sent again.

    Args:
        client: sends; stays open longer than the outbox.
        size: events of a full batch, 1 to 1,000; a full one is sent at once.
        wait_s: longest wait of an event for its batch to fill, seconds.
        capacity: events kept here at most, at least `size`; `add` waits for a place.
        patience_s: how long one batch is tried, seconds.
    """

    def __init__(
        self,
        client: Client,
        *,
        size: int = 500,
        wait_s: float = 0.5,
        capacity: int = 10_000,
        patience_s: float = 60.0,
    ) -> None:
        if not 1 <= size <= min(1000, capacity):
            raise InputError(f"size must be in 1..1000 and at most the capacity of {capacity}, got {size}")
        self._client = client
        self._size, self._wait_s, self._capacity, self._patience_s = size, wait_s, capacity, patience_s
        self._waiting: list[pb.Event] = []
        self._lost: list[Undelivered] = []
        self._sent = 0
        self._wanted = 0  # until so many are sent, none waits for its batch to fill
        self._closing = False
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        try:
            await self._tell()
            await self._task
        except asyncio.CancelledError:  # who cannot wait is told what was still there
            self._task.cancel()
            self._lost += [Undelivered(event, "closing was cancelled") for event in self._waiting]
            self._hand_back()
            raise
        self._hand_back()

    async def add(self, event: pb.Event) -> str:
        """Takes an event, which gets an id where it has none; returns the id.

        Raises:
            UndeliveredError: the outbox is full of events that could not be delivered. They are handed back, and this
                one was not taken.
            InputError: the outbox is closed.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._closing or self._lost_fill_it() or self._room())
            if self._closing:
                raise InputError("the outbox is closed and takes no event; open another one")
            if not self._room():
                self._hand_back()
            kept = pb.Event()
            kept.CopyFrom(event)  # the caller may go on with its own
            kept.event_id = event.event_id or uuid4().hex
            self._waiting.append(kept)
            self._changed.notify_all()
        return kept.event_id

    async def flush(self) -> None:
        """Sends all that was added so far and waits for it.

        Raises:
            UndeliveredError: with all events that could not be delivered since the last such error.
        """
        until = self._sent + len(self._waiting)
        self._wanted = max(self._wanted, until)
        await self._tell()
        async with self._changed:
            await self._changed.wait_for(lambda: self._sent >= until)
        self._hand_back()

    def _room(self) -> bool:
        return len(self._waiting) + len(self._lost) < self._capacity

    def _lost_fill_it(self) -> bool:
        return len(self._lost) >= self._capacity

    def _due(self) -> bool:
        return len(self._waiting) >= self._size or self._wanted > self._sent or self._closing or not self._room()

    def _hand_back(self) -> None:
        if self._lost:
            lost, self._lost = self._lost, []
            raise UndeliveredError(lost)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _run(self) -> None:
        while True:
            await self._until(lambda: bool(self._waiting) or self._closing, None)
            if not self._waiting:
                return
            await self._until(self._due, self._wait_s)
            batch = self._waiting[: self._size]
            lost = await self._deliver(batch)
            del self._waiting[: len(batch)]
            self._lost += lost
            self._sent += len(batch)
            await self._tell()

    async def _until(self, condition: Callable[[], bool], at_most_s: float | None) -> None:
        try:
            async with asyncio.timeout(at_most_s), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return

    async def _deliver(self, batch: list[pb.Event]) -> list[Undelivered]:
        """Sends a batch; returns what the service does not hold."""
        try:
            told = zip(batch, await self._send(batch), strict=True)
            return [Undelivered(event, _fault(status)) for event, status in told if not status.kept]
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():
                raise
            return [Undelivered(event, "the client was closed") for event in batch]  # gRPC cancels what is in flight
        except Exception as error:  # whatever it is, the events are handed back
            return [Undelivered(event, str(error) or type(error).__name__) for event in batch]

    async def _send(self, batch: list[pb.Event]) -> list[EventStatus]:
        """Sends a batch until it is answered, or raises the error that does not pass, or outlasts patience."""
        clock = asyncio.get_running_loop().time
        give_up, pause = clock() + self._patience_s, FIRST_PAUSE_S
        while True:
            try:
                return await self._client.record(batch)
            except CallError as error:
                wait = max(pause, error.retry_s or 0.0)
                if error.code() not in PASSING or clock() + wait > give_up:
                    raise
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_S)


def _fault(status: EventStatus) -> str:
    """Why the service does not hold an event."""
    return f"it was {status.result.name}: {status.reason}" if status.reason else f"it was {status.result.name}"
