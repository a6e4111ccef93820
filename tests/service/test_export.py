"""From a served decision to the arrays that replay reads: nothing lost, nothing twice, each reward where it belongs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from functools import reduce
from operator import xor
from pathlib import Path

import pytest
from redis import Redis

from meta.errors import InputError
from protos.quickstudy.v1 import decision_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from replay import log, reading
from replay.rewards import Rewards
from service import decisions
from service.access.tenants import NOBODY, user_key
from service.client import Client, answers, context
from service.export import POSITION, Exported, export
from service.store.embedded import EmbeddedStore
from tests.service.support import Server, start_server

CANDIDATES = [f"i{n}" for n in range(40)]
RULE = Rewards(3_600.0, -0.25)


@pytest.fixture(scope="module")
def server(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose log holds these tests alone."""
    running = start_server(policy, tmp_path_factory.mktemp("data"))
    yield running
    assert running.stop() == 0


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A client of that server."""
    async with Client(server.target) as connected:
        yield connected


@pytest.fixture(scope="module")
def redis(server: Server) -> Iterator[Redis]:
    """Its store."""
    with Redis.from_url(EmbeddedStore(server.data_dir).url) as opened:
        yield opened


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A store without a service, for logs that are written by hand."""
    embedded = EmbeddedStore(tmp_path_factory.mktemp("store"))
    embedded.start()
    with Redis.from_url(embedded.url) as opened:
        yield opened
    embedded.stop()


def exported(redis: Redis, out: Path, prefix: str = "", tenant: str = NOBODY) -> Exported:
    """What a whole export has done."""
    *_, done = export(redis, out, prefix=prefix, tenant=tenant, shards=4, rewards=RULE)
    return done


async def logged(redis: Redis, entries: int) -> None:
    """Waits until the log has so many decisions and activations."""
    async with asyncio.timeout(20):
        while sum(redis.xlen(f"qs:decisions:{n}") for n in range(4)) < entries:  # type: ignore[misc]
            await asyncio.sleep(0.02)


def put(redis: Redis, prefix: str, entry: decision_pb2.Decision) -> None:
    """Appends an entry to the log."""
    redis.xadd(f"{prefix}qs:decisions:0", {"d": entry.SerializeToString()})


def decision(name: str, user: int = 1, **request: object) -> decision_pb2.Decision:
    """A decision of one item."""
    reply = pb.RecommendResponse(decision_id=name, items=[pb.RankedItem(item_id="i1", propensity=0.5)])
    asked = pb.RecommendRequest(candidate_ids=["i1", "i2"], **request)  # type: ignore[arg-type]
    return decision_pb2.Decision(time_ms=1_000, request=asked, response=reply, user=user)


def ids(out: Path) -> list[str]:
    """Decisions of an exported log that have a slate, in the order of the files."""
    rows = [row for batch in log.batches(out, "decisions") for row in batch.to_pylist()]
    return [row["decision_id"] for row in rows if row["slate"]]


