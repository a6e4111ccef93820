"""Two workers on one port beside one: throughput and CPU a call, and what is noticed of a worker that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import Call, closed
from benchmarks.processes import service
from benchmarks.report import Claim, write
from meta.checkpoint import load
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.client.habits import PLAIN, SERVICE
from tests.faults.traffic import kept
from tests.faults.workers import APART_S, failed, follow, under_load
from tests.service.support import make_policy

WORKERS = (1, 2)
USERS, IN_FLIGHT, CONNECTIONS = 64, 128, 32
"""Users, calls under way, and connections: so many that the kernel deals them out about evenly."""
CANDIDATES, EVENTS = 100, 20
CORES = 4
"""Two workers, the store and the load generator need a core each, or they slow each other down."""
SPEEDUP = "throughput of two workers over one"


def run(policy: Path, out: Path, *, rounds: int = 5, seconds: float = 3.0, kills: int = 6) -> dict[str, Any]:
    """Measures, writes `out` (JSON) and returns what it wrote.

    Args:
        policy: the policy to serve.
        out: file for the result.
        rounds: alternating rounds of load; the median of their ratios counts.
        seconds: length of one round.
        kills: workers killed under traffic.
    """
    rates, cpu_ms = _loads(policy, rounds, seconds)
    killed = asyncio.run(_killed(kills))
    cores = len(os.sched_getaffinity(0))
    speedup = statistics.median(two / one for one, two in zip(rates[1], rates[2], strict=True))
    dearer = statistics.median(two / one for one, two in zip(cpu_ms[1], cpu_ms[2], strict=True))
    rows: list[dict[str, Any]] = [
        {
            "row": f"{n} under load",
            "per_s": statistics.median(rates[n]),
            "cpu_ms_per_call": statistics.median(cpu_ms[n]),
            "rounds": rates[n],
        }
        for n in WORKERS
    ]
    why = f"{cores} cores are shared by two workers, the store and the load; it takes {CORES}. Seen here: {speedup:.2f}"
    return write(
        out,
        command="quickstudy bench workers --policy POLICY",
        rows=[*rows, {"row": f"one of 2 killed, {kills} times", **killed}],
        claims=[
            Claim(SPEEDUP, speedup if cores >= CORES else None, ">=", 1.6),
            Claim("CPU of a call of two workers over one", dearer, "<=", 1.25),
            Claim("a worker killed: share of Recommend answered", killed["answered"], ">=", 0.999),
            Claim(
                "a worker killed: acknowledged events lost or there twice", killed["lost"] + killed["twice"], "==", 0
            ),
            Claim("a worker killed: seconds until the next one serves, most", killed["back_s"], "<", 2.0),
        ],
        missing=[] if cores >= CORES else [{"what": SPEEDUP, "why": why}],
        cores=cores,
    )


def _loads(policy: Path, rounds: int, seconds: float) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Calls a second, and CPU milliseconds of a call in the service, of each round by number of workers."""
    items = load(policy).catalogue.ids
    rng = np.random.default_rng(0)
    requests = [
        pb.RecommendRequest(user_id=f"user-{u}", candidate_ids=[items[row] for row in drawn])
        for u, drawn in enumerate(rng.integers(len(items), size=(USERS, CANDIDATES)))
    ]
    calls = [Call(f"/{SERVICE}/Recommend", request.SerializeToString()) for request in requests]
    rates: dict[int, list[float]] = {n: [] for n in WORKERS}
    cpu_ms: dict[int, list[float]] = {n: [] for n in WORKERS}
    with ExitStack() as stack:
        running = {n: stack.enter_context(service(policy, "--workers", str(n))) for n in WORKERS}
        for each in running.values():
            asyncio.run(_warm(each.address, requests, items))
        for _ in range(rounds):
            for n, each in running.items():
                before = each.samples()
                told = closed(each.address, cycle(calls), in_flight=IN_FLIGHT, seconds=seconds, connections=CONNECTIONS)
                assert told.failed == 0, f"{told.failed} calls failed"
                rates[n].append(told.per_s)
                after = each.samples()
                cpu_ms[n].append(1e3 * (_cpu(after) - _cpu(before)) / (_calls(after) - _calls(before)))
    return rates, cpu_ms


async def _warm(address: str, requests: Sequence[pb.RecommendRequest], items: Sequence[str]) -> None:
    """Gives every user a history and a copy."""
    async with Client(address, habits=PLAIN) as client:
        for request in requests:
            user = request.user_id
            events = [pb.Event(event_id=f"{n}", user_id=user, item_id=items[n], reward=1.0) for n in range(EVENTS)]
            await client.record(events)
            await client.recommend(user, request.candidate_ids)
    await asyncio.sleep(0.2)  # copies are written behind the replies


async def _killed(kills: int) -> dict[str, Any]:
    """What becomes of calls and events while now this, now that one of two workers is killed under traffic."""
    with tempfile.TemporaryDirectory() as scratch:
        policy = make_policy(Path(scratch) / "policy")  # of the items that the traffic asks for
        async with under_load(policy, Path(scratch) / "data") as (server, traffic):
            back = []
            for n in range(kills):
                back.append(await follow(server, n % 2, signal.SIGKILL, traffic))
                await asyncio.sleep(APART_S)
            await traffic.stop()
            events = await kept(traffic.client, traffic.acknowledged)
        assert await asyncio.to_thread(server.stop) == 0
    return {
        "asked": len(traffic.replies),
        "answered": 1 - len(failed(traffic)) / len(traffic.replies),
        "acknowledged": events.acknowledged,
        "lost": events.lost,
        "twice": events.twice,
        "back_s": max(back),
    }


def _cpu(samples: Mapping[str, float]) -> float:
    """CPU seconds of all processes of a service."""
    return sum(value for name, value in samples.items() if name.startswith("process_cpu_seconds_total"))


def _calls(samples: Mapping[str, float]) -> float:
    return samples['quickstudy_request_seconds_count{method="Recommend"}']
