"""The four calls through real gRPC against the real store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from meta.catalogue import id_hash
from protos.quickstudy.v1 import decision_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access.tenants import NOBODY, user_key
from service.client import Client
from service.client.results import EventStatus, Slate, slate
from service.decisions import logged_id
from service.store import connect
from service.store.embedded import EmbeddedStore
from tests.service.support import ROOT, Server, make_policy, start_server

CANDIDATES = [f"i{n}" for n in range(40)]


def event(user: str, name: str, item: str, reward: float = 1.0, at_ms: int | None = None) -> pb.Event:
    """An event, by default without a time."""
    made = pb.Event(event_id=name, user_id=user, item_id=item, reward=reward)
    if at_ms is not None:
        made.time.FromMilliseconds(at_ms)
    return made


def results(statuses: list[EventStatus]) -> list[str]:
    """Names of results."""
    return [status.result.name for status in statuses]


def order(reply: Slate) -> list[str]:
    """The item ids of a slate."""
    return [item.item_id for item in reply.items]


async def test_a_click_changes_the_next_slate(client: Client) -> None:
    """The reply right after RecordEvents has learnt from these events and ranks otherwise."""
    before = await client.recommend("clicker", CANDIDATES, slate_size=20, mode=pb.MODE_GREEDY)
    clicks = [event("clicker", f"e{n}", f"i{n}", float(n % 2)) for n in range(10)]
    assert results(await client.record(clicks)) == ["ADDED"] * 10
    after = await client.recommend("clicker", CANDIDATES, slate_size=20, mode=pb.MODE_GREEDY)
    assert (before.adaptation.source, before.adaptation.reason) == (pb.SOURCE_PRIOR, "no events")
    assert (after.adaptation.source, after.adaptation.events_used) == (pb.SOURCE_ADAPTED, 10)
    assert after.adaptation.watermark >> 32 == 10
    assert order(before) != order(after)


async def test_the_cached_copy_gives_the_same_slate(client: Client) -> None:
    """A slate from the cached copy equals the slate from the copy made on the way."""
    await client.record([event("cached", f"e{n}", f"i{n}") for n in range(5)])
    fresh = await client.recommend("cached", CANDIDATES, seed=1)
    while not (await client.get_user("cached")).copy.current:
        await asyncio.sleep(0.01)
    again = await client.recommend("cached", CANDIDATES, seed=1)
    assert fresh.items == again.items
    assert again.adaptation.events_used == 5


async def test_the_same_seed_draws_the_same_slate(client: Client) -> None:
    """A draw depends on its seed and not on the order of the candidates."""
    one = await client.recommend("seeded", CANDIDATES, seed=5)
    same = await client.recommend("seeded", CANDIDATES[::-1], seed=5)
    other = await client.recommend("seeded", CANDIDATES, seed=6)
    assert order(one) == order(same)
    assert order(one) != order(other)


async def test_a_decision_id_stands_for_a_seed(client: Client) -> None:
    """Without a seed the draw follows from the decision id, given or generated, and the reply says from which seed."""
    named = await client.recommend("named", CANDIDATES, decision_id="d-1")
    again = await client.recommend("named", CANDIDATES, decision_id="d-1")
    drawn = await client.recommend("named", CANDIDATES)
    redrawn = await client.recommend("named", CANDIDATES, seed=drawn.seed)
    assert (named.decision_id, order(named)) == ("d-1", order(again))
    assert (id_hash(drawn.decision_id), order(drawn)) == (drawn.seed, order(redrawn))


async def test_propensities_add_up(client: Client) -> None:
    """The slate's log propensity is the sum over its positions, and the last of all candidates is certain."""
    reply = await client.recommend("prob", CANDIDATES[:5], slate_size=5, mode=pb.MODE_EXPLORE)
    product = 1.0
    for item in reply.items:
        product *= item.propensity
    assert abs(product / 2.718281828459045**reply.log_propensity - 1) < 1e-5
    assert abs(reply.items[-1].propensity - 1) < 1e-6
    assert reply.items[0].propensity < 0.9


async def test_greedy_is_certain_and_sorted(client: Client) -> None:
    """MODE_GREEDY ranks by score with propensities of 1."""
    reply = await client.recommend("greedy", CANDIDATES, mode=pb.MODE_GREEDY)
    scores = [item.score for item in reply.items]
    assert scores == sorted(scores, reverse=True)
    assert {item.propensity for item in reply.items} == {1.0}
    assert reply.log_propensity == 0.0


