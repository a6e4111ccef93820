"""The client for code that knows nothing of coroutines: the same calls, run on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator
from threading import Thread
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client.client import Client
from service.client.habits import Habits
from service.client.outbox import Outbox
from service.client.results import Slate

P = ParamSpec("P")
T = TypeVar("T")


class _Blocking:
    """What waits for the coroutines of something that lives on a loop."""

    _inner: Any
    _loop: asyncio.AbstractEventLoop

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine; who is interrupted while waiting cancels it."""
        running = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return running.result()
        finally:
            running.cancel()


def _blocking(method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Any, P], T]:
    """The same method, waited for."""

    def call(self: Any, /, *arguments: P.args, **named: P.kwargs) -> T:
        result: T = self._wait(method(self._inner, *arguments, **named))
        return result

    call.__doc__ = method.__doc__
    return call


class BlockingClient(_Blocking):
    """`service.client.Client` with calls that wait; threads may share it. Use as a context manager.

    Args: those of `service.client.Client`.
    """

    def __init__(
        self,
        target: str,
        timeout_s: float = 5.0,
        *,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        habits: Habits = Habits(),  # noqa: B008 # frozen
        rng: random.Random | None = None,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="quickstudy-client", daemon=True)
        self._thread.start()

        async def connect() -> Client:  # on the loop, whose channel it is
            return Client(target, timeout_s, token=token, credentials=credentials, habits=habits, rng=rng)

        self._inner = self._wait(connect())

    ready = _blocking(Client.ready)
    recommend = _blocking(Client.recommend)
    record = _blocking(Client.record)
    activate = _blocking(Client.activate)
    get_user = _blocking(Client.get_user)
    upsert_users = _blocking(Client.upsert_users)
    upsert_items = _blocking(Client.upsert_items)
    delete_items = _blocking(Client.delete_items)
    delete_user = _blocking(Client.delete_user)

    def recommend_stream(
        self, requests: Iterable[pb.RecommendRequest], timeout_s: float | None = None
    ) -> Iterator[Slate]:
        """As `service.client.Client.recommend_stream`."""
        slates = self._inner.recommend_stream(requests, timeout_s)
        try:
            while True:
                try:
                    yield self._wait(anext(slates))
                except StopAsyncIteration:
                    return
        finally:
            self._wait(slates.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all calls and the thread."""
        if self._loop.is_closed():
            return
        self._wait(self._inner.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class BlockingOutbox(_Blocking):
    """`service.client.outbox.Outbox` with calls that wait. Use as a context manager.

    Args: those of `service.client.outbox.Outbox`, with a blocking client.
    """

    def __init__(
        self,
        client: BlockingClient,
        *,
        size: int = 500,
        wait_s: float = 0.5,
        capacity: int = 10_000,
        patience_s: float = 60.0,
    ) -> None:
        self._loop = client._loop
        self._inner = Outbox(client._inner, size=size, wait_s=wait_s, capacity=capacity, patience_s=patience_s)

    add = _blocking(Outbox.add)
    flush = _blocking(Outbox.flush)

    def __enter__(self) -> Self:
        self._wait(self._inner.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wait(self._inner.__aexit__(kind, error, trace))
