"""Whom a batch answers first."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from meta.policy import Policy
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access.tenants import user_key
from service.batching import Job
from service.lanes import PIECE_S, Lanes
from service.metrics import Metrics
from service.ranker import Query, Ranker, RecommendJob
from service.store import Kept, Store, connect, history
from service.store.embedded import EmbeddedStore
from service.trend import Trend
from service.writer import Writer
from tests.service.support import make_policy


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    """Any."""
    return Policy.load(make_policy(tmp_path / "policy"))


def stored(events: int, mark: int) -> bytes:
    """A history of so many events, at a watermark."""
    records = (history.pack(f"{mark}-{n}", 1_000 * n, f"item-{n}", 1.0, "", 0) for n in range(events))
    return mark.to_bytes(8, "little") + bytes(8) + b"".join(records)


def made(policy: Policy, mark: int) -> bytes:
    """The head of a copy of that policy, made from the history at that watermark."""
    return int(policy.version, 16).to_bytes(8, "little") + mark.to_bytes(8, "little")


def batch(policy: Policy) -> Kept:
    """A stranger, somebody with a copy at hand, two with an old one, one with another policy's, two without any."""
    lengths = [0, 50, 20, 60, 50, 10, 60]
    histories = [stored(n, i) if n else None for i, n in enumerate(lengths)]
    copies = [None, made(policy, 1), made(policy, 9), made(policy, 9), bytes(8) + made(policy, 4)[8:], None, None]
    return Kept(histories, copies, [None] * len(lengths))


def test_a_batch_stays_together_while_adaptation_is_quick(policy: Policy) -> None:
    """Nothing is known, or all that has to be adapted fits into one piece."""
    lanes = Lanes(policy)
    assert [list(range(7))] == lanes.parts(batch(policy))
    lanes.adapted(400, PIECE_S)
    assert [list(range(7))] == lanes.parts(batch(policy))


def test_who_needs_a_long_adaptation_waits_for_the_ready(policy: Policy) -> None:
    """They come in pieces of about equal length, none predicted to take longer than one may."""
    lanes = Lanes(policy)
    lanes.adapted(101, PIECE_S)
    assert [[0, 1], [5, 2], [4], [3], [6]] == lanes.parts(batch(policy))


def test_one_history_that_is_too_long_is_a_piece(policy: Policy) -> None:
    """Where every adaptation takes too long, each is alone; without anybody ready the first comes first."""
    lanes = Lanes(policy)
    lanes.adapted(5, PIECE_S)
    one = stored(50, 3)
    assert [[0], [1]] == lanes.parts(Kept([one, one], [None, None], [None, None]))


async def test_callers_whose_copies_are_ready_wait_for_one_piece_at_most(policy: Policy, tmp_path: Path) -> None:
    """The ready one and a stranger of a batch are answered first, then one long adaptation at a time."""
    redis, metrics = EmbeddedStore(tmp_path / "redis"), Metrics()
    redis.start()
    store = Store(connect(redis.url), metrics, read_timeout_s=2.0)
    await store.start()
    writer = Writer(store, metrics, backlog=99, linger_s=0.0)
    writer.start()
    ranker = Ranker(policy, store, writer, Trend(policy, ()), metrics)
    for user in ("late", "later", "ready"):
        records = (history.pack(f"{n}", 1_000 * n, f"i{n}", 1.0, "", 0) for n in range(30))
        await store.append({user_key("", user): b"".join(records)})
    await ranker.run([job("ready")])
    await writer.close()
    ranker.lanes.adapted(1, 1.0)
    batch, seen = [job(user) for user in ("late", "later", "stranger", "ready")], [[False] * 4]

    async def watch() -> None:
        while not all(seen[-1]):
            if (done := [each.reply.done() for each in batch]) != seen[-1]:
                seen.append(done)
            await asyncio.sleep(0)

    await asyncio.gather(ranker.run(batch), watch())
    await store.close()
    redis.stop()
    assert [(False,) * 4, (False, False, True, True), (True, False, True, True), (True,) * 4] == list(map(tuple, seen))
    sources = [pb.RecommendResponse.FromString(each.reply.result()).adaptation.source for each in batch]
    assert [pb.SOURCE_ADAPTED, pb.SOURCE_ADAPTED, pb.SOURCE_PRIOR, pb.SOURCE_ADAPTED] == sources


def job(user: str) -> RecommendJob:
    """A request of a user."""
    query = Query.of(pb.RecommendRequest(user_id=user, candidate_ids=["i1", "i2"]), f"by-{user}", "")
    return Job(query, asyncio.get_running_loop().create_future(), 2, math.inf, 0.0)
