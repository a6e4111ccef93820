"""What one user costs, by the length of their history and by how many others there are: a real store, a real service.

One Valkey with the service's own settings (append-only file on, `everysec`) is filled step by step; the service on it
has one worker and a policy as training from a log makes it, for 10,000 items. Calls come one at a time, each for
another user, with 100 candidates; then 64 at a time, for how many a worker answers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.load import Call, Load, closed
from benchmarks.processes import Service, service
from benchmarks.scale_catalogue import checkpoint
from benchmarks.stored_users import StoredUsers
from benchmarks.traffic import CANDIDATES, RECOMMEND, RECORD
from meta.checkpoint import save
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.store.embedded import EmbeddedStore

ITEMS, EVENTS = 10_000, 50
LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Events of a history."""
ASKED, SAMPLED, IN_FLIGHT = 400, 1_000, 64
"""Users who are asked for one after the other, users whose bytes are looked up, and calls at a time."""


def measure(
    users: Sequence[int], seconds: float, tell: Callable[[str], None] = print
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows by events, and rows by users.

    Args:
        users: how many there are, ascending.
        seconds: of calls at a time.
        tell: is told of each number of users that is done.
    """
    with tempfile.TemporaryDirectory() as scratch:
        made = checkpoint("from a log", ITEMS, max(LENGTHS))
        folder, hashes = Path(scratch) / "policy", made.catalogue.hashes
        save(folder, made.manifest, made.params, made.catalogue)
        store = EmbeddedStore(Path(scratch) / "store")
        store.start()
        try:
            crowd = StoredUsers(store.url, hashes, prefix="user-", events=EVENTS)
            with service(folder, "--redis", store.url) as served:
                calls = _Calls(served, np.random.default_rng(0))
                by_users, by_events = [], []
                for n in users:
                    by_users.append(_among(n, crowd, calls, seconds))
                    tell(
                        f"{n:,} users: {by_users[-1]['bytes_a_user']} bytes each, loaded in {by_users[-1]['load_s']} s"
                    )
                for events in LENGTHS:
                    some = StoredUsers(store.url, hashes, prefix=f"with-{events}-", events=events)
                    by_events.append({"events": events, **_of_length(some, calls)})
        finally:
            store.stop()
    return by_events, by_users


def _of_length(some: StoredUsers, calls: _Calls) -> dict[str, Any]:
    """What users with histories of one length cost: with adaptation on the path, then with a copy that is ready."""
    some.grow(ASKED)
    everybody = list(range(ASKED))
    adapting, warm = (calls.one_by_one(calls.recommend(some, everybody)) for _ in range(2))
    history, copy = some.bytes_each(everybody)
    return {
        **_latency("adapting", adapting),
        **_latency("warm", warm),
        "history_bytes": round(history, 1),
        "copy_bytes": round(copy, 1),
        "failed": adapting.failed + warm.failed,
    }


def _among(users: int, crowd: StoredUsers, calls: _Calls, seconds: float) -> dict[str, Any]:
    """What so many users cost: their bytes before any of them calls, and calls of some of them."""
    crowd.grow(users)
    used, resident = (crowd.bytes / users).round(1).tolist()
    drawn = calls.rng.choice(users, min(users, max(ASKED, SAMPLED)), replace=False).tolist()
    asked = drawn[:ASKED]
    recording = calls.one_by_one(calls.record(crowd, asked))
    adapting, warm = (calls.one_by_one(calls.recommend(crowd, asked)) for _ in range(2))
    before, cpu_before = crowd.traffic(), calls.cpu_s()
    at_once = calls.at_once(crowd, users, seconds)
    store_bytes, cpu_s = (crowd.traffic() - before) / at_once.calls, (calls.cpu_s() - cpu_before) / at_once.calls
    history, copy = crowd.bytes_each(drawn)
    return {
        "users": users,
        "bytes_a_user": used,
        "resident_bytes_a_user": resident,
        "history_bytes": round(history, 1),
        "copy_bytes": round(copy, 1),
        "decision_bytes": round(crowd.logged_bytes(), 1),
        "same_as_the_script": crowd.same_as_the_script(20),
        "load_s": round(crowd.seconds, 1),
        **_latency("record", recording),
        **_latency("adapting", adapting),
        **_latency("warm", warm),
        "per_s": round(at_once.per_s),
        "cpu_us": round(1e6 * cpu_s),
        "store_bytes_a_call": round(store_bytes),
        "failed": recording.failed + adapting.failed + warm.failed + at_once.failed,
    }


class _Calls:
    """Calls to one service, for stored users."""

    def __init__(self, served: Service, rng: np.random.Generator) -> None:
        self._served, self.rng = served, rng
        self._ids = [f"i{n}" for n in range(ITEMS)]
        self._event = count()

    def cpu_s(self) -> float:
        """Seconds of a core that the service has taken so far."""
        return self._served.samples()["process_cpu_seconds_total"]

    def one_by_one(self, calls: Sequence[Call]) -> Load:
        """All of some calls, each after the last one's reply."""
        return closed(self._served.address, iter(calls), in_flight=1, seconds=120.0, warm_up_s=0.0)

    def at_once(self, users: StoredUsers, among: int, seconds: float) -> Load:
        """Recommendations for anybody, many at a time."""

        def anybody() -> Iterator[Call]:
            while True:
                yield from self.recommend(users, self.rng.integers(among, size=256).tolist())

        return closed(self._served.address, anybody(), in_flight=IN_FLIGHT, seconds=seconds)

    def recommend(self, users: StoredUsers, which: Sequence[int]) -> list[Call]:
        """A recommendation for each of some users."""
        first = self.rng.integers(ITEMS - CANDIDATES, size=len(which)).tolist()
        requests = [
            pb.RecommendRequest(user_id=users.name(user), candidate_ids=self._ids[start : start + CANDIDATES])
            for user, start in zip(which, first, strict=True)
        ]
        return [Call(RECOMMEND, request.SerializeToString()) for request in requests]

    def record(self, users: StoredUsers, which: Sequence[int]) -> list[Call]:
        """A click of each of some users."""
        clicked = self.rng.integers(ITEMS, size=len(which)).tolist()
        events = [
            pb.Event(
                event_id=f"click-{next(self._event)}", user_id=users.name(user), item_id=self._ids[row], reward=1.0
            )
            for user, row in zip(which, clicked, strict=True)
        ]
        return [Call(RECORD, pb.RecordEventsRequest(events=[event]).SerializeToString()) for event in events]


def _latency(name: str, load: Load) -> dict[str, float]:
    return {f"{name}_p50_ms": round(load.ms(0.5), 3), f"{name}_p99_ms": round(load.ms(0.99), 3)}
