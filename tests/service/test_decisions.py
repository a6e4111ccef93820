"""Whose order is shown and what the decision log says of it, through real gRPC and a real store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import grpc
import pytest

from protos.quickstudy.v1 import decision_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access.tenants import NOBODY, user_key
from service.client import Client
from service.client.results import Slate, slate
from service.decisions import logged_id
from service.store import connect
from service.store.embedded import EmbeddedStore
from tests.service.support import Server

CANDIDATES = [f"i{n}" for n in range(39, -1, -1)]
ASKED = (pb.SOURCE_BASELINE, "asked for")


def order(reply: Slate) -> list[str]:
    """The item ids of a slate."""
    return [item.item_id for item in reply.items]


async def logged(
    server: Server, wanted: Callable[[decision_pb2.Decision], bool], n: int
) -> list[decision_pb2.Decision]:
    """The entries of the log that are wanted, in order of time, as soon as there are `n` of them."""
    redis = connect(EmbeddedStore(server.data_dir).url)
    found: list[decision_pb2.Decision] = []
    async with asyncio.timeout(20):
        while len(found) < n:
            await asyncio.sleep(0.02)
            raw = [fields[b"d"] for shard in range(4) for _, fields in await redis.xrange(f"qs:decisions:{shard}")]
            found = [entry for entry in map(decision_pb2.Decision.FromString, raw) if wanted(entry)]
    await redis.aclose()
    return sorted(found, key=lambda entry: entry.time_ms)


def name(user: str, decision_id: str) -> str:
    """How the log names a decision."""
    return logged_id(user_key(NOBODY, user), decision_id)


def of(*names: str) -> Callable[[decision_pb2.Decision], bool]:
    """Which entries are of decisions with these names."""
    return lambda entry: bool({entry.response.decision_id, entry.activated.decision_id} & {*names})


def as_logged(reply: Slate, user: str) -> Slate:
    """A reply as the log keeps it."""
    return replace(reply, decision_id=name(user, reply.decision_id))


def shown(entries: Iterable[decision_pb2.Decision]) -> list[str]:
    """Decisions that count as shown, by the words of decision.proto."""
    entries = list(entries)
    activated = {entry.activated.decision_id for entry in entries if entry.HasField("activated")}
    answered = [entry for entry in entries if entry.HasField("request")]
    return [
        entry.response.decision_id
        for entry in answered
        if not entry.request.defer_activation or entry.response.decision_id in activated
    ]


async def test_an_apprentice_shows_the_callers_order(client: Client) -> None:
    """Mode BASELINE shows the first candidates as they came, each once, less the excluded, known or not."""
    reply = await client.recommend(
        "apprentice", ["x", "i7", "i7", "i3", "i9", "i1"], slate_size=4, mode=pb.MODE_BASELINE, excluded_ids=["i3"]
    )
    assert [(item.item_id, item.score, item.propensity) for item in reply.items] == [
        (name, 0.0, 1.0) for name in ("x", "i7", "i9", "i1")
    ]
    assert (list(reply.unknown_ids), reply.log_propensity) == (["x"], 0.0)
    assert (reply.adaptation.source, reply.adaptation.reason) == ASKED


async def test_the_log_keeps_what_the_apprentice_would_have_shown(client: Client, server: Server) -> None:
    """Beside the caller's order stands the very reply that the policy gives by itself, and no other mode logs one."""
    await client.record([pb.Event(event_id=f"e{n}", user_id="watched", item_id=f"i{n}", reward=1.0) for n in range(6)])
    reply = await client.recommend("watched", CANDIDATES, seed=3, decision_id="watched-1", mode=pb.MODE_BASELINE)
    own = await client.recommend("watched", CANDIDATES, seed=3, decision_id="watched-2")
    names = [name("watched", f"watched-{n}") for n in (1, 2)]
    by, beside = await logged(server, of(*names), 2)
    assert slate(by.response) == as_logged(reply, "watched")
    assert order(reply) == CANDIDATES[:10] != order(own)
    beside_it = slate(by.apprentice)  # whose losses a kept copy rounds: it may be there by the second call, or not
    assert beside_it == replace(own, decision_id=names[0], adaptation=beside_it.adaptation)
    assert [by.apprentice.adaptation.source, beside.HasField("apprentice")] == [pb.SOURCE_ADAPTED, False]


