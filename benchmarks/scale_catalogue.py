"""What ranking a whole catalogue costs by its size: `Policy.rank` alone, and `Recommend` of the real service.

Parameters and features are drawn, not learnt: what is timed does not depend on their values. There are two kinds of
policies, as `quickstudy train` makes them by default. From a log: items are judged alone, by 48 floats of their own,
and popularity follows time. From a simulated world: users choose among a slate, whose best one is sought; items are
known by their features, with 16 floats.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np

from benchmarks.load import Call, Load, closed
from benchmarks.processes import Service, service
from benchmarks.traffic import RECOMMEND, RECORD
from meta import eras, q_network
from meta.catalogue import Catalogue
from meta.checkpoint import Checkpoint, Manifest, save
from meta.policy import Policy
from meta.spec import Spec
from meta.types import Events, FloatArray
from protos.quickstudy.v1 import recommender_pb2 as pb

FEATURES, EVENTS, USERS, ROUNDS = 8, 50, 32, 5
"""Numbers that an item is known by, events of a user, users who ask in turn, and rounds of calls."""
TEMPERATURE = 0.5
KINDS: dict[str, dict[str, Any]] = {
    "from a log": {"width": 48, "hidden": 16, "item_ids": True, "slate": "independent", "eras": 2},
    "from a world": {"width": 16, "hidden": 16, "slate": "logit"},
}
MODES = {"best": pb.MODE_GREEDY, "draw": pb.MODE_EXPLORE}
"""The best slate, and a draw with its propensities."""


def checkpoint(kind: str, items: int, history: int = 64) -> Checkpoint:
    """A policy of one of the `KINDS` for so many items that reads so many events."""
    rng = np.random.default_rng(0)
    spec = Spec(items=items, features=FEATURES, history=history, **KINDS[kind])
    params = q_network.init(spec, rng)
    if spec.eras:
        liked, at = rng.integers(0, items, 100_000), 1_700_000_000_000 + 10_000 * np.arange(100_000)
        params |= eras.init(spec) | eras.fit(liked, at, items, spec.eras)
    features = rng.standard_normal((items, FEATURES)).astype(np.float32)
    catalogue = Catalogue.from_features([f"i{n}" for n in range(items)], features, [f"f{n}" for n in range(FEATURES)])
    return Checkpoint(Manifest(spec, temperature=TEMPERATURE), params, catalogue, "0")


def measure(
    sizes: Sequence[int], rounds: int, seconds: float, tell: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Rows of every size and kind: of `Policy.rank`, one user at a time, and of `Recommend`, one call at a time.

    Args:
        sizes: items.
        rounds: rankings in process.
        seconds: of calls to the service.
        tell: is told of each policy that is done.
    """
    rows = []
    for items in sizes:
        for kind in KINDS:
            made = checkpoint(kind, items)
            rows += in_process(Policy(made), kind, rounds)
            with tempfile.TemporaryDirectory() as scratch:
                save(Path(scratch) / "policy", made.manifest, made.params, made.catalogue)
                del made
                rows += served(Path(scratch) / "policy", kind, items, seconds)
            tell(f"{items:,} items {kind}: p50 ms {', '.join(str(row['p50_ms']) for row in rows[-4:])}")
    return rows


def in_process(policy: Policy, kind: str, rounds: int) -> list[dict[str, Any]]:
    """Rows of `Policy.rank`."""
    rows = []
    for mode in MODES:
        took = _times(policy, TEMPERATURE if mode == "draw" else 0.0, rounds)
        p50, p99, cpu = [round(1e3 * float(x), 3) for x in (*np.quantile(took[0], (0.5, 0.99)), np.median(took[1]))]
        name = f"{kind}, {mode}, in process"
        rows.append({"catalogue": name, "items": len(policy.items), "p50_ms": p50, "p99_ms": p99, "cpu_ms": cpu})
    return rows


def served(policy: Path, kind: str, items: int, seconds: float) -> list[dict[str, Any]]:
    """Rows of `Recommend` over gRPC, copies ready, of users who have seen `EVENTS` items; medians of rounds."""
    started = perf_counter()
    with service(policy) as server:
        about: dict[str, Any] = {"start_s": round(perf_counter() - started, 1)}
        known = closed(server.address, _clicks(items), in_flight=1, seconds=60.0, warm_up_s=0.0)
        rounds: dict[str, list[tuple[Load, float]]] = {mode: [] for mode in MODES}
        for _ in range(ROUNDS):
            for mode, loads in rounds.items():
                loads.append(_round(server, MODES[mode], seconds / ROUNDS))
        about["resident_MB"] = round(server.samples()["process_resident_memory_bytes"] / 2**20)
    rows = []
    for mode, loads in rounds.items():
        figures = np.array([(load.ms(0.5), load.ms(0.99), 1e3 * cpu_s / load.calls) for load, cpu_s in loads])
        p50, p99, cpu = np.median(figures, 0).round(3).tolist()
        row = {"catalogue": f"{kind}, {mode}, over gRPC", "items": items, "p50_ms": p50, "p99_ms": p99, "cpu_ms": cpu}
        rows.append({**row, **about, "failed": known.failed + sum(load.failed for load, _ in loads)})
    return rows


def _round(server: Service, mode: pb.Mode, seconds: float) -> tuple[Load, float]:
    """Calls of one mode, and the seconds of a core that the service took for them."""
    bodies = [pb.RecommendRequest(user_id=f"u{n}", mode=mode).SerializeToString() for n in range(USERS)]
    before = server.samples()["process_cpu_seconds_total"]
    calls = cycle([Call(RECOMMEND, body) for body in bodies])
    load = closed(server.address, calls, in_flight=1, seconds=seconds, warm_up_s=0.1)
    return load, server.samples()["process_cpu_seconds_total"] - before


def _clicks(items: int) -> Iterator[Call]:
    """Calls that give every user a history."""
    rng = np.random.default_rng(2)
    for user in range(USERS):
        seen = rng.integers(items, size=EVENTS).tolist()
        events = [
            pb.Event(event_id=f"{user}-{n}", user_id=f"u{user}", item_id=f"i{row}", reward=n % 2)
            for n, row in enumerate(seen)
        ]
        yield Call(RECORD, pb.RecordEventsRequest(events=events).SerializeToString())


def _times(policy: Policy, temperature: float, rounds: int) -> FloatArray:
    """Seconds of each ranking [2, rounds], by the clock and of the processor, after two that do not count."""
    rng = np.random.default_rng(1)
    now = 1_700_000_000_000 + 60_000 * np.arange(EVENTS)[None]
    reward = (rng.random((1, EVENTS)) < 0.5).astype(np.float32)
    rows, known = rng.integers(0, len(policy.items), (1, EVENTS)), np.ones((1, EVENTS), bool)
    events = Events(rows, reward, np.arange(EVENTS)[None], known, np.array([EVENTS]), now)
    copy = policy.adapt(events).copy
    popular: FloatArray | None = None  # served policies read what is popular now, every few seconds anew
    if policy.half_lives_ms:
        popular = policy.popularity(np.zeros((len(policy.half_lives_ms), len(policy.items))), int(now.max()))
    times = np.empty((2, rounds + 2))
    for n in range(rounds + 2):
        started = perf_counter(), process_time()
        policy.rank(
            copy, events, None, slate_size=np.array([10]), temperature=np.array([temperature], np.float32),
            seed=np.array([n], np.uint64), excluded=events.item, popularity=popular,
        )  # fmt: skip
        times[:, n] = perf_counter() - started[0], process_time() - started[1]
    return times[:, 2:]
