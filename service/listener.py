"""The gRPC port, which is opened again should its server end by itself: no caller may shut it for the others.

grpcio 1.84 and 1.85 end their serving task, and with it the server, at a call whose path is not UTF-8 (1.83 does not).
The state of the service is beside the server, so a new one on the same port goes on where the old one was. Calls that
were under way are answered, then callers connect again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import grpc

from service.errors import StartupError

LOOK_S, GRACE_S = 0.02, 1.0
"""Seconds between two looks, and for calls that are under way when a server ends."""
_LOG = logging.getLogger("quickstudy")


class Listener:
    """A server on a port, from `start` to `stop`.

    Args:
        make: makes a server that is bound to a port, 0 for any free one, and says to which.
        reopened: called whenever the port had to be opened again.
    """

    def __init__(self, make: Callable[[int], tuple[grpc.aio.Server, int]], reopened: Callable[[], None]) -> None:
        self._make = make
        self._tell = reopened
        self._stopping = False
        self._watching: asyncio.Task[None] | None = None

    async def start(self, port: int) -> int:
        """Opens the port and returns its number. Raises StartupError where it cannot be had."""
        self._server, self._port = self._make(port)
        await self._server.start()
        self._watching = asyncio.create_task(self._watch(), name="listener")
        return self._port

    async def stop(self, drain_s: float) -> None:
        """Takes no more calls and gives those under way so many seconds."""
        self._stopping = True
        await self._server.stop(drain_s)
        if self._watching is not None:
            await self._watching

    async def _watch(self) -> None:
        """Looks rather than waits: a server that fails waits itself for its last caller, who may take for ever."""
        ended: list[asyncio.Task[None]] = []
        while not self._stopping:
            await asyncio.sleep(LOOK_S)
            if self._stopping or self._runs():
                continue
            _LOG.error("the gRPC server has ended by itself: opening its port again")
            self._tell()
            ended.append(asyncio.create_task(self._server.stop(GRACE_S)))
            await self._reopen()
            ended = [task for task in ended if not task.done()]
        await asyncio.gather(*ended)

    def _runs(self) -> bool:
        return bool(self._server._server.is_running())  # type: ignore[attr-defined] # nothing public tells it in time

    async def _reopen(self) -> None:
        while not self._stopping:
            try:
                self._server, _ = self._make(self._port)
            except StartupError:
                await asyncio.sleep(LOOK_S)
            else:
                await self._server.start()
                return
