"""Streams of requests: many calls in one, answered in order, a bounded number of them under way."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from service.access.gate import Context, Gate
from service.errors import (
    RETRY_S,
    DrainingError,
    InvalidFieldError,
    LimitedError,
    MalformedError,
    OverloadedError,
    ServiceError,
)
from service.interceptors import Around, Handler, guarded, parsed
from service.metrics import Metrics

IN_FLIGHT = 32
"""Requests of one stream that are worked on at once; no more are read meanwhile."""

HEARD_S = 1.0
"""Longest time for which the rest of a stream that has failed is read, seconds."""


class Streams:
    """The streams under way, to be ended when the server stops."""

    def __init__(self) -> None:
        self._readers: set[asyncio.Task[None]] = set()
        self.draining = False

    def drain(self) -> None:
        """Has all streams read no further: they answer what they have read, and end."""
        self.draining = True
        for reader in self._readers:
            reader.cancel()

    def reads(self, reader: asyncio.Task[None]) -> None:
        """Takes in the reader of a stream, until it is done."""
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        if self.draining:
            reader.cancel()


Answers = asyncio.Queue["asyncio.Task[bytes] | None"]
"""The answers of a stream in the order of its requests; None: there are no more."""


def stream_handler(
    name: str,
    handler: Handler,
    parse: Callable[[bytes], Any],
    metrics: Metrics,
    gate: Gate | None,
    streams: Streams,
    around: Around | None = None,
) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler of a stream whose every request is a call of `handler`; all else as in `interceptors`."""

    def answer(requests: Any, context: Context, tenant: str) -> Awaitable[None]:
        return _Stream(handler, parse, context, tenant, gate, name).run(streams)

    call = guarded(name, answer, metrics, gate, around)
    return grpc.stream_stream_rpc_method_handler(call, request_deserializer=None, response_serializer=None)


class _Stream:
    """One stream: a reader that begins answers, and a writer that gives them in order."""

    def __init__(
        self,
        handler: Handler,
        parse: Callable[[bytes], Any],
        context: Context,
        tenant: str,
        gate: Gate | None,
        name: str,
    ) -> None:
        self._handler, self._parse, self._name = handler, parse, name
        self._context, self._tenant, self._gate = context, tenant, gate
        self._answers: Answers = asyncio.Queue()
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._whole = self._failed = False

    async def run(self, streams: Streams) -> None:
        """Answers the stream; raises what ends it early, after the answers of all requests before."""
        # A context of its own: stages of each request would flood the trace of a bulk caller.
        reader = asyncio.create_task(self._read(), context=contextvars.Context())
        streams.reads(reader)
        at = 0
        try:
            while (answer := await self._answers.get()) is not None:
                try:
                    await self._context.write(await answer)
                except ServiceError as error:
                    await self._hear_out(reader)
                    raise _at(at, error) from error
                self._room.release()
                at += 1
            if streams.draining and not self._whole:
                raise DrainingError(f"the server is stopping: {at} requests were answered, send the others again")
            await reader
        finally:
            reader.cancel()
            while not self._answers.empty():
                if (answer := self._answers.get_nowait()) is not None and not answer.cancel():
                    answer.exception()  # is nobody's surprise

    async def _hear_out(self, reader: asyncio.Task[None]) -> None:
        """Reads what else was sent, for a moment: a client of grpc.aio whose write meets the end learns no reason."""
        self._failed = True
        self._room.release()
        await asyncio.wait({reader}, timeout=HEARD_S)

    async def _read(self) -> None:
        """Begins an answer for each request that comes."""
        try:
            for at in itertools.count():
                await self._room.acquire()
                raw = await self._context.read()
                if raw is grpc.aio.EOF:  # type: ignore[attr-defined] # the stubs lack it
                    self._whole = True
                    return
                if self._failed:
                    self._room.release()
                    continue
                self._answers.put_nowait(asyncio.create_task(self._answer(raw, at)))
        finally:
            self._answers.put_nowait(None)

    async def _answer(self, raw: bytes, at: int) -> bytes:
        """Answers a request as soon as the caller's rate and the load allow it."""
        request = parsed(raw, self._parse, self._name)
        counted = at == 0  # by the admission of the stream
        while True:
            try:
                if self._gate is not None and not counted:
                    self._gate.again(self._context)
                    counted = True
                return await self._handler(request, self._context, self._tenant)
            except (LimitedError, OverloadedError) as error:
                await asyncio.sleep(error.retry_s or RETRY_S)


def _at(at: int, error: ServiceError) -> ServiceError:
    """The error of request `at` of a stream, which names it."""
    if isinstance(error, InvalidFieldError):
        return InvalidFieldError(f"requests[{at}].{error.field}", str(error).removeprefix(f"{error.field} "))
    if isinstance(error, MalformedError):
        return MalformedError(f"requests[{at}]: {error}")
    return error