async def test_the_whole_catalogue_leaves_out_what_was_seen(client: Client) -> None:
    """Without candidates the catalogue is ranked, less the history (unless asked for) and less the excluded."""
    await client.record([event("whole", f"e{n}", f"i{n}") for n in range(30)])
    fresh = await client.recommend("whole", slate_size=100, excluded_ids=["i119", "nope"])
    seen = await client.recommend("whole", slate_size=100, include_seen=True)
    assert sorted(order(fresh)) == sorted(f"i{n}" for n in range(30, 119))
    assert len(seen.items) == 100


async def test_candidates_are_shown_once_and_never_when_excluded(client: Client) -> None:
    """A repeated candidate takes one position, an excluded one none, whatever the slate size."""
    reply = await client.recommend("once", ["i1", "i2", "i1", "i3"], excluded_ids=["i3"])
    assert sorted(order(reply)) == ["i1", "i2"]


async def test_unknown_candidates_are_named(client: Client) -> None:
    """Candidates that the catalogue lacks come back in unknown_ids; alone they keep the caller's order."""
    some = await client.recommend("unknown", ["i1", "x", "i2", "y", "x"])
    none = await client.recommend("unknown", ["z", "y", "x"], slate_size=2)
    assert (sorted(order(some)), list(some.unknown_ids)) == (["i1", "i2"], ["x", "y"])
    assert (order(none), list(none.unknown_ids)) == (["z", "y"], ["z", "y", "x"])
    assert (none.adaptation.source, none.adaptation.reason) == (pb.SOURCE_BASELINE, "no candidate is in the catalogue")


async def test_events_of_unknown_items_are_kept(client: Client) -> None:
    """An event of an unknown item is added, shown by its hash, and leaves the user on the prior."""
    assert results(await client.record([event("stranger", "e", "new item")])) == ["ADDED"]
    kept = await client.get_user("stranger")
    reply = await client.recommend("stranger", CANDIDATES)
    assert [(e.item_id, e.item_hash) for e in kept.events] == [("", id_hash("new item"))]
    assert (reply.adaptation.source, reply.adaptation.reason) == (pb.SOURCE_PRIOR, "no event of a known item")


async def test_out_of_order_events_end_in_time_order(client: Client) -> None:
    """Events sent in any order, over several calls, with repeats, end once each and in time order."""
    times = [5_000, 1_000, 3_000, 1_000, 9_000, 3_000]
    events = [event("late", f"e{at}", f"i{at // 1000}", at_ms=at) for at in times]
    first, second = await client.record(events[:3]), await client.record(events[3:])
    kept = await client.get_user("late")
    assert results(first + second) == ["ADDED", "ADDED", "ADDED", "DUPLICATE", "ADDED", "DUPLICATE"]
    assert [e.time.ToMilliseconds() for e in kept.events] == [1_000, 3_000, 5_000, 9_000]
    assert [e.item_id for e in kept.events] == ["i1", "i3", "i5", "i9"]


async def test_an_event_without_time_happened_now(client: Client) -> None:
    """The time of receipt is the default."""
    before = time.time_ns() // 1_000_000
    await client.record([event("now", "e", "i1")])
    at = (await client.get_user("now")).events[0].time.ToMilliseconds()
    assert before <= at <= time.time_ns() // 1_000_000


async def test_an_erased_user_is_a_cold_start(client: Client) -> None:
    """DeleteUser erases everything; the same events may come again."""
    await client.record([event("gone", "e", "i1")])
    await client.recommend("gone", CANDIDATES)
    assert [await client.delete_user("gone"), await client.delete_user("gone")] == [True, False]
    assert await client.get_user("gone") == pb.GetUserResponse()
    assert results(await client.record([event("gone", "e", "i1")])) == ["ADDED"]


async def test_many_users_at_once_get_what_each_alone_gets(client: Client) -> None:
    """The slates of a batch of different users equal the slates of the same requests sent one by one."""
    users = [f"crowd{n}" for n in range(24)]
    await client.record([event(u, f"e{k}", f"i{(7 * n + k) % 120}") for n, u in enumerate(users) for k in range(n % 6)])
    asked = [(u, CANDIDATES[: 3 + n] if n % 3 else []) for n, u in enumerate(users)]
    together = await asyncio.gather(*(client.recommend(u, c, seed=3) for u, c in asked))
    alone = [await client.recommend(u, c, seed=3) for u, c in asked]
    assert [order(reply) for reply in together] == [order(reply) for reply in alone]


