"""How close the service comes to a bare gRPC call: Recommend against an echo of the same messages, in one run.

Both servers are processes of their own (one worker, grpc.aio on uvloop), asked in alternating rounds by the same load
generator: h2load where present, else a grpc.aio client process. 64 calls are in flight, of 8 (h2load) or 64 users with
20 events and a cached copy each, 100 candidates, 10 items back, every decision logged. Latency in the server is what
its own histogram says with one call in flight.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.echo import EVENTS, METHOD
from benchmarks.processes import ROOT, server, service
from benchmarks.report import Claim, write
from meta.checkpoint import load
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.client.habits import PLAIN

IN_FLIGHT = 64
PROCESSES = 8
CANDIDATES = 100


def run(policy_dir: Path, out: Path, *, rounds: int = 5, seconds: float = 3.0, calls: int = 1_000) -> dict[str, Any]:
    """Measures, writes `out` (JSON) and returns what it wrote.

    Args:
        policy_dir: the policy to serve.
        out: file for the result.
        rounds: alternating rounds of throughput; the median counts.
        seconds: length of one round.
        calls: calls of each latency row.
    """
    items = load(policy_dir).catalogue.ids
    with (
        tempfile.TemporaryDirectory() as scratch,
        server(["-m", "benchmarks.echo", "serve"]) as echo,
        service(policy_dir) as served,
    ):
        address, page = served.address, served.metrics
        requests = _requests(items, PROCESSES if shutil.which("h2load") else IN_FLIGHT)
        asyncio.run(_warm(address, requests, items))
        rates: dict[str, list[float]] = {"echo": [], "recommend": []}
        for _ in range(rounds):
            for name, target in (("echo", echo), ("recommend", address)):
                rates[name].append(_throughput(target, requests, seconds, Path(scratch)))
        batch = _mean(page, "quickstudy_batch_users")
        latencies = asyncio.run(_latencies(address, page, requests, items, calls))
        errors, lost = _total(page, "quickstudy_errors_total"), _total(page, "quickstudy_background_lost_total")
    assert errors == 0, f"{errors:.0f} calls failed"
    rate = {name: statistics.median(values) for name, values in rates.items()}
    ratio = statistics.median(b / a for a, b in zip(rates["echo"], rates["recommend"], strict=True))
    rows: list[dict[str, Any]] = [
        {"row": f"throughput, {name}", "per_s": rate[name], "rounds": rates[name]} for name in rates
    ]
    rows += [{"row": "mean batch under load", "users": batch}]
    rows += [{"row": f"latency in the server, {name}", **figures} for name, figures in latencies.items()]
    claims = [
        Claim("throughput of Recommend over echo", ratio, ">=", 0.4),
        Claim("p50 ms, 100 candidates, cached copy", latencies["100 candidates, cached copy"]["p50_ms"], "<", 2.0),
        Claim("p50 ms, 100 candidates, just clicked", latencies["100 candidates, just clicked"]["p50_ms"], "<", 2.0),
        Claim("p50 ms, whole catalogue", latencies["whole catalogue"]["p50_ms"], "<", 5.0),
        Claim("decisions that could not be logged", lost, "<", 1.0),
    ]
    return write(
        out,
        command="quickstudy bench serve --policy POLICY",
        rows=rows,
        claims=claims,
        load="h2load" if shutil.which("h2load") else "grpc.aio client",
        catalogue=len(items),
    )


def _requests(items: Sequence[str], users: int) -> list[pb.RecommendRequest]:
    rng = np.random.default_rng(0)
    n = min(CANDIDATES, len(items))
    drawn = [rng.choice(len(items), n, replace=False) for _ in range(users)]
    return [
        pb.RecommendRequest(user_id=f"user-{u}", candidate_ids=[items[row] for row in rows])
        for u, rows in enumerate(drawn)
    ]


async def _warm(address: str, requests: Sequence[pb.RecommendRequest], items: Sequence[str]) -> None:
    """Gives every user a history and a cached copy."""
    rng = np.random.default_rng(1)
    async with Client(address, habits=PLAIN) as client:
        for request in requests:
            await client.record(_clicks(request.user_id, "warm", EVENTS, items, rng))
            await client.recommend(request.user_id, request.candidate_ids)
    await asyncio.sleep(0.2)


def _clicks(user: str, name: str, n: int, items: Sequence[str], rng: np.random.Generator) -> list[pb.Event]:
    rows, rewards = rng.integers(len(items), size=n), rng.integers(2, size=n)
    return [
        pb.Event(event_id=f"{name}-{i}", user_id=user, item_id=items[row], reward=float(reward))
        for i, (row, reward) in enumerate(zip(rows, rewards, strict=True))
    ]


async def _latencies(
    address: str, page: str, requests: Sequence[pb.RecommendRequest], items: Sequence[str], calls: int
) -> dict[str, dict[str, float]]:
    """Percentiles of the server's own histogram, one call in flight."""
    rng = np.random.default_rng(2)
    out = {}
    async with Client(address, habits=PLAIN) as client:
        for name in ("100 candidates, cached copy", "100 candidates, just clicked", "whole catalogue"):
            before, cpu = _buckets(page), _samples(page)["process_cpu_seconds_total"]
            for i in range(calls):
                request = requests[i % len(requests)]
                if name == "100 candidates, just clicked":
                    await client.record(_clicks(request.user_id, f"{name}-{i}", 1, items, rng))
                await client.recommend(request.user_id, () if name == "whole catalogue" else request.candidate_ids)
            counts = {edge: n - before.get(edge, 0.0) for edge, n in _buckets(page).items()}
            cpu = _samples(page)["process_cpu_seconds_total"] - cpu
            out[name] = {
                "p50_ms": _quantile(counts, 0.5),
                "p99_ms": _quantile(counts, 0.99),
                "cpu_ms_per_call": 1e3 * cpu / calls,
            }
    return out


