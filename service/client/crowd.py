"""A crowd of new users who call a running service, from code that knows nothing of coroutines."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from meta.errors import InputError
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client.client import Client
from service.client.results import EventResult

T = TypeVar("T")

CONNECT_S = 10.0
"""Seconds that a service gets to be there."""


class Crowd:
    """Users with names of their own, whose calls are all in flight at once. Use as a context manager.

    Whoever leaves is erased from the service, which keeps nothing of a crowd but its decision log.

    Args:
        target: "host:port".
        name: before the names of all users; the service must not have heard of it.
        in_flight: most calls at once; a service refuses more than it has places.
        timeout_s: deadline of each call, seconds.
        token: what the service knows the crowd by, with the scopes read and write; None: it asks for none.
        credentials: of a TLS channel; None: a channel in the clear.
    """

    def __init__(
        self,
        target: str,
        name: str,
        *,
        in_flight: int = 256,
        timeout_s: float = 30.0,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._target, self._name = target, name
        self._in_flight = in_flight
        self._client_of = partial(Client, target, timeout_s, token=token, credentials=credentials)
        self._users: list[str] = []
        self._visits = count()
        self.calls = 0
        """`Recommend` calls that were answered."""
        self.events = 0
        """Events that were added."""
        self.reasons: Counter[str] = Counter()
        """Why slates were not ranked by a copy of the user's own; "" where they were."""

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            InputError: nothing answers.
        """
        self._loop = asyncio.Runner(loop_factory=_loop_factory())
        try:
            self._client = self._loop.run(self._connect())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._leave()
        finally:
            self._loop.run(self._client.__aexit__(None, None, None))
            self._loop.close()

    def welcome(self, users: int) -> None:
        """From now on calls are for so many new users; those before them are erased."""
        self._leave()
        visit = next(self._visits)
        self._users = [f"{self._name}-{visit}-{user}" for user in range(users)]
        self._now_ms, self._step = 0, 0

    def recommend(self, offers: Sequence[Sequence[str]], size: int, seeds: Sequence[int]) -> list[list[str]]:
        """One `Recommend` a user: item ids, first shown first.

        Args:
            offers: each user's candidates, item ids.
            size: of the slate.
            seeds: of each user's draw.

        Raises:
            InputError: the service does not know an item, or a call failed.
        """
        asked = zip(self._users, offers, seeds, strict=True)
        replies = self._all(
            lambda user, offer, seed: self._client.recommend(user, offer, slate_size=size, seed=seed), asked
        )
        unknown = [item for reply in replies for item in reply.unknown_ids]
        if unknown:
            raise InputError(f"the policy served at {self._target} must know the items on offer, not so {unknown[0]!r}")
        self._decisions = [reply.decision_id for reply in replies]
        self.calls += len(replies)
        self.reasons.update(reply.adaptation.reason for reply in replies)
        return [[item.item_id for item in reply.items] for reply in replies]

    def record(self, slates: Sequence[Sequence[str]], rewards: Sequence[Sequence[float]]) -> None:
        """One `RecordEvents` a user with the whole slate last asked for and what each item earned.

        Raises:
            InputError: an event was not added, or a call failed.
        """
        self._now_ms = max(self._now_ms + 1, time.time_ns() // 1_000_000)
        told = zip(self._users, self._decisions, slates, rewards, strict=True)
        for statuses in self._all(lambda *what: self._client.record(self._events(*what)), told):
            for status in statuses:
                if status.result != EventResult.ADDED:
                    raise InputError(f"the service at {self._target} must add every event, got: {status}")
            self.events += len(statuses)
        self._step += 1

    def _events(self, user: str, decision: str, slate: Sequence[str], earned: Sequence[float]) -> list[pb.Event]:
        """A step's events, now, and after those of the step before whatever the clock says."""
        events = [
            pb.Event(
                event_id=f"{self._step}-{k}", user_id=user, item_id=item, reward=reward, decision_id=decision,
                position=k + 1,
            )
            for k, (item, reward) in enumerate(zip(slate, earned, strict=True))
        ]  # fmt: skip
        for event in events:
            event.time.FromMilliseconds(self._now_ms)
        return events

    def _leave(self) -> None:
        self._all(self._client.delete_user, ((user,) for user in self._users))
        self._users = []

    def _all(self, call: Callable[..., Coroutine[Any, Any, T]], arguments: Iterable[tuple[Any, ...]]) -> list[T]:
        """Results of a call for each of these arguments, many in flight."""
        try:
            return self._loop.run(_bounded(call, arguments, self._in_flight))
        except grpc.aio.AioRpcError as error:
            raise InputError(
                f"the service at {self._target} must answer, got {error.code().name}: {error.details()}"
            ) from error

    async def _connect(self) -> Client:
        client = self._client_of()
        try:
            await asyncio.wait_for(client.ready(), CONNECT_S)
        except TimeoutError as error:
            await client.__aexit__(None, None, None)
            raise InputError(
                f"no service answers at {self._target} within {CONNECT_S:g} s; start one with `quickstudy serve`"
            ) from error
        return client


async def _bounded(
    call: Callable[..., Coroutine[Any, Any, T]], arguments: Iterable[tuple[Any, ...]], in_flight: int
) -> list[T]:
    """Results in the order of the arguments, at most `in_flight` calls at once."""
    gate = asyncio.Semaphore(in_flight)

    async def one(these: tuple[Any, ...]) -> T:
        async with gate:
            return await call(*these)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(these)) for these in arguments]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed  # the others were cancelled or say the same
    return [task.result() for task in tasks]


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster loop where there is one, as in the server."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