async def test_every_decision_is_logged(client: Client, server: Server) -> None:
    """The log holds the request as sent and the reply as received, but for what tells of whom they are."""
    asked = pb.RecommendRequest(candidate_ids=CANDIDATES, slate_size=3)
    name = logged_id(user_key(NOBODY, "logged"), "logged-1")
    reply = await client.recommend("logged", CANDIDATES, slate_size=3, decision_id="logged-1")
    store = EmbeddedStore(server.data_dir)
    redis = connect(store.url)
    found: list[decision_pb2.Decision] = []
    while not found:
        await asyncio.sleep(0.02)
        for shard in range(4):
            entries = await redis.xrange(f"qs:decisions:{shard}")
            decisions = [decision_pb2.Decision.FromString(fields[b"d"]) for _, fields in entries]
            found += [d for d in decisions if d.response.decision_id == name]
    await redis.aclose()
    assert [(d.request, slate(d.response)) for d in found] == [(asked, replace(reply, decision_id=name))]
    assert [(bool(d.user), d.temperature) for d in found] == [(True, 0.5)]
    assert abs(found[0].time_ms - time.time() * 1000) < 60_000


async def test_a_damaged_history_harms_only_its_user(client: Client, server: Server) -> None:
    """Bytes that are no history: the user gets the prior and the reason, and the next event repairs the history."""
    redis = connect(EmbeddedStore(server.data_dir).url)
    await redis.set("{damaged}:h", b"no history")
    await redis.set("{damaged}:c", b"no copy")
    await redis.aclose()
    reply = await client.recommend("damaged", CANDIDATES)
    assert (len(reply.items), reply.adaptation.reason) == (10, "the history is unreadable")
    assert len((await client.get_user("damaged")).events) == 0
    assert results(await client.record([event("damaged", "e", "i1")])) == ["ADDED"]
    assert (await client.recommend("damaged", CANDIDATES)).adaptation.events_used == 1


async def refusal(client: Client, user: str) -> str:
    """Why a user is ranked by the prior, for their new copy and for the same one as it comes from the store."""
    fresh = await client.recommend(user, CANDIDATES)
    while not (await client.get_user(user)).copy.current:
        await asyncio.sleep(0.01)
    kept = await client.recommend(user, CANDIDATES)
    assert {pb.SOURCE_PRIOR} == {fresh.adaptation.source, kept.adaptation.source}
    assert fresh.adaptation.reason == kept.adaptation.reason
    return kept.adaptation.reason


async def test_an_exploded_copy_is_refused(tmp_path: Path) -> None:
    """Where adaptation explodes, the prior is served, the reason given, and the refusal counted once and remembered."""
    server = start_server(make_policy(tmp_path / "p", scale={"maml.rate": 1e6}), tmp_path / "data")
    async with Client(server.target) as client:
        await client.record([event("u", "e", "i1")])
        assert await refusal(client, "u") == (reason := "the adapted copy was refused: not finite, or exploded")
        samples = server.metrics()
        assert samples['quickstudy_copies_total{state="adapted"}'] == 1
        assert samples['quickstudy_gate_rejections_total{reason="unsound"}'] == 1
        assert samples['quickstudy_gate_rejections_total{reason="misled"}'] == 0
        assert samples[f'quickstudy_served_total{{reason="{reason}",source="prior"}}'] == 2
    assert server.stop() == 0


async def test_a_misled_copy_is_refused(client: Client, server: Server) -> None:
    """Somebody who liked an item 24 times and then left it 10 times is ranked by the prior, for that reason."""
    rejected = 'quickstudy_gate_rejections_total{reason="misled"}'
    before = server.metrics()[rejected]
    await client.record([event("misled", f"e{n}", "i1", float(n < 24), 1_000 + n) for n in range(34)])
    reason = "the adapted copy was refused: worse than the prior at the newest decisions"
    assert await refusal(client, "misled") == reason
    assert server.metrics()[rejected] - before == 1


async def test_health_and_reflection_answer(server: Server) -> None:
    """A generic client finds the service healthy, and its name by reflection."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        checked = await health.Check(health_pb2.HealthCheckRequest(service="quickstudy.v1.Recommender"))
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        replies = [reply async for reply in reflection.ServerReflectionInfo(iter([asked]))]
        names = [service.name for reply in replies for service in reply.list_services_response.service]
    assert checked.status == health_pb2.HealthCheckResponse.SERVING
    assert "quickstudy.v1.Recommender" in names


async def test_metrics_count_what_happened(client: Client, server: Server) -> None:
    """The counters on the metrics port follow the calls."""
    name = 'quickstudy_events_total{result="duplicate"}'
    before = server.metrics().get(name, 0.0)
    await client.record([event("counted", "e", "i1"), event("counted", "e", "i1")])
    assert server.metrics()[name] == before + 1


def test_serving_needs_no_torch() -> None:
    """The modules of the server import neither torch nor pandas."""
    code = "import sys, service.server; print([m for m in ('torch', 'pandas', 'gymnasium') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_a_future_time_within_five_minutes_is_kept(client: Client) -> None:
    """Clocks may differ by up to five minutes."""
    soon = event("soon", "e", "i1")
    soon.time.CopyFrom(Timestamp(seconds=int(time.time()) + 280))
    assert results(await client.record([soon])) == ["ADDED"]
