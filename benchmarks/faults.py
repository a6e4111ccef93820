"""What is lost when something breaks: acknowledged events before and after, calls answered, the longest gap.

Each fault meets a service under traffic: 100 recommendations a second with candidates, and sixteen users who send
events, each until it is acknowledged. Afterwards every acknowledged event must be there, and only once.
The same faults, shorter, are tests: `tests/faults`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from redis import Redis

from benchmarks.processes import ROOT
from benchmarks.report import Claim, write
from service.client import Client
from service.client.habits import PLAIN
from service.store.embedded import EmbeddedStore
from tests.faults.overload import ITEMS, core, overload
from tests.faults.proxy import SlowProxy
from tests.faults.traffic import DEADLINE_S, Outage, outage
from tests.service.support import Server, make_policy, start_server

READ = {"STORE_READ_TIMEOUT_S": "0.025", "STORE_HISTORY_CAP": "128"}
"""The read timeout of a service as installed, and histories that hold all events of the traffic."""
STRETCHES = 3
"""Into which the overload is cut, to measure the most that is possible before and after each."""
DURABLE = {
    "always": {"STORE_FSYNC": "always"},
    "everysec": {},
    "everysec, waits for the disk": {"STORE_WAIT_FSYNC": "1"},
}
"""How the store writes to disk; the default is everysec."""


def run(
    out: Path, *, seconds: float = 15.0, overload_s: float = 60.0, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Lets everything break, one after the other, writes `out` (JSON) and returns what it wrote.

    Args:
        out: file for the result.
        seconds: how long each fault of the store lasts.
        overload_s: how long the overload lasts, in all.
        tell: hears of progress.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        policy = make_policy(folder / "policy")
        rows = asyncio.run(_outages(policy, folder, seconds, tell))
        rows.append(_truncated(policy, folder))
        tell(str(rows[-1]))
        for row in _overload(folder, overload_s):
            rows.append(row)
            tell(str(row))
    return write(
        out, command="quickstudy bench faults", rows=rows, claims=_claims(rows), seconds=seconds, overload_s=overload_s
    )


def _claims(rows: list[dict[str, Any]]) -> list[Claim]:
    counted = [row for row in rows if "lost" in row]
    away = [row for row in counted if row["fault"].startswith("store")]
    (broken,) = [row for row in rows if row["fault"] == "truncated weights at start"]
    flooded = [row for row in rows if row["fault"] == "twice the load"]
    slates = sum(row["ended"].get("OK", 0) for row in flooded)
    inner = sum(row["ended"].get(name, 0) for row in flooded for name in ("INTERNAL", "UNKNOWN"))
    return [
        Claim("faults under traffic", float(len(counted)), ">=", 9.0),
        Claim("acknowledged events lost", float(sum(row["lost"] for row in counted)), "==", 0.0),
        Claim("acknowledged events there twice", float(sum(row["twice"] for row in counted)), "==", 0.0),
        Claim("store away: share of Recommend answered, least", min(row["answered"] for row in away), ">=", 0.999),
        Claim("store away: p99 of Recommend, ms, most", max(row["p99_ms"] for row in away), "<", 50.0),
        Claim("store back: first slate that is ADAPTED, s, most", max(row["back_s"] for row in away), "<", 2.0),
        Claim("service killed: first slate after its start, s, most", max(r["back_s"] for r in counted), "<", 5.0),
        Claim("truncated weights: exit code", float(broken["exit_code"]), "==", 2.0),
        Claim("truncated weights: lines said", float(broken["lines"]), "==", 1.0),
        Claim("twice the load: goodput over the most", median(r["goodput_ratio"] for r in flooded), ">=", 0.9),
        Claim(
            "twice the load: share of slates past the deadline", sum(r["late"] for r in flooded) / slates, "<=", 0.01
        ),
        Claim("twice the load: calls that ended as an inner error", float(inner), "==", 0.0),
    ]


async def _outages(policy: Path, folder: Path, seconds: float, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """All faults under traffic."""
    rows: list[dict[str, Any]] = []
    for fault, one in _faults().items():
        scratch = folder / f"fault-{len(rows)}"
        scratch.mkdir()
        told = await one(policy, scratch, seconds)
        rows.append(_row(fault, told))
        tell(str(rows[-1]))
    return rows


def _faults() -> dict[str, Callable[[Path, Path, float], Awaitable[Outage]]]:
    faults: dict[str, Callable[[Path, Path, float], Awaitable[Outage]]] = {
        "store paused": _paused,
        "store full": _full,
        "store slow by 100 ms": _slow,
        "service killed": _service_killed({}, with_store=False),
        "store of the service itself killed": _own_store_killed,
    }
    for name, settings in DURABLE.items():
        faults[f"store killed, {name}"] = _store_killed(settings)
        faults[f"service and its store killed, {name}"] = _service_killed(settings, with_store=True)
    return faults


def _row(fault: str, told: Outage) -> dict[str, Any]:
    return {
        "fault": fault,
        "acknowledged": told.events.acknowledged,
        "lost": told.events.lost,
        "twice": told.events.twice,
        "asked": told.asked,
        "answered": told.answered,
        "p50_ms": 1e3 * told.p50_s,
        "p99_ms": 1e3 * told.p99_s,
        "p99_before_ms": 1e3 * told.p99_before_s,
        "longest_gap_s": told.gap_s,
        "back_s": told.back_s,
        "sources": told.sources,
        "refused_events": told.refused,
    }


@asynccontextmanager
async def _external(
    policy: Path, scratch: Path, settings: dict[str, str], url: str | None = None
) -> AsyncIterator[tuple[EmbeddedStore, Client]]:
    """A store of its own, and a client of a service that uses it, through a proxy where `url` names one."""
    store = EmbeddedStore(scratch / "redis", settings.get("STORE_FSYNC", "everysec"))
    await asyncio.to_thread(store.start)
    try:
        told = READ | settings | {"REDIS": url or store.url}
        server = await asyncio.to_thread(start_server, policy, scratch / "data", **told)
        async with Client(server.target, DEADLINE_S, habits=PLAIN) as client:
            await client.ready()
            yield store, client
        await asyncio.to_thread(server.stop)
    finally:
        await asyncio.to_thread(store.stop)


def _pid(data_dir: Path) -> int:
    """The process of the store in a directory."""
    return int((data_dir / "store.pid").read_text())


async def _paused(policy: Path, scratch: Path, seconds: float) -> Outage:
    """SIGSTOP: connections stay open, nothing comes back."""
    async with _external(policy, scratch, {}) as (_, client):
        pid = _pid(scratch / "redis")
        return await outage(
            client,
            lambda: os.kill(pid, signal.SIGSTOP),
            lambda: os.kill(pid, signal.SIGCONT),
            seconds=seconds,
        )


async def _full(policy: Path, scratch: Path, seconds: float) -> Outage:
    """Writes are refused (`maxmemory`, noeviction), reads are not."""
    async with _external(policy, scratch, {}) as (store, client):
        with Redis(unix_socket_path=str(store.socket)) as admin:
            return await outage(
                client,
                lambda: admin.config_set("maxmemory", 1) and None,
                lambda: admin.config_set("maxmemory", 0) and None,
                seconds=seconds,
            )


async def _slow(policy: Path, scratch: Path, seconds: float) -> Outage:
    """A proxy lets every answer of the store wait."""
    proxy = SlowProxy(EmbeddedStore(scratch / "redis").socket)
    async with proxy as url, _external(policy, scratch, {}, url) as (_, client):
        return await outage(
            client,
            lambda: setattr(proxy, "delay_s", 0.1),
            lambda: setattr(proxy, "delay_s", 0.0),
            seconds=seconds,
        )


def _store_killed(settings: dict[str, str]) -> Callable[[Path, Path, float], Awaitable[Outage]]:
    async def fault(policy: Path, scratch: Path, seconds: float) -> Outage:
        """Kill -9, and later a new start on the same files."""
        async with _external(policy, scratch, settings) as (store, client):

            async def again() -> None:
                await asyncio.to_thread(store.stop)  # waits for the process and frees the directory
                await asyncio.to_thread(store.start)

            return await outage(
                client, lambda: os.kill(_pid(scratch / "redis"), signal.SIGKILL), again, seconds=seconds
            )

    return fault


def _service_killed(settings: dict[str, str], *, with_store: bool) -> Callable[[Path, Path, float], Awaitable[Outage]]:
    async def fault(policy: Path, scratch: Path, seconds: float) -> Outage:
        """Kill -9 amid calls, and at once a new start on the same port and data directory."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])

        async def start() -> Server:
            return await asyncio.to_thread(start_server, policy, scratch / "data", PORT=port, **READ, **settings)

        running = await start()

        def kill() -> None:
            if with_store:
                os.kill(_pid(scratch / "data"), signal.SIGKILL)
            running.kill()

        async def again() -> None:
            nonlocal running
            running = await start()

        try:
            async with Client(f"127.0.0.1:{port}", DEADLINE_S, habits=PLAIN) as client:
                await client.ready()
                return await outage(client, kill, again, seconds=min(seconds, 0.5))
        finally:
            await asyncio.to_thread(running.stop)

    return fault


