"""Whether the service is after 200,000 requests what it was at first: latency and memory of the first and last tenth.

All calls that keep state are mixed, by Zipf's law over users: `Recommend` for users whose copy is cached, who have just
clicked, and who are new; `RecordEvents`, `UpsertUsers`, `DeleteUser`. Every user is met once before it begins.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import grpc
import numpy as np

from benchmarks.report import Claim, write
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.client.habits import PLAIN
from tests.fuzz.attack import resident
from tests.service.support import Server, make_policy, start_server

USERS, ITEMS, CANDIDATES = 2_000, 1_000, 100
IN_FLIGHT = 8
SHARES = {"warm": 0.4, "clicked": 0.2, "cold": 0.1, "record": 0.2, "describe": 0.06, "erase": 0.04}
"""Share of requests of each kind; `clicked` is an event and then the recommendation that reflects it."""
LOOKS = 100
"""Looks at memory."""


class Done(NamedTuple):
    """One request: its kind, how long it took, seconds, and whether it failed."""

    kind: str
    seconds: float
    failed: bool


def run(out: Path, *, requests: int = 200_000, seed: int = 0, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Sends the requests, writes `out` (JSON) and returns what it wrote.

    Args:
        out: file for the result.
        requests: how many.
        seed: draws kinds, users and items.
        tell: hears of progress.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        policy = make_policy(folder / "policy", items=ITEMS)
        small = {"STORE_READ_TIMEOUT_S": "0.025", "STORE_RECENT_BYTES": str(4 * 2**20)}  # a cache that is full soon
        server = start_server(policy, folder / "data", **small)
        try:
            done, memory = asyncio.run(_soak(server, requests, np.random.default_rng(seed), tell))
        finally:
            code = server.stop()
    tenth = len(done) // 10
    first, last = done[tenth // 5 : tenth], done[-tenth:]  # the first requests of all find connections to be made
    rows = [
        {"part": part, "kind": kind, "n": len(of), "p50_ms": 1e3 * _at(of, 0.5), "p99_ms": 1e3 * _at(of, 0.99)}
        for part, some in (("first tenth", first), ("last tenth", last))
        for kind in SHARES
        if (of := [each for each in some if each.kind == kind])
    ]
    ranked = [[each for each in some if each.kind in ("warm", "clicked", "cold")] for some in (first, last)]
    slope, level = np.polyfit(np.linspace(0.0, 1.0, len(memory)), memory, 1)
    claims = [
        Claim("requests", float(len(done)), ">=", float(requests)),
        Claim("requests that failed", float(sum(each.failed for each in done)), "==", 0.0),
        Claim("p50 of Recommend, last tenth over first", _at(ranked[1], 0.5) / _at(ranked[0], 0.5), "<", 1.15),
        Claim("p99 of Recommend, last tenth over first", _at(ranked[1], 0.99) / _at(ranked[0], 0.99), "<", 1.5),
        Claim("growth of resident memory over the run, share by its slope", slope / level, "<", 0.05),
        Claim("exit code after it", float(code), "==", 0.0),
    ]
    return write(out, command="quickstudy bench soak", rows=rows, claims=claims, seed=seed, resident_mb=memory)


def _at(done: list[Done], share: float) -> float:
    """The time within which this share of requests was answered, seconds."""
    return float(np.quantile([each.seconds for each in done], share))


async def _soak(
    server: Server, requests: int, rng: np.random.Generator, tell: Callable[[str], None]
) -> tuple[list[Done], list[float]]:
    """All requests in the order in which they ended, and memory at equal distances, MB."""
    done: list[Done] = []
    memory: list[float] = []
    kinds = rng.choice(list(SHARES), requests, p=list(SHARES.values())).tolist()
    users = (np.minimum(rng.zipf(1.2, requests), USERS) - 1).tolist()
    todo = iter(enumerate(zip(kinds, users, strict=True)))
    async with Client(server.target, habits=PLAIN) as client:
        for user in range(USERS):
            await client.recommend(f"u{user}", ["i0"])

        async def caller() -> None:
            for i, (kind, user) in todo:
                done.append(await _one(client, kind, f"u{user}", i, rng, tell))
                if len(done) % max(1, requests // LOOKS) == 0:
                    memory.append(resident(server.process.pid))
                if len(done) % max(1, requests // 10) == 0:
                    tell(f"{len(done):,} of {requests:,}, {memory[-1]:.0f} MB")

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return done, memory


async def _one(
    client: Client, kind: str, user: str, i: int, rng: np.random.Generator, tell: Callable[[str], None]
) -> Done:
    """One request; the event of `clicked` comes before it and is not timed."""
    at = int(rng.integers(ITEMS - CANDIDATES))
    candidates = [f"i{n}" for n in range(at, at + CANDIDATES)]
    event = pb.Event(event_id=f"e{i}", user_id=user, item_id=candidates[0], reward=float(i % 2))
    started, failed = perf_counter(), False
    try:
        match kind:
            case "record":
                await client.record([event])
            case "describe":
                told = {"age": float(at)}
                await client.upsert_users([pb.User(user_id=user, attributes=pb.Attributes(numbers=told))])
            case "erase":
                await client.delete_user(user)
            case _:
                if kind == "clicked":
                    await client.record([event])
                    started = perf_counter()
                await client.recommend(f"new-{i}" if kind == "cold" else user, candidates)
    except grpc.aio.AioRpcError as error:
        tell(f"{kind}: {error}")
        failed = True
    return Done(kind, perf_counter() - started, failed)
