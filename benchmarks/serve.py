"""How close the service comes to a bare gRPC call: Recommend against an echo of the same messages, in one run.

Both servers are processes of their own (one worker, grpc.aio on uvloop), asked in alternating rounds by the same load
generator (`benchmarks.load`), and every ratio is the median over rounds. 100 candidates of the catalogue, 10 items
back, every decision logged; users come in Zipf's proportions (`benchmarks.traffic`). Generator, store and server share
the machine's cores: the echo has the same handicap, but for the store.
"""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.load import Call, Load, at_rate, closed
from benchmarks.processes import Service, server, service
from benchmarks.report import Claim, write
from benchmarks.traffic import Traffic
from meta.checkpoint import load

IN_FLIGHT = 64
"""Calls under way where throughput is compared."""
OTHERS = (1, 8, 256)
SHARES = (0.25, 0.5, 0.75)
"""Fixed rates, as shares of the largest one with warm users."""
STARTS = 3
STAGES = {
    "wait for company": "quickstudy_queue_seconds",
    "read of the store": 'quickstudy_store_seconds{operation="read"}',
    "compute and reply": "quickstudy_rank_seconds",
    "of that adaptation": "quickstudy_adaptation_seconds",
    "write behind the reply": 'quickstudy_store_seconds{operation="save"}',
}
Loads = dict[tuple[str, str], list[Load]]
"""Rounds by how much was asked and of whom."""