async def test_what_was_served_is_read_back(client: Client, redis: Redis, tmp_path: Path) -> None:
    """Slates, propensities, who, when seen and rewards of served decisions are those that replay reads."""
    cold = await client.recommend("ann", CANDIDATES, context=context(device="tv"), seed=5)
    await client.record(answers("ann", cold, {cold.item_ids[2]: 1.0}))
    warm = await client.recommend("ann", CANDIDATES, decision_id="mine", slate_size=4, excluded_ids=["i3"])
    other = await client.recommend("bob", CANDIDATES, mode=pb.MODE_BASELINE, slate_size=4)
    unseen = await client.recommend("bob", CANDIDATES, defer_activation=True)
    shown = await client.recommend("bob", CANDIDATES, defer_activation=True)
    await client.activate("bob", shown.decision_id)
    await logged(redis, 6)
    done = exported(redis, tmp_path)
    assert (done.decisions, done.events, done.activations, done.lost, done.left) == (5, 10, 1, 0, 0)

    found = reading.read(tmp_path)
    assert (found.not_shown, found.repeated, found.bad.total) == (1, 0, 0)
    made = found.decisions
    slates = [[found.items[row] for row in slate if row >= 0] for slate in made.slate.tolist()]
    assert sorted(slates) == sorted([cold.item_ids, warm.item_ids, other.item_ids, shown.item_ids])
    at = slates.index(cold.item_ids)
    assert made.reward[at].tolist() == [0.0, 0.0, 1.0] + [0.0] * 7
    assert made.propensity[at].tolist() == pytest.approx([item.propensity for item in cold.items])
    assert json.loads((made.context if made.context is not None else [])[at])["categories"] == {"device": "tv"}
    assert made.reward[slates.index(other.item_ids)][:4].tolist() == [-0.25] * 4
    then = slates.index(warm.item_ids)
    assert [made.user[at], made.seen[at], made.seen[then]] == [made.user[then], 0, 10]
    marks = found.recorded.mark[made.begin[then] : made.begin[then] + 10].tolist()
    assert int(made.watermark[then]) == warm.adaptation.watermark == (10 << 32) + reduce(xor, marks)

    rows = {row["decision_id"]: row for batch in log.batches(tmp_path, "decisions") for row in batch.to_pylist()}
    by, beside = (rows[decisions.logged_id(user_key(NOBODY, user), name)] for user, name in
                  (("ann", "mine"), ("bob", other.decision_id)))  # fmt: skip
    assert (by["excluded"], by["temperature"], by["mode"], by["proposed"]) == (["i3"], 0.5, "unspecified", [])
    assert (beside["source"], beside["slate"], len(beside["proposed"])) == ("baseline", CANDIDATES[:4], 4)
    assert decisions.logged_id(user_key(NOBODY, "bob"), unseen.decision_id) in rows
    again = exported(redis, tmp_path)
    assert (again.decisions, again.events) == (0, 0)


def test_an_export_goes_on_where_the_last_one_stopped(store: Redis, tmp_path: Path) -> None:
    """Each entry is exported once, also where an export was killed before it could say how far it had come."""
    for n in range(3):
        put(store, "on:", decision(f"d{n}"))
    assert exported(store, tmp_path, "on:").decisions == 3
    position = (tmp_path / POSITION).read_text()
    put(store, "on:", decision("d3"))
    assert exported(store, tmp_path, "on:").decisions == 1
    (tmp_path / POSITION).write_text(position)  # as if killed after its files
    put(store, "on:", decision("d4"))
    assert exported(store, tmp_path, "on:").decisions == 2
    assert ids(tmp_path) == ["d0", "d1", "d2", "d3", "d4"]


def test_a_repeated_write_is_one_decision(store: Redis, tmp_path: Path) -> None:
    """Whether both are met in one export or in two."""
    for name in ("a", "b", "a"):
        put(store, "twice:", decision(name))
    assert exported(store, tmp_path, "twice:").repeated == 1
    put(store, "twice:", decision("b"))
    assert exported(store, tmp_path, "twice:").repeated == 1
    assert ids(tmp_path) == ["a", "b"]


