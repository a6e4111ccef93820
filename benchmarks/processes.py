"""Servers in processes of their own, as a user would start them."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: its gRPC address "host:port", the URL of its metrics page, and its process."""

    address: str
    metrics: str
    pid: int

    def samples(self) -> dict[str, float]:
        """What the metrics page tells, by sample."""
        with urllib.request.urlopen(self.metrics, timeout=5) as answer:  # noqa: S310 # our own server
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines if not x.startswith("#"))}


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its address "host:port", and its process."""

    address: str
    pid: int


@contextmanager
def service(policy: Path | None, *options: str) -> Iterator[Service]:
    """The real server with an embedded store in a folder that is thrown away, unless the options name another.

    Args:
        policy: what it serves; None: what the options say.
        options: of `quickstudy serve`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "server.log"
        command = ["-m", "quickstudy", "serve", "--data-dir", f"{scratch}/data", *options]
        command += [] if policy is None else ["--policy", str(policy.resolve())]
        with log.open("w") as stderr, server([*command, "--port", "0", "--metrics-port", "0"], stderr) as started:
            page = re.search(r"metrics on (\S+)", log.read_text())
            if not page:
                raise RuntimeError(f"the service tells no metrics page: {log.read_text()}")
            yield Service(started.address, page[1], started.pid)


@contextmanager
def server(arguments: Sequence[str], stderr: IO[str] | None = None) -> Iterator[Server]:
    """A Python process that prints `serving on HOST:PORT` when it is ready. Stopped in the end."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line.startswith("serving on "):
                raise RuntimeError(f"{' '.join(arguments)} did not start")
            yield Server(line.removeprefix("serving on ").strip(), process.pid)
        finally:
            process.terminate()
