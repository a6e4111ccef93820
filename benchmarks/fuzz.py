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

from benchmarks.report import Claim, write
from tests.fuzz import attack
from tests.service.support import Server, make_policy, start_server

OURS = ("INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "DATA_LOSS")
"""Statuses that a caller must not be able to cause."""
PARTS = 20
"""Looks at memory during each attack; the first is not counted, for caches fill."""


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
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        server = start_server(make_policy(folder / "policy"), folder / "data")
        try:
            rows, ended = asyncio.run(_attack(server, calls, connections, random.Random(seed), tell))
            alive = server.process.poll() is None
        finally:
            code = server.stop() if server.process.poll() is None else server.process.returncode
    memory = {name: [row["resident_mb"] for row in rows if row["attack"] == name] for name in ("calls", "connections")}
    answers = [row["answers_s"] for row in rows]
    files = [row["open_files"] for row in rows]
    claims = [
        Claim("fuzzed calls made", float(ended["calls"]), ">=", float(calls)),
        Claim("hostile connections made", float(ended["connections"]), ">=", float(connections)),
        Claim("calls that ended as an error of ours", float(sum(ended[name] for name in OURS)), "==", 0.0),
        Claim("service alive after it, and ends in order", float(alive and code == 0), "==", 1.0),
        *(
            Claim(f"resident memory after {name}, last over first look", m[-1] / m[0], "<", 1.1)
            for name, m in memory.items()
        ),
        Claim("open files, most over first look", max(files) - files[0], "<", 200.0),
        Claim("slowest good call amid it, s", max(answers), "<", 1.0),
    ]
    return write(
        out,
        command="quickstudy bench fuzz",
        rows=rows,
        claims=claims,
        seed=seed,
        ended=dict(ended),
    )


async def _attack(
    server: Server, calls: int, connections: int, rng: random.Random, tell: Callable[[str], None]
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Both attacks in parts, with a look at the service after each."""
    rows: list[dict[str, Any]] = []
    ended: Counter[str] = Counter()
    for name, whole in (("calls", calls), ("connections", connections)):
        for part in range(PARTS):
            n = whole * (part + 1) // PARTS - whole * part // PARTS
            started = perf_counter()
            if name == "calls":
                made = await attack.messages(server.target, n, rng)
                codes = Counter({code: sum(k for (_, c), k in made.items() if c == code) for _, code in made})
            else:
                codes = await attack.streams(server.target, n, rng)
            took = perf_counter() - started
            ended.update(codes)
            ended[name] += codes.total()
            rows.append(
                {
                    "attack": name,
                    "made": ended[name],
                    "per_s": codes.total() / took,
                    "resident_mb": attack.resident(server.process.pid),
                    "open_files": attack.open_files(server.process.pid),
                    "answers_s": await attack.answers(server.target),
                    **codes,
                }
            )
            tell(f"{name}: {ended[name]:,} of {whole:,}, {n / took:.0f}/s, {rows[-1]['resident_mb']:.0f} MB")
    return rows, ended
