"""The parent of several workers on one port: starts them, replaces who dies, lets them drain, and tells of them all.

Workers share nothing but the store and the port, over which the kernel spreads connections (SO_REUSEPORT). The parent
holds both, so neither ends with a worker, and never meets gRPC, whose objects do not outlive a fork.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client.multiprocess import mark_process_dead

from service import logs
from service.errors import StartupError
from service.metrics import Workforce
from service.ports import expose, held
from service.settings import ServerSettings, to_environment
from service.store.embedded import EmbeddedStore
from service.store.keeper import Keeper

SERVING, FAILED = "serving on ", "failed: "
"""How the one line begins that a worker tells its parent."""
PAUSES_S = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Before a worker is started again, by how many in a row died young."""
YOUNG_S = 10.0
"""A worker that dies within so many seconds of its start died young."""
TRIES = 5
"""So many workers of one slot died young in a row, and no other serves: nobody will."""
FLUSH_S = 10.0
"""Seconds that a worker gets beside those of its calls to write what is queued."""
_ROOT = Path(__file__).parents[1]
_LOG = logging.getLogger("quickstudy")


def serve(settings: ServerSettings) -> None:
    """Serves with several workers until SIGTERM or SIGINT; prints `serving on HOST:PORT` when all of them serve.

    Raises:
        StartupError: a port is taken, the data directory is in use, or a worker cannot start: then in its own words.
    """
    logs.configure(settings.log)
    asyncio.run(_serve(settings))


async def _serve(settings: ServerSettings) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with AsyncExitStack() as outer:
        stack = outer.enter_context(ExitStack())
        port = stack.enter_context(held(settings.host, settings.port))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="quickstudy-metrics-")))
        url = settings.redis or await _store(settings, outer)
        told = replace(settings, port=port, redis=url)
        drain_s = settings.lame_duck_s + settings.drain_s + FLUSH_S
        supervisor = Supervisor(settings.workers, _environment(told, folder), folder, drain_s=drain_s)
        expose(settings.metrics_host or settings.host, settings.metrics_port, supervisor.metrics.registry, stack)
        await supervisor.run(stop, lambda: print(f"{SERVING}{settings.host}:{port}", flush=True))


async def _store(settings: ServerSettings, stack: AsyncExitStack) -> str:
    """The URL of the one embedded store of all workers, which is the parent's to start, keep and stop."""
    store = EmbeddedStore(settings.data_dir, settings.store.fsync, settings.store.binary)
    store.start()
    stack.callback(store.stop)
    keeper = Keeper(store)
    keeper.start()
    stack.push_async_callback(keeper.close)
    return store.url


def _environment(settings: ServerSettings, folder: Path) -> dict[str, str]:
    """What a worker is told: settings, where its metrics go, and where this code is."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("QUICKSTUDY_")}
    path = os.pathsep.join(filter(None, (str(_ROOT), others.get("PYTHONPATH"))))
    return others | to_environment(settings) | {"PROMETHEUS_MULTIPROC_DIR": str(folder), "PYTHONPATH": path}


class Supervisor:
    """Keeps a worker in each of so many slots.

    Args:
        slots: how many.
        environment: of the workers.
        folder: where they write their metrics.
        drain_s: seconds that they get to end.
        command: what starts one; the number of its slot is added.
    """

    def __init__(
        self,
        slots: int,
        environment: Mapping[str, str],
        folder: Path,
        *,
        drain_s: float,
        command: tuple[str, ...] = (sys.executable, "-m", "service.worker"),
    ) -> None:
        self._slots = slots
        self._environment = environment
        self._folder = folder
        self._drain = drain_s
        self._command = command
        self._running: dict[int, Process] = {}
        self._serving: set[int] = set()
        self._complete = False
        self._stopping = asyncio.Event()
        self.metrics = Workforce(folder, lambda: {slot: worker.pid for slot, worker in dict(self._running).items()})
        self.metrics.workers.set_function(lambda: len(self._serving))

    async def run(self, stop: asyncio.Event, complete: Callable[[], None]) -> None:
        """Keeps the workers until `stop`, then lets them drain.

        Args:
            stop: ends it.
            complete: called once, when all of them serve for the first time.

        Raises:
            StartupError: one cannot start at the beginning, or later one after the other while no other serves.
        """
        slots = [asyncio.create_task(self._keep(slot, complete)) for slot in range(self._slots)]
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([stopped, *slots], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            await self._end(slots)
        for error in [slot.exception() for slot in slots]:
            if error is not None:
                raise error

    async def _keep(self, slot: int, complete: Callable[[], None]) -> None:
        """Lets one worker follow another in a slot."""
        young = 0
        while True:
            started = time.monotonic()
            why = await self._live(slot, complete)
            if self._stopping.is_set():
                return
            young = young + 1 if time.monotonic() - started < YOUNG_S else 1
            if not self._complete or (young >= TRIES and not self._serving):
                raise StartupError(why)
            pause = PAUSES_S[min(young, len(PAUSES_S)) - 1]
            _LOG.error("worker %d: %s; another one follows in %g s", slot, why, pause)
            self.metrics.restarts.inc()
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                continue
            return

    async def _live(self, slot: int, complete: Callable[[], None]) -> str:
        """The life of one worker; returns why it ended."""
        worker = await asyncio.create_subprocess_exec(
            *(*self._command, str(slot)),
            env=self._environment,
            stdin=PIPE,  # closed by our end, whatever that is
            stdout=PIPE,
            start_new_session=True,  # an interrupt from the terminal is ours to pass on
        )
        self._running[slot] = worker
        if self._stopping.is_set():
            _terminate(worker)
        assert worker.stdout is not None  # noqa: S101 # a pipe was asked for
        line = (await worker.stdout.readline()).decode().rstrip("\n")
        if line.startswith(SERVING):
            _LOG.info("worker %d (process %d) serves", slot, worker.pid)
            self._serving.add(slot)
            if len(self._serving) == self._slots and not self._complete:
                self._complete = True
                complete()
        code = await worker.wait()
        self._serving.discard(slot)
        del self._running[slot]
        mark_process_dead(slot, str(self._folder))  # type: ignore[no-untyped-call] # untyped there
        if line.startswith(FAILED):
            return line.removeprefix(FAILED)
        return f"process {worker.pid} ended " + (f"by signal {-code}" if code < 0 else f"with exit code {code}")

    async def _end(self, slots: list[asyncio.Task[None]]) -> None:
        """Asks all workers to drain, and kills who does not end in time."""
        self._stopping.set()
        for worker in self._running.values():
            _terminate(worker)
        _, late = await asyncio.wait(slots, timeout=self._drain)
        for slot, worker in self._running.items():
            _LOG.error("worker %d (process %d) did not end within %g s and is killed", slot, worker.pid, self._drain)
            worker.kill()
        if late:
            await asyncio.wait(late)


def _terminate(worker: Process) -> None:
    with suppress(ProcessLookupError):  # it ended by itself just now
        worker.terminate()
