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
                    by_users.append({"users": n, **_among(n, crowd, calls, seconds)})
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
    figures = [calls.one_by_one(kind, calls.recommend(some, everybody)) for kind in ("adapting", "warm")]
    history, copy = some.bytes_each(everybody)
    return _joined(figures, {"history_bytes": round(history, 1), "copy_bytes": round(copy, 1)})


def _among(users: int, crowd: StoredUsers, calls: _Calls, seconds: float) -> dict[str, Any]:
    """What so many users cost: their bytes before any of them calls, and calls of some of them."""
    crowd.grow(users)
    used, resident = (crowd.bytes / users).round(1).tolist()
    drawn = calls.rng.choice(users, min(users, SAMPLED), replace=False).tolist()
    asked = drawn[:ASKED]
    figures = [calls.one_by_one("record", calls.record(crowd, asked))]
    figures += [calls.one_by_one(kind, calls.recommend(crowd, asked)) for kind in ("adapting", "warm")]
    before = crowd.work()
    at_once = calls.at_once(crowd, users, seconds)
    store_bytes, store_s = ((crowd.work() - before) / at_once.pop("calls")).tolist()
    history, copy = crowd.bytes_each(drawn)
    memory = {
        "bytes_a_user": used,
        "resident_bytes_a_user": resident,
        "history_bytes": round(history, 1),
        "copy_bytes": round(copy, 1),
        "decision_bytes": round(crowd.logged_bytes(), 1),
        "store_bytes_a_call": round(store_bytes),
        "store_cpu_us": round(1e6 * store_s),
        "load_s": round(crowd.seconds, 1),
        "same_as_the_script": crowd.same_as_the_script(20),
    }
    return _joined([*figures, at_once], memory)


def _joined(figures: Sequence[dict[str, Any]], more: dict[str, Any]) -> dict[str, Any]:
    """One row of all figures, calls that failed added up."""
    row = {name: value for each in figures for name, value in each.items()} | more
    return row | {"failed": sum(each["failed"] for each in figures)}


class _Calls:
    """Calls to one service, for stored users."""

    def __init__(self, served: Service, rng: np.random.Generator) -> None:
        self._served, self.rng = served, rng
        self._ids = [f"i{n}" for n in range(ITEMS)]
        self._event = count()

    def one_by_one(self, kind: str, calls: Sequence[Call]) -> dict[str, Any]:
        """Figures of some calls, each after the last one's reply; names begin with the kind."""
        load, cpu_us = self._load(iter(calls), in_flight=1, seconds=120.0, warm_up_s=0.0)
        p50, p99 = (round(load.ms(q), 3) for q in (0.5, 0.99))
        return {f"{kind}_p50_ms": p50, f"{kind}_p99_ms": p99, f"{kind}_cpu_us": cpu_us, "failed": load.failed}

    def at_once(self, users: StoredUsers, among: int, seconds: float) -> dict[str, Any]:
        """Figures of recommendations for anybody, many at a time."""

        def anybody() -> Iterator[Call]:
            while True:
                yield from self.recommend(users, self.rng.integers(among, size=256).tolist())

        load, cpu_us = self._load(anybody(), in_flight=IN_FLIGHT, seconds=seconds, warm_up_s=0.5)
        return {"per_s": round(load.per_s), "cpu_us": cpu_us, "failed": load.failed, "calls": load.calls}

    def _load(self, calls: Iterator[Call], **how: Any) -> tuple[Load, int]:
        """A load, and the microseconds of a core that the service took for each of its calls."""
        before = self._served.samples()["process_cpu_seconds_total"]
        load = closed(self._served.address, calls, **how)
        taken = self._served.samples()["process_cpu_seconds_total"] - before
        return load, round(1e6 * taken / load.calls)

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
