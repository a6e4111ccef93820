"""One connection to the store that everybody's commands share: they leave as they come, answers come in their order.

A pool hands each command a connection of its own, and does retries, health and telemetry around it; that costs the
event loop several times what the command does, and a read is on the way of every reply. The connection itself, with its
TLS and its credentials, is redis-py's; commands and replies are packed and parsed by hiredis.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, NamedTuple

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import BusyLoadingError, ResponseError
from redis.exceptions import ConnectionError as LostError

SILENT_S = 0.5
"""Seconds without an answer after which the next command takes a new connection: this one may lead nowhere."""
Command = tuple[str | bytes | int | float, ...]


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
        try:
            return await self._ask(commands)
        except BusyLoadingError:
            raise
        except LostError:
            return await self._ask(commands)

    async def close(self) -> None:
        """Closes the connection; who still waits is told."""
        if self._wire is not None:
            await self._wire.close()

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        wire = self._wire
        if wire is not None and wire.silent_s > SILENT_S:
            wire.cut(LostError("the connection was silent"))
        if wire is None or wire.broken:
            wire = await self._open()
        replies = [await reply for reply in await wire.send(commands)]
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    async def _open(self) -> _Wire:
        async with self._opening:
            if self._wire is None or self._wire.broken:
                if self._wire is not None:
                    await self._wire.close()
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


class _Wire:
    """An open connection, and the task that reads from it."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._sent: deque[_Sent] = deque()
        self._reading = self._loop.create_task(self._read())
        self.broken = False

    @property
    def silent_s(self) -> float:
        """Seconds for which the oldest command has had no answer; 0 where none is under way."""
        return perf_counter() - self._sent[0].at if self._sent else 0.0

    async def send(self, commands: Sequence[Command]) -> list[asyncio.Future[Any]]:
        """Sends commands together; nobody else's come between, for they are written before anything is awaited."""
        now = perf_counter()
        sent = [_Sent(self._loop.create_future(), now) for _ in commands]
        self._sent.extend(sent)
        # its stub tells of tuples of one
        packed = b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]
        await self._connection.send_packed_command(packed, check_health=False)
        return [each.reply for each in sent]

    async def close(self) -> None:
        """Ends the connection and its reader."""
        self.cut(LostError("the connection was closed"))
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        await self._connection.disconnect(nowait=True)

    def cut(self, why: Exception) -> None:
        """Takes no more commands; whose answers have not come is told why."""
        self.broken = True
        while self._sent:
            reply = self._sent.popleft().reply
            if not reply.done():
                reply.set_result(why)

    async def _read(self) -> None:
        """Hands replies to those who asked, oldest first; who has stopped waiting is passed over."""
        while not self.broken:
            reply: Any
            try:
                reply = await self._connection.read_response(disable_decoding=True, timeout=None)
            except ResponseError as refused:
                reply = refused
            except Exception as lost:
                self.cut(LostError(f"the connection was lost ({type(lost).__name__})"))
                return
            if self._sent and not (waiting := self._sent.popleft().reply).done():
                waiting.set_result(reply)