def test_files_rotate(store: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full file ends, and what is left is told on the way."""
    monkeypatch.setattr("service.export.FILE", 4)
    monkeypatch.setattr("service.export.PIECE", 2)
    for n in range(9):
        put(store, "many:", decision(f"d{n}"))
    steps = [(done.decisions, done.left) for done in
             export(store, tmp_path, prefix="many:", tenant="", shards=4, rewards=RULE)]  # fmt: skip
    assert steps == [(4, 5), (8, 1), (9, 0)]
    assert len(log.files(tmp_path, "decisions")) == 3


def test_what_left_the_log_is_counted(store: Redis, tmp_path: Path) -> None:
    """Entries that were pushed out before they could be exported."""
    for n in range(5):
        put(store, "gone:", decision(f"d{n}"))
    assert exported(store, tmp_path, "gone:").lost == 0
    for n in range(5, 10):
        put(store, "gone:", decision(f"d{n}"))
    store.xtrim("gone:qs:decisions:0", maxlen=2, approximate=False)
    done = exported(store, tmp_path, "gone:")
    assert (done.lost, done.decisions, done.left) == (3, 2, 0)
    assert exported(store, tmp_path, "gone:").lost == 0


def test_an_activation_finds_its_decision(store: Redis, tmp_path: Path) -> None:
    """Before it, after it, and in another export."""
    put(store, "late:", decision("old", user=7, defer_activation=True))
    assert exported(store, tmp_path, "late:").activations == 0
    for name in ("old", "new"):
        put(
            store, "late:", decision_pb2.Decision(time_ms=2**41, activated=pb.ActivateDecisionRequest(decision_id=name))
        )
    assert exported(store, tmp_path, "late:").activations == 1
    put(store, "late:", decision("new", user=8, defer_activation=True))
    assert exported(store, tmp_path, "late:").activations == 1
    assert reading.read(tmp_path).not_shown == 0


def test_a_decision_made_without_the_store_gets_its_reward(store: Redis, tmp_path: Path) -> None:
    """It knows no user; the event that names it does, and was kept once the store was back."""
    put(store, "back:", decision("d", user=0))
    liked = decision_pb2.Outcome(event_hash=1, item_id="i1", reward=1.0, time_ms=1_500, decision_id="d")
    told = decision_pb2.Recorded(time_ms=2_000, user=7, outcomes=[liked])
    store.xadd("back:qs:events:0", {"e": told.SerializeToString()})
    assert exported(store, tmp_path, "back:").events == 1
    assert reading.read(tmp_path).decisions.reward.tolist() == [[1.0]]


def test_a_shadows_slate_is_a_row_of_its_own(store: Redis, tmp_path: Path) -> None:
    """It names the decision that it would have taken the place of, and replay reads past it."""
    shown = pb.RecommendResponse(
        decision_id="d",
        items=[pb.RankedItem(item_id="i2", propensity=0.25)],
        log_propensity=-1.5,
        adaptation=pb.Adaptation(policy_version="b" * 16, source=pb.SOURCE_ADAPTED, events_used=3),
    )
    put(store, "shade:", decision("d"))
    put(store, "shade:", decision_pb2.Decision(time_ms=1_000, shadow=shown))
    done = exported(store, tmp_path, "shade:")
    assert (done.decisions, done.shadows, done.left) == (1, 1, 0)
    (row,) = [row for batch in log.batches(tmp_path, "shadows") for row in batch.to_pylist()]
    told = {name: row[name] for name in ("decision_id", "policy_version", "source", "events_used", "slate")}
    assert told == {
        "decision_id": "d", "policy_version": "b" * 16, "source": "adapted", "events_used": 3, "slate": ["i2"],
    }  # fmt: skip
    assert (row["propensities"], row["log_propensity"], row["time"].timestamp()) == ([0.25], -1.5, 1.0)
    assert len(reading.read(tmp_path).decisions) == 1


def test_a_folder_holds_one_log(store: Redis, tmp_path: Path) -> None:
    """Another tenant, a stream begun anew and a second export at the same time are refused in one clear line."""
    put(store, "one:", decision("d"))
    steps = export(store, tmp_path, prefix="one:", tenant="", shards=4, rewards=RULE)
    next(steps)
    with pytest.raises(InputError, match="another export writes into"):
        exported(store, tmp_path, "one:")
    assert list(steps) == []
    with pytest.raises(InputError, match="not of \\['one:', 'shop'\\]; export into another folder"):
        exported(store, tmp_path, "one:", "shop")
    store.delete("one:qs:decisions:0")
    store.xadd("one:qs:decisions:0", {"d": b""}, id="1-1")
    with pytest.raises(InputError, match="was begun anew"):
        exported(store, tmp_path, "one:")
