"""One connection to the store that everybody's commands share: they leave as they come, answers come in their order.

redis-py opens it, with its TLS, its credentials and its database; from then on commands are packed and replies parsed
by hiredis alone. What redis-py does around every command (a pool, retries, health, telemetry, two streams) costs the
event loop several times what the command does, and a read is on the way of every reply.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any, NamedTuple

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import BusyLoadingError, InvalidResponse, NoScriptError, ResponseError
from redis.exceptions import ConnectionError as LostError

SILENT_S = 0.5
"""Seconds without an answer after which the next command takes a new connection: this one may lead nowhere."""
_MORE: Any = object()
_ERRORS = {"NOSCRIPT": NoScriptError, "LOADING": BusyLoadingError}
Command = Sequence[str | bytes | int | float]


class Line:
    """Sends commands and returns their replies. Cancelling a command leaves the others as they are.

    Args:
        pool: makes the connection; nothing else of it is used.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._opening = asyncio.Lock()
        self._wire: _Wire | None = None

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands that are sent together. A connection that breaks meanwhile is renewed, once.

        Raises:
            RedisError: the store refuses a command, or cannot be reached.
            OSError: it cannot be reached.
        """
        packed = b"".join([hiredis.pack_command(tuple(command)) for command in commands])  # type: ignore[arg-type] # typed as a 1-tuple
        try:
            return await self._ask(packed, len(commands))
        except BusyLoadingError:
            raise
        except LostError:
            return await self._ask(packed, len(commands))

    def close(self) -> None:
        """Closes the connection; who still waits is told."""
        if self._wire is not None:
            self._wire.cut()

    async def _ask(self, packed: bytes, n: int) -> list[Any]:
        wire = self._wire
        if wire is not None and wire.silent_s > SILENT_S:
            wire.cut()
        if wire is None or wire.broken:
            wire = await self._open()
        replies = [await reply for reply in wire.send(packed, n)]
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def _open(self) -> _Wire:
        async with self._opening:
            if self._wire is None or self._wire.broken:
                connection = self._pool.make_connection()  # type: ignore[no-untyped-call] # redis types it nowhere
                try:
                    await connection.connect()
                except BaseException:
                    await connection.disconnect(nowait=True)
                    raise
                self._wire = _Wire(connection)
            return self._wire


class _Sent(NamedTuple):
    """A command under way."""

    reply: asyncio.Future[Any]
    at: float


class _Wire(asyncio.Protocol):
    """An open connection, taken over from redis-py."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=_error, notEnoughData=_MORE)
        self._sent: deque[_Sent] = deque()
        self._out: list[bytes] = []
        writer, connection._writer, connection._reader = connection._writer, None, None
        if writer is None:
            raise LostError("the connection was lost as soon as it stood")
        self._writer = writer  # kept: it would close the connection when it goes
        self._transport = writer.transport
        self._transport.set_protocol(self)
        self.broken = False

    @property
    def silent_s(self) -> float:
        """Seconds for which the oldest command has had no answer; 0 where none is under way."""
        return perf_counter() - self._sent[0].at if self._sent else 0.0

    def send(self, packed: bytes, n: int) -> list[asyncio.Future[Any]]:
        """Sends n packed commands; what one turn of the loop sends leaves in one piece."""
        now = perf_counter()
        sent = [_Sent(self._loop.create_future(), now) for _ in range(n)]
        self._sent.extend(sent)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)
        return [each.reply for each in sent]

    def data_received(self, data: bytes) -> None:
        """Hands replies to those who asked, oldest first; who has stopped waiting is passed over."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not _MORE:
            if isinstance(reply, hiredis.PushNotification):
                continue
            waiting = self._sent.popleft().reply
            if not waiting.done():
                waiting.set_result(reply)

    def connection_lost(self, error: Exception | None) -> None:
        """The store, or the way there, has gone."""
        self.cut()

    def cut(self) -> None:
        """Lets go of the connection; whose answers have not come is told so."""
        self.broken = True
        self._transport.abort()
        while self._sent:
            reply = self._sent.popleft().reply
            if not reply.done():
                reply.set_result(LostError("the connection was lost"))

    def _flush(self) -> None:
        out, self._out = self._out, []
        if not self.broken:
            self._transport.write(b"".join(out))


def _error(text: str) -> Exception:
    """An error reply as redis-py would tell it."""
    return _ERRORS.get(text.partition(" ")[0], ResponseError)(text)
