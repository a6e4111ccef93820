"""The replayed policy is the served one: equal histories, equal propensities, in a log of real calls."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from meta.catalogue import id_hash
from meta.policy import Policy
from protos.quickstudy.v1 import recommender_pb2 as pb
from replay import log
from replay.adaptive import Replayed, replay, reproduced
from replay.reading import read
from service.client import Client
from service.client.results import EventResult
from tests.replay.logs import decisions, events
from tests.service.support import make_policy, start_server, stop_store

CAP = 12


@pytest.fixture(scope="module", params=["logit", "independent"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A policy folder and the address of a service that keeps 12 events of a user."""
    folder = tmp_path_factory.mktemp("served")
    strong = {"item.v.linear": 3.0, "item.q.linear": 3.0, "taste.m": 3.0}
    policy = make_policy(folder / "policy", scale=strong, slate=request.param, adapter="ridge")
    server = start_server(policy, folder / "data", STORE_HISTORY_CAP=str(CAP))
    yield policy, server.target
    assert server.stop() == 0
    stop_store(folder / "data")


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


async def calls(target: str, folder: Path, names: str) -> list[list[float]]:
    """Real users who get slates and click; writes their log, and returns the propensities of each decision."""
    rng = random.Random(3)
    shown: list[dict[str, Any]] = []
    happened: list[dict[str, Any]] = []
    async with Client(target) as client:
        for user, step in itertools.product((f"{names}{k}" for k in range(3)), range(14)):
            shown.append(await decide(client, rng, user, step))
            happened += await click(client, rng, user, step, shown[-1])
    for table, rows, empty in (("decisions", shown, decisions), ("events", happened, events)):
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        log.write(folder / f"{table}-1.parquet", table, empty(len(rows), **columns))
    return [each["propensities"] for each in shown]


async def decide(client: Client, rng: random.Random, user: str, step: int) -> dict[str, Any]:
    """A decision's row: of candidates given twice, excluded, unknown, or of the whole catalogue."""
    candidates = [] if step % 5 == 4 else [f"i{n}" for n in rng.sample(range(130), 15)]
    candidates += candidates[:2]
    excluded = candidates[3:5] if step % 3 == 1 else []
    await asyncio.sleep(0.003)  # a moment of its own, in milliseconds
    reply = await client.recommend(
        user, candidates, slate_size=1 + step % 4, excluded_ids=excluded, include_seen=step == 9
    )
    return {
        "decision_id": reply.decision_id,
        "time": now_ms(),
        "user": user,
        "candidates": candidates,
        "excluded": excluded,
        "include_seen": step == 9,
        "slate": reply.item_ids,
        "propensities": [item.propensity for item in reply.items],
        "watermark": reply.adaptation.watermark,
    }


async def click(
    client: Client, rng: random.Random, user: str, step: int, decision: dict[str, Any]
) -> list[dict[str, Any]]:
    """Rows of what the store has added: one position is liked, and an item of no decision, or one that nobody knows."""
    await asyncio.sleep(0.003)
    rows = [
        {"item_id": item, "reward": float(k == step % 3), "decision_id": decision["decision_id"], "position": k + 1}
        for k, item in enumerate(decision["slate"])
    ]
    rows.append({"item_id": "i999" if step == 2 else f"i{step}", "reward": 1.0, "decision_id": "", "position": 0})
    at = now_ms() - 60_000 * rng.randrange(3)  # some happened before others that are already known
    names = [f"{user}-{step}-{k}" for k in range(len(rows))]
    events = [
        pb.Event(event_id=name, user_id=user, time=moment(at), **row) for name, row in zip(names, rows, strict=True)
    ]
    statuses = await client.record(events)
    return [
        row | {"event": id_hash(name), "user": user, "time": at, "recorded": now_ms()}
        for name, row, status in zip(names, rows, statuses, strict=True)
        if status.result == EventResult.ADDED
    ]


def moment(at_ms: int) -> Timestamp:
    """A time of the contract."""
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000)


def outcome(run: Iterator[int | Replayed]) -> Replayed:
    """What a replay finds in the end."""
    *_, found = run
    assert isinstance(found, Replayed)
    return found


async def test_equal_histories_have_equal_propensities(served: tuple[Path, str], tmp_path: Path) -> None:
    """Of every position of every slate, with late, unknown and trimmed events, exclusions and the whole catalogue."""
    folder, target = served
    answered = await calls(target, tmp_path, "ann")
    found = read(tmp_path)
    replayed = outcome(replay(Policy.load(folder), found, cap=CAP))
    # The log is by user and time here, as it was written. Copies are kept as half floats: a sum in another order may
    # round one of their numbers the other way, by 1 in 1,000.
    for k, propensities in enumerate(answered):
        mine = np.exp(replayed.log_propensity[k, : len(propensities)].astype(float))
        np.testing.assert_allclose(mine, propensities, rtol=5e-3, err_msg=f"decision {k}")
    assert 1.0 == reproduced(found)
    assert 0 == found.bad.total


async def test_without_history_it_is_another_policy(served: tuple[Path, str], tmp_path: Path) -> None:
    """What makes the test above one that can fail: the frozen policy has other propensities once there is a history."""
    folder, target = served
    answered = await calls(target, tmp_path, "bob")
    frozen = outcome(replay(Policy.load(folder), read(tmp_path), adapting=False))
    apart = [abs(np.exp(frozen.log_propensity[k, 0]) - each[0]) for k, each in enumerate(answered)]
    assert max(apart[0::14]) < 1e-4 < 0.02 < np.mean(apart)