async def test_modes_of_a_batch_do_not_mix(client: Client) -> None:
    """Of concurrent calls only those in mode BASELINE get the caller's order."""
    modes = [pb.MODE_BASELINE, pb.MODE_GREEDY] * 12
    replies = await asyncio.gather(*(client.recommend("both", CANDIDATES, mode=mode) for mode in modes))
    greedy = order(await client.recommend("both", CANDIDATES, mode=pb.MODE_GREEDY))
    assert [order(reply) for reply in replies] == [CANDIDATES[:10], greedy] * 12
    assert greedy != CANDIDATES[:10]


async def test_a_deferred_decision_is_shown_once_activated(client: Client, server: Server) -> None:
    """Of two deferred decisions only the activated one counts, however often and even if it is named ahead."""
    await client.activate("ahead", "ahead-1")
    for given in ("ahead-1", "ahead-2"):
        reply = await client.recommend("ahead", CANDIDATES, decision_id=given, defer_activation=True)
        assert (reply.decision_id, len(reply.items)) == (given, 10)
    await client.recommend("ahead", CANDIDATES, decision_id="ahead-3")
    await client.activate("ahead", "ahead-1")
    names = [name("ahead", f"ahead-{n}") for n in (1, 2, 3)]
    entries = await logged(server, of(*names), 5)
    assert {names[0], names[2]} == {*shown(entries)}
    assert [entry.activated for entry in entries if entry.HasField("activated")] == [
        pb.ActivateDecisionRequest(decision_id=names[0])
    ] * 2
    assert abs(entries[0].time_ms - time.time() * 1000) < 60_000


@pytest.mark.parametrize(
    ("user", "decision", "words"),
    [
        ("", "d", "user_id must have 1..256 bytes, got 0"),
        ("u", "", "decision_id must have 1..128 bytes, got 0"),
        ("u", "d" * 129, "decision_id must have 1..128 bytes, got 129"),
    ],
)
async def test_an_activation_names_user_and_decision(client: Client, user: str, decision: str, words: str) -> None:
    """One that does not is refused with the rule that it breaks."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.activate(user, decision)
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, words)


async def test_an_apprentice_needs_an_order(client: Client) -> None:
    """There is no order of the caller's where the whole catalogue is asked for."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.recommend("nobody", mode=pb.MODE_BASELINE)
    assert (caught.value.code(), caught.value.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "candidate_ids must hold 1..10,000 ids in mode BASELINE, got 0",
    )


def click(user: str, name: str, item: str) -> pb.Event:
    """A like."""
    return pb.Event(event_id=name, user_id=user, item_id=item, reward=1.0)


async def test_a_repeated_decision_is_given_as_it_was(client: Client, server: Server) -> None:
    """After new events and for other words of the request the same id brings the same reply, logged once."""
    first = await client.recommend("again", CANDIDATES, decision_id="again-1")
    await client.record([click("again", f"e{n}", f"i{n}") for n in range(8)])
    repeats = [await client.recommend("again", CANDIDATES[5:], slate_size=3, decision_id="again-1") for _ in range(3)]
    other = await client.recommend("again", CANDIDATES, decision_id="again-2")
    entries = await logged(server, of(name("again", "again-1"), name("again", "again-2")), 2)
    assert repeats == [first] * 3
    assert [first.adaptation.watermark >> 32, other.adaptation.watermark >> 32] == [0, 8]
    assert [slate(entry.response) for entry in entries] == [as_logged(first, "again"), as_logged(other, "again")]


async def test_equal_names_in_flight_are_one_decision(client: Client, server: Server) -> None:
    """Calls that meet in one batch get one reply, though each alone would have got another; names are per user."""
    asked = [("hedged" if n % 3 else "hedged too", CANDIDATES[n:]) for n in range(24)]
    replies = await asyncio.gather(*(client.recommend(user, some, decision_id="h") for user, some in asked))
    entries = await logged(server, of(name("hedged", "h"), name("hedged too", "h")), 2)
    written = {entry.SerializeToString() for entry in entries}  # at least once: a late answer has a write repeated
    assert len(set(replies)) == len(written) == 2


async def test_an_erased_user_is_decided_for_anew(client: Client) -> None:
    """DeleteUser forgets decisions by name, those that are not written yet as well."""
    await client.record([click("erased", "e", "i1")])
    old = await client.recommend("erased", CANDIDATES, decision_id="x")
    await client.delete_user("erased")
    new = await client.recommend("erased", CANDIDATES, decision_id="x")
    assert [old.adaptation.reason, new.adaptation.reason] == ["", "no events"]