async def _own_store_killed(policy: Path, scratch: Path, seconds: float) -> Outage:
    """Kill -9 of the embedded store: the service that started it starts it again."""
    server = await asyncio.to_thread(start_server, policy, scratch / "data", **READ)
    try:
        async with Client(server.target, DEADLINE_S, habits=PLAIN) as client:
            await client.ready()
            return await outage(
                client, lambda: os.kill(_pid(scratch / "data"), signal.SIGKILL), lambda: None, seconds=min(seconds, 5.0)
            )
    finally:
        await asyncio.to_thread(server.stop)


def _truncated(policy: Path, folder: Path) -> dict[str, Any]:
    """A start on weights that lack their end."""
    broken = folder / "broken"
    broken.mkdir()
    for file in policy.iterdir():
        whole = file.read_bytes()
        (broken / file.name).write_bytes(whole[:-100] if file.suffix == ".safetensors" else whole)
    command = [
        "-m",
        "quickstudy",
        "serve",
        "--policy",
        str(broken),
        "--data-dir",
        str(folder / "unused"),
        "--port",
        "0",
    ]
    ended = subprocess.run(
        [sys.executable, *command, "--metrics-port", "0"], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    said = (ended.stdout + ended.stderr).strip()
    return {
        "fault": "truncated weights at start",
        "exit_code": ended.returncode,
        "lines": len(said.splitlines()),
        "said": said.replace(str(folder), ""),
    }


def _overload(folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Twice as many calls as can be answered, by a service with settings as installed."""
    policy = make_policy(folder / "large", items=ITEMS)
    with core(0):
        server = start_server(policy, folder / "overloaded", STORE_READ_TIMEOUT_S="0.025")
    try:
        with core(-1):
            each = seconds / STRETCHES
            found = overload(server.target, server.cpu_s, times=STRETCHES, seconds=each, rng=np.random.default_rng(0))
    finally:
        server.stop()
    return [
        {
            "fault": "twice the load",
            "most_per_s": stretch.most.per_s,
            "asked_per_s": stretch.asked,
            "goodput_per_s": stretch.good.per_s,
            "goodput_ratio": stretch.good.per_s / stretch.most.per_s,
            "goodput_ratio_by_cpu": stretch.good.per_cpu_s / stretch.most.per_cpu_s,
            "late": stretch.late,
            "p99_ms": 1e3 * stretch.p99_s,
            "ended": stretch.codes,
        }
        for stretch in found
    ]
