"""A replay in a process of its own, seen from the service: started, listened to, and surely ended."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, NamedTuple

from service.errors import BrokenOffError, DrainingError, UnanswerableError
from service.evaluation.job import ERRORS, REPORT, RESULT, Job

ROOT = Path(__file__).parents[2]
"""The folder that the rooms are in."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Each 1: a replay gets one core."""
_LOG = logging.getLogger("quickstudy")


class Step(NamedTuple):
    """How far a replay is, as in `ReplayStep`."""

    phase: str
    done: int
    total: int


class Replay:
    """The process of a job.

    Args:
        process: which.
        heard: what it says.
        folder: its files.
    """

    def __init__(self, process: Popen[bytes], heard: asyncio.StreamReader, folder: Path) -> None:
        self._process = process
        self._heard = heard
        self._folder = folder
        self._stopped = False

    async def steps(self) -> AsyncIterator[Step]:
        """Every step, until there is a result.

        Raises:
            UnanswerableError: the log cannot answer.
            BrokenOffError: the process ended before.
            DrainingError: it was stopped.
        """
        with suppress(ConnectionError):  # it ended with something left to read
            async for line in self._heard:
                told: dict[str, Any] = json.loads(line)
                if "refused" in told:
                    raise UnanswerableError(told["refused"])
                if "finished" in told:
                    return
                yield Step(**told)
        if self._stopped:
            raise DrainingError("the server is stopping, and the replay with it; ask again")
        code = await self.wait()
        _LOG.error("a replay ended before its answer: %s", (self._folder / ERRORS).read_text(errors="replace")[-4_000:])
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        raise BrokenOffError(f"the replay's process ended {how} before its answer; the server's log has the details")

    def result(self) -> str:
        """What was found, JSON."""
        return (self._folder / RESULT).read_text()

    def report(self) -> bytes:
        """The page about it, UTF-8."""
        return (self._folder / REPORT).read_bytes()

    async def wait(self) -> int:
        """The exit code of a process that is about to end."""
        return await asyncio.to_thread(self._process.wait)

    def stop(self) -> None:
        """Ends the process as the service stops."""
        self._stopped = True
        self.kill()

    def kill(self) -> None:
        """Ends the process at once."""
        with suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(self._process.pid, signal.SIGKILL)


@asynccontextmanager
async def started(job: Job, nice: int) -> AsyncIterator[Replay]:
    """A process that does a job; on leaving, it has ended and its folder is gone.

    It is made by `subprocess`, whose vfork runs none of the handlers by which gRPC prepares for a fork.

    Args:
        job: what it does.
        nice: how much lower than that of the service its priority is.
    """
    with TemporaryDirectory(prefix="quickstudy-replay-") as scratch:
        folder = Path(scratch)
        if job.source is not None:
            job = replace(job, root=scratch)
        ours, theirs = socket.socketpair()
        with theirs, (folder / ERRORS).open("wb") as errors:
            heard, told = await asyncio.open_unix_connection(sock=ours)
            try:
                replay = Replay(_spawn(scratch, nice, theirs, errors), heard, folder)
                try:
                    theirs.close()
                    told.write(job.line())
                    yield replay
                finally:
                    replay.kill()
                    await replay.wait()
            finally:
                told.transport.abort()


def _spawn(scratch: str, nice: int, theirs: socket.socket, errors: BinaryIO) -> Popen[bytes]:
    """Starts the process, which hears and tells by a socket whose other end is ours, and ends where that does."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("QUICKSTUDY_")}
    path = os.pathsep.join(filter(None, (str(ROOT), others.get("PYTHONPATH"))))
    process = Popen(
        [sys.executable, "-m", "service.evaluation.child", scratch],
        env=others | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": path},
        stdin=theirs.fileno(),
        stdout=theirs.fileno(),
        stderr=errors,
        start_new_session=True,  # a group of its own; an interrupt from the terminal is ours to pass on
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, os.getpriority(os.PRIO_PROCESS, 0) + nice)
    for name, value in (("autogroup", nice), ("oom_score_adj", 1_000)):  # a session has a priority of its own
        with suppress(OSError):  # Linux alone has these
            Path(f"/proc/{process.pid}/{name}").write_text(str(value))
    return process
