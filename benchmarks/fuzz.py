"""What the service makes of what nobody should send: a million calls, a hundred thousand connections.

Calls are drawn from the descriptors, every field of every method in range and out of it, a tenth with damaged bytes.
Connections send noise, broken frames, damaged calls and floods. The same attacks, shorter, are tests: `tests/fuzz`.
A bare echo is sent the same connections, for what of the memory is the transport's.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.jobs import Job
from benchmarks.jobs import run as run_jobs
from benchmarks.processes import server
from benchmarks.report import Claim, write
from tests.fuzz import attack
from tests.service.support import make_policy, start_server

OURS = ("INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "DATA_LOSS")
"""Statuses that a caller must not be able to cause."""
SERVICES = 2
"""Attacked side by side, each by callers of its own: what one core answers takes too long."""
ECHO = "bare echo"
PARTS = 20
"""Looks at memory during each attack; growth counts from the first, for caches fill before it."""


def run(
    out: Path, *, calls: int = 1_000_000, connections: int = 100_000, seed: int = 0, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Attacks, writes `out` (JSON) and returns what it wrote.

    Args:
        out: file for the result.
        calls: fuzzed calls.
        connections: hostile connections.
        seed: draws what is sent.
        tell: hears of progress.
    """
    shares = [-(-whole // SERVICES) for whole in (calls, connections)]
    jobs = [Job(f"service {n}", _one_service, (n, *shares, seed)) for n in range(SERVICES)]
    jobs.append(Job(ECHO, _bare_echo, (shares[1], seed)))
    rows: list[dict[str, Any]] = []
    ended: Counter[str] = Counter()
    for done in run_jobs(jobs, processes=SERVICES, seconds=float("inf")):
        if done.result is None:
            raise RuntimeError(f"{done.job.name}: {done.failure}")
        rows += done.result[0]
        if done.job.name != ECHO:
            ended += done.result[1]
        tell(f"{done.job.name}: {dict(done.result[1])}")
    first, last = ([r for r in rows if r["part"] == part and r["service"] != ECHO] for part in (1, PARTS))
    grown = {
        name: max(z["resident_mb"] / a["resident_mb"] for a, z in zip(first, last, strict=True) if a["attack"] == name)
        for name in ("calls", "connections")
    }
    claims = [
        Claim("fuzzed calls made", float(ended["calls"]), ">=", float(calls)),
        Claim("hostile connections made", float(ended["connections"]), ">=", float(connections)),
        Claim("calls that ended as an error of ours", float(sum(ended[name] for name in OURS)), "==", 0.0),
        Claim("services alive after it, that end in order", float(ended["alive"]), "==", float(SERVICES)),
        *(
            Claim(f"resident memory after {name}, last over first look, most", most, "<", 1.1)
            for name, most in grown.items()
        ),
        Claim(
            "open files, most over first look",
            max(r["open_files"] - rows[0]["open_files"] for r in rows if r["service"] != ECHO),
            "<",
            200,
        ),
        Claim("slowest good call amid it, s", max(row["answers_s"] for row in rows), "<", 1.0),
    ]
    return write(
        out,
        command="quickstudy bench fuzz",
        rows=rows,
        claims=claims,
        seed=seed,
        ended=dict(ended),
    )


def _one_service(n: int, calls: int, connections: int, seed: int) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Attacks a service of its own; how everything ended, the service among it as "alive"."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        attacked = start_server(make_policy(folder / "policy"), folder / "data")
        try:
            parts = {"calls": calls, "connections": connections}
            rows, ended = asyncio.run(_attack(n, attacked.target, attacked.process.pid, parts, random.Random(seed + n)))
            alive = attacked.process.poll() is None
        finally:
            code = attacked.stop() if attacked.process.poll() is None else attacked.process.returncode
    ended["alive"] = int(alive and code == 0)
    return rows, ended


def _bare_echo(connections: int, seed: int) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Attacks a server that parses and answers, and nothing else."""
    with server(["-m", "benchmarks.echo"]) as echo:
        return asyncio.run(_attack(ECHO, echo.address, echo.pid, {"connections": connections}, random.Random(seed)))


async def _attack(
    name: int | str, target: str, pid: int, attacks: Mapping[str, int], rng: random.Random
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Attacks of so many each, in parts, with a look at the service after each part."""
    rows: list[dict[str, Any]] = []
    ended: Counter[str] = Counter()
    for kind, whole in attacks.items():
        for part in range(1, PARTS + 1):
            some = whole * part // PARTS - whole * (part - 1) // PARTS
            started = perf_counter()
            if kind == "calls":
                codes: Counter[str] = Counter()
                for (_, code), k in (await attack.messages(target, some, rng)).items():
                    codes[code] += k
            else:
                codes = await attack.streams(target, some, rng)
            took = perf_counter() - started
            ended.update(codes)
            ended[kind] += codes.total()
            rows.append(
                {
                    "service": name,
                    "attack": kind,
                    "part": part,
                    "made": ended[kind],
                    "per_s": codes.total() / took,
                    "resident_mb": attack.resident(pid),
                    "open_files": attack.open_files(pid),
                    "answers_s": await attack.answers(target),
                    **codes,
                }
            )
            print(f"service {name}, {kind}: {ended[kind]:,} of {whole:,}, {some / took:.0f}/s", flush=True)
    return rows, ended