def _buckets(page: str) -> dict[float, float]:
    found = {}
    for name, value in _samples(page).items():
        if match := re.fullmatch(r'quickstudy_request_seconds_bucket\{le="(.+)",method="Recommend"\}', name):
            found[float(match[1])] = value
    return found


def _quantile(counts: dict[float, float], q: float) -> float:
    """A quantile in milliseconds of cumulative bucket counts, linear inside a bucket."""
    wanted, low, below = q * max(counts.values()), 0.0, 0.0
    for edge, count in sorted(counts.items()):
        if count >= wanted:
            return 1e3 * (low + (min(edge, 10.0) - low) * (wanted - below) / max(count - below, 1.0))
        low, below = edge, count
    return float("inf")


def _total(page: str, name: str) -> float:
    return sum(value for sample, value in _samples(page).items() if sample.startswith(name))


def _mean(page: str, name: str) -> float:
    samples = _samples(page)
    return samples[f"{name}_sum"] / samples[f"{name}_count"]


def _samples(page: str) -> dict[str, float]:
    with urllib.request.urlopen(page, timeout=5) as answer:  # noqa: S310 # our own server
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (x.rpartition(" ") for x in lines if not x.startswith("#"))}


def _throughput(address: str, requests: Sequence[pb.RecommendRequest], seconds: float, scratch: Path) -> float:
    """Calls a second with 64 in flight."""
    bodies = []
    for i, request in enumerate(requests):
        message = request.SerializeToString()
        bodies.append(scratch / f"request-{i}")
        bodies[-1].write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    if not shutil.which("h2load"):
        command = [sys.executable, "-m", "benchmarks.echo", "client", str(address), str(seconds), *map(str, bodies)]
        return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    loads = [
        subprocess.Popen(
            [
                *("h2load", "-t1", "-c1", f"-m{IN_FLIGHT // len(bodies)}", f"-D{seconds:g}", "--warm-up-time=1"),
                *("-d", str(body), "-H", "te: trailers", "-H", "content-type: application/grpc"),
                f"http://{address}{METHOD}",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for body in bodies
    ]
    texts = [process.communicate()[0] for process in loads]
    found = [re.search(r"finished in .*?, ([\d.]+) req/s", text) for text in texts]
    assert all(found), texts[0]
    return sum(float(match[1]) for match in found if match)
