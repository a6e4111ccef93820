"""A TCP proxy in front of a store that lets every answer wait."""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from pathlib import Path


class SlowProxy:
    """Passes bytes on to a Unix socket, and what comes back after a delay.

    Args:
        socket: of the store.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay_s = 0.0

    async def __aenter__(self) -> str:
        """Listens on a free port; gives the store's URL there."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        """Ends all connections."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_unix_connection(str(self._socket))
        for task in (
            asyncio.create_task(self._pass(reader, there, delayed=False)),
            asyncio.create_task(self._pass(back, writer, delayed=True)),
        ):
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool) -> None:
        with closing(writer), suppress(OSError):
            while data := await reader.read(65_536):
                if delayed and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
