"""The steps down when the store is away: the remembered copy, the prior, the caller's order; each with its reason."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from meta.checkpoint import load
from meta.policy import Policy
from meta.scoring import Portraits
from meta.types import Context, Events, FloatArray
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access.tenants import user_key
from service.batching import Job
from service.client import Client
from service.metrics import Metrics
from service.ranker import Query, Ranker
from service.store import Store, connect
from service.store.embedded import EmbeddedStore
from service.store.history import pack
from service.trend import Trend
from service.writer import Writer
from tests.service.support import start_server
from tests.service.test_calls import order
from tests.service.test_faults import CANDIDATES, event

GREEDY = pb.MODE_GREEDY


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A store that plays the part of an external Redis."""
    store = EmbeddedStore(tmp_path / "redis")
    store.start()
    yield store
    store.stop()


async def test_without_the_store_a_user_met_lately_is_ranked_by_the_remembered_copy(
    policy: Path, tmp_path: Path, redis: EmbeddedStore
) -> None:
    """The slate is the one that the store would have given; the reply says how old what it knows is."""
    server = start_server(policy, tmp_path / "data", REDIS=redis.url)
    async with Client(server.target) as client:
        await client.record([event("met", f"e{n}") for n in range(5)])
        before = await client.recommend("met", CANDIDATES, mode=GREEDY)
        redis.stop()
        after = await client.recommend("met", CANDIDATES, mode=GREEDY)
        stranger = await client.recommend("stranger", CANDIDATES, mode=GREEDY)
        redis.start()
    told = after.adaptation
    assert (pb.SOURCE_ADAPTED, "", 0.0) == (
        before.adaptation.source,
        before.adaptation.reason,
        before.adaptation.staleness,
    )
    assert (pb.SOURCE_STALE, "the store is away", 5) == (told.source, told.reason, told.events_used)
    assert 0 < told.staleness < 60
    assert (order(before), before.adaptation.watermark) == (order(after), told.watermark)
    assert (pb.SOURCE_PRIOR, "the store is away") == (stranger.adaptation.source, stranger.adaptation.reason)
    served = server.metrics()
    assert 1 == served['quickstudy_served_total{reason="the store is away",source="stale"}']
    assert 1 == served['quickstudy_served_total{reason="the store is away",source="prior"}']
    assert 1 == served["quickstudy_staleness_seconds_count"]
    assert server.stop() == 0


async def test_without_the_store_a_caller_still_reads_what_it_wrote(
    policy: Path, tmp_path: Path, redis: EmbeddedStore
) -> None:
    """An event that was acknowledged before the store left is learnt from, though nobody read it while it was there."""
    server = start_server(policy, tmp_path / "data", REDIS=redis.url)
    async with Client(server.target) as client:
        await client.record([event("u", "first")])
        await client.recommend("u", CANDIDATES)
        await client.record([event("u", "second"), event("u", "first")])
        redis.stop()
        told = (await client.recommend("u", CANDIDATES)).adaptation
        redis.start()
    assert (pb.SOURCE_STALE, 2, 2) == (told.source, told.events_used, told.watermark >> 32)
    assert server.stop() == 0


async def test_without_the_store_an_erased_user_is_not_remembered(
    policy: Path, tmp_path: Path, redis: EmbeddedStore
) -> None:
    """Whoever was erased is a stranger, though others are remembered."""
    server = start_server(policy, tmp_path / "data", REDIS=redis.url)
    async with Client(server.target) as client:
        for user in ("kept", "erased"):
            await client.record([event(user, "e")])
            await client.recommend(user, CANDIDATES)
        await client.delete_user("erased")
        redis.stop()
        kept, erased = [(await client.recommend(user, CANDIDATES)).adaptation for user in ("kept", "erased")]
        redis.start()
    assert (pb.SOURCE_STALE, pb.SOURCE_PRIOR) == (kept.source, erased.source)
    assert (0, 0) == (erased.watermark, erased.events_used)
    assert server.stop() == 0


class Broken(Policy):
    """A policy that cannot rank whoever has a history, or nobody at all."""

    strangers = True

    def portray(self, copy: FloatArray, events: Events, context: Context) -> Portraits:
        """Is at home with strangers, perhaps."""
        if events.mask.any() or not self.strangers:
            raise ArithmeticError("broken")
        return super().portray(copy, events, context)


@pytest.mark.parametrize(
    ("strangers", "source", "slate"), [(True, pb.SOURCE_PRIOR, None), (False, pb.SOURCE_BASELINE, ["i3", "x", "i1"])]
)
async def test_where_ranking_breaks_the_next_step_down_answers(
    policy: Path, redis: EmbeddedStore, strangers: bool, source: pb.Source, slate: list[str] | None
) -> None:
    """Who breaks the computation is ranked as a stranger; where that breaks too, the caller's order comes back."""
    broken, metrics = Broken(load(policy)), Metrics()
    broken.strangers = strangers
    store = Store(connect(redis.url), metrics, read_timeout_s=2.0)
    await store.start()
    await store.append({user_key("", "u"): pack("e", 1, "i1", 1.0, "", 0)})
    writer = Writer(store, metrics, backlog=10, linger_s=0.0)
    ranker = Ranker(broken, store, writer, Trend(broken, ()), metrics)
    request = pb.RecommendRequest(user_id="u", candidate_ids=["i3", "x", "i3", "i1", "i2"], slate_size=3)
    job = Job(Query.of(request, "d", ""), asyncio.get_running_loop().create_future(), 5, math.inf, 0.0)
    await ranker.run([job])
    reply = pb.RecommendResponse.FromString(job.reply.result())
    await store.close()
    assert (source, "ranking failed", 3) == (reply.adaptation.source, reply.adaptation.reason, len(reply.items))
    assert slate in (None, order(reply))
