"""What the service makes of what nobody should send: a million calls, a hundred thousand connections.

Calls are drawn from the descriptors, every field of every method in range and out of it, a tenth with damaged bytes.
Connections send noise, broken frames, damaged calls and floods. The same attacks, shorter, are tests: `tests/fuzz`.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.jobs import Job
from benchmarks.jobs import run as run_jobs
from benchmarks.report import Claim, write
from tests.fuzz import attack
from tests.service.support import Server, make_policy, start_server

OURS = ("INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "DATA_LOSS")
"""Statuses that a caller must not be able to cause."""
SERVICES = 2
"""Attacked side by side, each by callers of its own: what one core answers takes too long."""
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
    rows: list[dict[str, Any]] = []
    ended: Counter[str] = Counter()
    for done in run_jobs(jobs, processes=SERVICES, seconds=float("inf")):
        if done.result is None:
            raise RuntimeError(f"{done.job.name}: {done.failure}")
        rows += done.result[0]
        ended += done.result[1]
        tell(f"{done.job.name}: {dict(done.result[1])}")
    first, last = ([row for row in rows if row["part"] == part] for part in (1, PARTS))
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
        Claim("open files, most over first look", max(r["open_files"] - rows[0]["open_files"] for r in rows), "<", 200),
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
        server = start_server(make_policy(folder / "policy"), folder / "data")
        try:
            rows, ended = asyncio.run(_attack(n, server, calls, connections, random.Random(seed + n)))
            alive = server.process.poll() is None
        finally:
            code = server.stop() if server.process.poll() is None else server.process.returncode
    ended["alive"] = int(alive and code == 0)
    return rows, ended


async def _attack(
    n: int, server: Server, calls: int, connections: int, rng: random.Random
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Both attacks in parts, with a look at the service after each."""
    rows: list[dict[str, Any]] = []
    ended: Counter[str] = Counter()
    for name, whole in (("calls", calls), ("connections", connections)):
        for part in range(1, PARTS + 1):
            some = whole * part // PARTS - whole * (part - 1) // PARTS
            started = perf_counter()
            if name == "calls":
                codes: Counter[str] = Counter()
                for (_, code), k in (await attack.messages(server.target, some, rng)).items():
                    codes[code] += k
            else:
                codes = await attack.streams(server.target, some, rng)
            took = perf_counter() - started
            ended.update(codes)
            ended[name] += codes.total()
            rows.append(
                {
                    "service": n,
                    "attack": name,
                    "part": part,
                    "made": ended[name],
                    "per_s": codes.total() / took,
                    "resident_mb": attack.resident(server.process.pid),
                    "open_files": attack.open_files(server.process.pid),
                    "answers_s": await attack.answers(server.target),
                    **codes,
                }
            )
            print(f"service {n}, {name}: {ended[name]:,} of {whole:,}, {some / took:.0f}/s", flush=True)
    return rows, ended
