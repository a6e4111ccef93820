"""How close the service comes to a bare gRPC call: Recommend against an echo of the same messages, in one run.

Both servers are processes of their own (one worker, grpc.aio on uvloop), asked in alternating rounds by the same load
generator: h2load where present, else a grpc.aio client process. 64 calls are in flight, of 8 (h2load) or 64 users with
20 events and a cached copy each, 100 candidates, 10 items back, every decision logged. Latency in the server is what
its own histogram says with one call in flight.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from meta.checkpoint import load
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client

ROOT = Path(__file__).parents[1]
METHOD = "/quickstudy.v1.Recommender/Recommend"
IN_FLIGHT = 64
PROCESSES = 8
EVENTS = 20
CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure with the bound it must keep."""

    name: str
    value: float
    op: str
    bound: float
    holds: bool


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
    with tempfile.TemporaryDirectory() as scratch, _echo() as echo, _service(policy_dir, Path(scratch)) as (port, page):
        requests = _requests(items, PROCESSES if shutil.which("h2load") else IN_FLIGHT)
        asyncio.run(_warm(port, requests, items))
        rates: dict[str, list[float]] = {"echo": [], "recommend": []}
        for _ in range(rounds):
            for name, target in (("echo", echo), ("recommend", port)):
                rates[name].append(_throughput(target, requests, seconds, Path(scratch)))
        batch = _mean(page, "quickstudy_batch_users")
        latencies = asyncio.run(_latencies(port, page, requests, items, calls))
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
        _claim("throughput of Recommend over echo", ratio, ">=", 0.4),
        _claim("p50 ms, 100 candidates, just clicked", latencies["100 candidates, just clicked"]["p50_ms"], "<", 2.0),
        _claim("p50 ms, whole catalogue", latencies["whole catalogue"]["p50_ms"], "<", 5.0),
        _claim("decisions that could not be logged", lost, "<", 1.0),
    ]
    result = {
        "benchmark": "serve",
        "command": "quickstudy bench serve --policy POLICY",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": "h2load" if shutil.which("h2load") else "grpc.aio client",
        "catalogue": len(items),
        "rows": rows,
        "claims": [asdict(claim) for claim in claims],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    return result


def _claim(name: str, value: float, op: str, bound: float) -> Claim:
    return Claim(name, value, op, bound, value >= bound if op == ">=" else value < bound)


def _requests(items: Sequence[str], users: int) -> list[pb.RecommendRequest]:
    rng = np.random.default_rng(0)
    n = min(CANDIDATES, len(items))
    drawn = [rng.choice(len(items), n, replace=False) for _ in range(users)]
    return [
        pb.RecommendRequest(user_id=f"user-{u}", candidate_ids=[items[row] for row in rows])
        for u, rows in enumerate(drawn)
    ]


async def _warm(port: int, requests: Sequence[pb.RecommendRequest], items: Sequence[str]) -> None:
    """Gives every user a history and a cached copy."""
    rng = np.random.default_rng(1)
    async with Client(f"127.0.0.1:{port}") as client:
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
    port: int, page: str, requests: Sequence[pb.RecommendRequest], items: Sequence[str], calls: int
) -> dict[str, dict[str, float]]:
    """Percentiles of the server's own histogram, one call in flight."""
    rng = np.random.default_rng(2)
    out = {}
    async with Client(f"127.0.0.1:{port}") as client:
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


def _throughput(port: int, requests: Sequence[pb.RecommendRequest], seconds: float, scratch: Path) -> float:
    """Calls a second with 64 in flight."""
    bodies = []
    for i, request in enumerate(requests):
        message = request.SerializeToString()
        bodies.append(scratch / f"request-{i}")
        bodies[-1].write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    if not shutil.which("h2load"):
        command = [sys.executable, "-m", "benchmarks.serve", "client", str(port), str(seconds), *map(str, bodies)]
        return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    loads = [
        subprocess.Popen(
            [
                *("h2load", "-t1", "-c1", f"-m{IN_FLIGHT // len(bodies)}", f"-D{seconds:g}", "--warm-up-time=1"),
                *("-d", str(body), "-H", "te: trailers", "-H", "content-type: application/grpc"),
                f"http://127.0.0.1:{port}{METHOD}",
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


@contextmanager
def _service(policy_dir: Path, scratch: Path) -> Iterator[tuple[int, str]]:
    """The real server; its gRPC port and its metrics page."""
    command = ["-m", "quickstudy", "serve", "--policy", str(policy_dir), "--data-dir", str(scratch / "data")]
    log = scratch / "server.log"
    with log.open("w") as stderr, _process([*command, "--port", "0", "--metrics-port", "0"], stderr) as port:
        found = re.search(r"metrics on (\S+)", log.read_text())
        assert found, log.read_text()
        yield port, found[1]


@contextmanager
def _echo() -> Iterator[int]:
    with _process(["-m", "benchmarks.serve", "echo"], None) as port:
        yield port


@contextmanager
def _process(arguments: list[str], stderr: Any) -> Iterator[int]:
    """A Python process that prints `serving on HOST:PORT`; stopped in the end."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        assert line.startswith("serving on "), f"{arguments} did not start"
        yield int(line.rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(30)


async def _serve_echo() -> None:
    """Parses the request and answers ten items, nothing else."""
    items = [pb.RankedItem(item_id=f"item-{i}", score=0.5, q_value=0.5, propensity=0.5) for i in range(10)]
    adaptation = pb.Adaptation(policy_version="0" * 16, adapter="echo", source=pb.SOURCE_ADAPTED, events_used=EVENTS)

    async def echo(request: pb.RecommendRequest, context: Any) -> pb.RecommendResponse:
        return pb.RecommendResponse(decision_id=request.user_id, items=items, adaptation=adaptation)

    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=pb.RecommendRequest.FromString,
        response_serializer=pb.RecommendResponse.SerializeToString,
    )
    server = grpc.aio.server()
    service, method = METHOD[1:].split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


async def _load(port: int, seconds: float, bodies: Sequence[bytes]) -> float:
    """Calls a second of a grpc.aio client with one caller a body."""
    done = 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(METHOD, None, None)

        async def caller(body: bytes, until: float) -> None:
            nonlocal done
            while time.perf_counter() < until:
                await call(body)
                done += 1

        await asyncio.gather(*(caller(body, time.perf_counter() + 1.0) for body in bodies))
        done, started = 0, time.perf_counter()
        await asyncio.gather(*(caller(body, started + seconds) for body in bodies))
        return done / (time.perf_counter() - started)


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _main(arguments: list[str]) -> None:
    """The processes that `run` starts: `echo`, or `client PORT SECONDS BODY...`."""
    import uvloop

    if arguments[0] == "echo":
        uvloop.run(_serve_echo())
    else:
        bodies = [Path(name).read_bytes()[5:] for name in arguments[3:]]
        print(uvloop.run(_load(int(arguments[1]), float(arguments[2]), bodies)))


if __name__ == "__main__":
    _main(sys.argv[1:])