def run(policy_dir: Path, out: Path, *, rounds: int = 7, seconds: float = 2.0) -> dict[str, Any]:
    """Measures, writes `out` (JSON) and returns what it wrote.

    Args:
        policy_dir: the policy to serve.
        out: file for the result.
        rounds: alternating rounds of the loads that are judged; the others get half as many.
        seconds: length of one load.
    """
    items = load(policy_dir).catalogue.ids
    starts = [_start(policy_dir) for _ in range(STARTS)]
    with server(["-m", "benchmarks.echo"]) as echo, service(policy_dir) as served:
        bench = _Bench(echo.address, echo.pid, served, seconds)
        traffic = Traffic(served.address, items, np.random.default_rng(0))
        traffic.prepare()
        stages = bench.throughput(traffic, rounds)
        for in_flight in OTHERS:
            for _ in range((rounds + 1) // 2):
                bench.both(f"{in_flight} in flight", "warm", traffic.warm, in_flight)
        most = statistics.median(load.per_s for load in bench.loads[f"{IN_FLIGHT} in flight", "warm"])
        for share in SHARES:
            for _ in range(rounds if share == 0.5 else (rounds + 1) // 2):
                bench.at_rate(f"{share:.0%} of the largest rate", share * most, traffic.warm)
        bench.alone(traffic, rounds)
        page = served.samples()
    rows = [bench.row(*which) for which in bench.loads]
    rows += [{"row": f"stage, {name}", **figures} for name, figures in stages.items()]
    resident = page["process_resident_memory_bytes"] / 2**20
    rows += [{"row": "start to SERVING, s", "rounds": starts}, {"row": "resident memory, MB", "value": resident}]
    loads = bench.loads
    full, half = f"{IN_FLIGHT} in flight", "50% of the largest rate"
    claims = [
        Claim("throughput of Recommend over echo, warm users", _ratio(loads, full, "warm", _rate), ">=", 0.65),
        Claim("throughput of Recommend over echo, just clicked", _ratio(loads, full, "clicked", _rate), ">=", 0.5),
        Claim("p99 over echo's at half of the largest rate", _ratio(loads, half, "warm", _p99), "<=", 3.0),
        Claim("p50 ms, 100 candidates, cached copy", bench.median("1 in flight", "warm", _p50), "<", 2.0),
        Claim("p50 ms, 100 candidates, just clicked", bench.median("1 in flight", "clicked", _p50), "<", 2.0),
        Claim("p50 ms, whole catalogue", bench.median("1 in flight", "whole catalogue", _p50), "<", 5.0),
        Claim("seconds from start to SERVING", statistics.median(starts), "<=", 2.0),
        Claim("resident MB of a worker", resident, "<=", 200.0),
        Claim("calls that failed", float(sum(load.failed for some in loads.values() for load in some)), "==", 0.0),
        Claim("decisions that could not be logged", _total(page, "quickstudy_background_lost_total"), "==", 0.0),
    ]
    return write(
        out,
        command="quickstudy bench serve --policy POLICY",
        rows=rows,
        claims=claims,
        catalogue=len(items),
        cores=os.cpu_count(),
    )


class _Bench:
    """Loads both servers in turn and keeps what came of it."""

    def __init__(self, echo: str, echo_pid: int, served: Service, seconds: float) -> None:
        self._echo, self._served, self._seconds = echo, served, seconds
        self._pids = {echo: echo_pid, served.address: served.pid}
        self._rng = np.random.default_rng(1)
        self.loads: Loads = defaultdict(list)
        self._cpu: dict[tuple[str, str], list[float]] = defaultdict(list)

    def throughput(self, traffic: Traffic, rounds: int) -> dict[str, dict[str, float]]:
        """Every kind of users with the usual number of calls under way; time by stage with the warm ones."""
        full = f"{IN_FLIGHT} in flight"
        before: dict[str, float] = defaultdict(float)
        spent: dict[str, float] = defaultdict(float)
        for _ in range(rounds):
            self.one(full, "echo", self._echo, traffic.warm(), IN_FLIGHT)
            before = self._served.samples()
            self.one(full, "warm", self._served.address, traffic.warm(), IN_FLIGHT)
            for name, value in self._served.samples().items():
                spent[name] += value - before.get(name, 0.0)
            self.one(full, "clicked", self._served.address, traffic.clicked(), IN_FLIGHT)
            self.one(full, "cold", self._served.address, traffic.cold(), IN_FLIGHT)
            mix = list(traffic.mix())
            self.one(full, "mix, echo", self._echo, iter(mix), IN_FLIGHT)
            self.one(full, "mix", self._served.address, iter(mix), IN_FLIGHT)
        return _stages(spent)

    def both(self, how: str, kind: str, calls: Callable[[], Iterator[Call]], in_flight: int) -> None:
        """A round of echo and service."""
        self.one(how, "echo", self._echo, calls(), in_flight)
        self.one(how, kind, self._served.address, calls(), in_flight)

    def alone(self, traffic: Traffic, rounds: int) -> None:
        """Further kinds, one call at a time."""
        for _ in range((rounds + 1) // 2):
            self.one("1 in flight", "clicked", self._served.address, traffic.clicked(), 1)
            self.one("1 in flight", "whole catalogue", self._served.address, traffic.whole(), 1)

    def one(self, how: str, kind: str, address: str, calls: Iterator[Call], in_flight: int) -> None:
        """One load with so many calls under way."""
        self._keep(how, kind, address, lambda: closed(address, calls, in_flight=in_flight, seconds=self._seconds))

    def at_rate(self, how: str, per_s: float, calls: Callable[[], Iterator[Call]]) -> None:
        """A round of echo and service at the same rate, twice as long, for the tail's sake."""
        for kind, address in (("echo", self._echo), ("warm", self._served.address)):
            self._keep(
                how,
                kind,
                address,
                lambda address=address: at_rate(  # type: ignore[misc] # bound early, on purpose
                    address, calls(), per_s=per_s, seconds=2 * self._seconds, rng=self._rng
                ),
            )

    def median(self, how: str, kind: str, figure: Callable[[Load], float]) -> float:
        """Of a figure over rounds."""
        return statistics.median(map(figure, self.loads[how, kind]))

    def row(self, how: str, kind: str) -> dict[str, Any]:
        """What is printed of one kind of load."""
        loads = self.loads[how, kind]
        figures = {"per_s": _rate, "p50_ms": _p50, "p99_ms": _p99, "p999_ms": lambda load: load.ms(0.999)}
        row: dict[str, Any] = {"row": f"{how}, {kind}"}
        row |= {name: round(statistics.median(map(of, loads)), 3) for name, of in figures.items()}
        if "echo" not in kind:
            row["over_echo"] = round(_ratio(self.loads, how, kind, _rate), 3)
            row["p99_over_echo"] = round(_ratio(self.loads, how, kind, _p99), 2)
        if cpu := self._cpu[how, kind]:
            row["server_cpu_us"] = round(1e6 * statistics.median(cpu))
        row["generator_cpu_us"] = round(1e6 * statistics.median(load.cpu_s for load in loads))
        return row | {"rounds": [round(load.per_s) for load in loads]}

    def _keep(self, how: str, kind: str, address: str, load: Callable[[], Load]) -> None:
        before, started = _cpu_s(self._pids[address]), perf_counter()
        done = load()
        if before is not None and (after := _cpu_s(self._pids[address])) is not None:
            self._cpu[how, kind].append((after - before) / (done.per_s * (perf_counter() - started)))
        self.loads[how, kind].append(done)


def _ratio(loads: Loads, how: str, kind: str, figure: Callable[[Load], float]) -> float:
    """The median over rounds of a figure over the echo's; of medians where the echo has not as many rounds."""
    echo = loads.get((how, f"{kind}, echo")) or loads[how, "echo"]
    own = loads[how, kind]
    if len(echo) != len(own):
        return statistics.median(map(figure, own)) / statistics.median(map(figure, echo))
    return statistics.median(figure(b) / figure(a) for a, b in zip(echo, own, strict=True))


def _rate(load: Load) -> float:
    return load.per_s


def _p50(load: Load) -> float:
    return load.ms(0.5)


def _p99(load: Load) -> float:
    return load.ms(0.99)


def _start(policy_dir: Path) -> float:
    """Seconds until a new service is SERVING."""
    started = perf_counter()
    with service(policy_dir):
        return perf_counter() - started


def _stages(spent: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Mean milliseconds of a batch in each stage, and the microseconds of it that fall to one call."""
    calls, batches = spent["quickstudy_batch_users_sum"], spent["quickstudy_batch_users_count"]
    found: dict[str, dict[str, float]] = {"batch": {"mean_users": round(calls / batches, 1)}}
    for stage, name in STAGES.items():
        metric, _, labels = name.partition("{")
        total, times = (spent[f"{metric}_{part}{'{' + labels if labels else ''}"] for part in ("sum", "count"))
        if times:
            found[stage] = {"mean_ms": round(1e3 * total / times, 3), "us_a_call": round(1e6 * total / calls, 1)}
    return found


def _cpu_s(pid: int) -> float | None:
    """Seconds of a core that a process has taken; None where the kernel does not tell (it is not Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _total(samples: Mapping[str, float], name: str) -> float:
    return sum(value for sample, value in samples.items() if sample.startswith(name))
