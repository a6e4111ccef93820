"""What the store still tells of a user: nothing after DeleteUser, and nothing for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from protos.quickstudy.v1 import decision_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client, attributes, event
from service.store import connect, history
from service.store.embedded import EmbeddedStore
from tests.service.support import Server

CANDIDATES = [f"i{n}" for n in range(20)]
KEPT = {b"h", b"c", b"a", b"d"}


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[Redis]:
    """A look into the store."""
    opened = connect(EmbeddedStore(server.data_dir).url)
    yield opened
    await opened.aclose()


async def visit(client: Client, user: str) -> None:
    """All that can be kept of a user: attributes, events, a copy, decisions with and without a name, an activation."""
    await client.upsert_users([pb.User(user_id=user, attributes=attributes(age=30.0))])
    first = await client.recommend(user, CANDIDATES)
    deferred = await client.recommend(user, CANDIDATES, decision_id=f"{user}-named", defer_activation=True)
    await client.activate(user, deferred.decision_id)
    await client.record(
        event(
            user, item.item_id, float(at == 0), event_id=f"{user}-{at}", decision_id=first.decision_id, position=at + 1
        )
        for at, item in enumerate(first.items)
    )
    await client.recommend(user, CANDIDATES)


async def values(redis: Redis) -> dict[bytes, bytes]:
    """Everything in the store, by key: streams with all their entries."""
    found = {}
    for key in await redis.keys("*"):
        kind = await redis.type(key)
        if kind == b"stream":
            found[key] = b"".join(b"".join(fields.values()) for _, fields in await redis.xrange(key))
        elif kind == b"hash":
            found[key] = b"".join(k + v for k, v in (await redis.hgetall(key)).items())
        else:
            found[key] = await redis.get(key)
    return found


async def settled(redis: Redis, user: str, pseudonym: bytes, entries: int) -> list[bytes]:
    """Keys of all that is kept of a user, as soon as that is all and the log has as many entries of them."""
    async with asyncio.timeout(20):
        while True:
            found = await values(redis)
            own = [key for key in found if user.encode() in key]
            logged = sum(value.count(pseudonym) for key, value in found.items() if b"qs:" in key)
            if {key.rpartition(b":")[2] for key in own} == KEPT and logged == entries:
                return own
            await asyncio.sleep(0.05)


async def number(redis: Redis, user: str) -> bytes:
    """The pseudonym in a user's history, as soon as there is one."""
    async with asyncio.timeout(20):
        while (value := await redis.get(f"{{{user}}}:h")) is None:
            await asyncio.sleep(0.02)
    return bytes(value[8 : history.HEADER])


async def test_nothing_leads_from_an_erased_user_to_the_log(client: Client, redis: Redis) -> None:
    """One key alone holds both name and number of a user before; nothing holds the name after."""
    await visit(client, "forgettable")
    pseudonym = await number(redis, "forgettable")
    own = await settled(redis, "forgettable", pseudonym, entries=4)
    before = await values(redis)
    assert [key for key in own if pseudonym in before[key]] == [b"{forgettable}:h"]
    assert await client.delete_user("forgettable")
    await asyncio.sleep(0.1)  # whatever was queued has been written
    after = await values(redis)
    assert [key for key, value in after.items() if b"forgettable" in key or b"forgettable" in value] == []
    assert {key.split(b":")[1] for key, value in after.items() if pseudonym in value} == {b"decisions", b"events"}


async def test_who_comes_back_is_somebody_else(client: Client, redis: Redis) -> None:
    """After an erasure the log knows a user by another number."""
    await visit(client, "returning")
    old = await number(redis, "returning")
    await client.delete_user("returning")
    await visit(client, "returning")
    assert await number(redis, "returning") not in (old, bytes(8))


async def test_a_user_has_one_number_from_the_first_call_on(client: Client, redis: Redis) -> None:
    """Decisions at once and before any event, and later events, are all logged under one number."""
    await asyncio.gather(*(client.recommend("newcomer", CANDIDATES) for _ in range(8)))
    pseudonym = await number(redis, "newcomer")
    assert (await client.recommend("newcomer", CANDIDATES)).adaptation.reason == "no events"
    await client.record([event("newcomer", "i1")])
    async with asyncio.timeout(20):
        while sum(value.count(pseudonym) for key, value in (await values(redis)).items() if b"qs:" in key) < 10:
            await asyncio.sleep(0.05)
    assert await number(redis, "newcomer") == pseudonym


async def test_whatever_is_kept_of_a_user_ends(client: Client, redis: Redis) -> None:
    """Every key of a user has a time to live, of newcomers too; streams are bounded instead."""
    await visit(client, "mortal")
    await settled(redis, "mortal", await number(redis, "mortal"), entries=4)
    await client.recommend("newborn", CANDIDATES)
    await number(redis, "newborn")
    lives = {key: await redis.ttl(key) for key in await redis.keys("*") if b"{" in key}
    assert {b"{mortal}:" + kind for kind in KEPT} | {b"{newborn}:h"} <= lives.keys()
    assert [key for key, seconds in lives.items() if not 0 < seconds <= 90 * 86_400] == []
    assert lives[b"{newborn}:h"] <= 7 * 86_400


async def test_the_log_holds_each_added_event_once(client: Client, redis: Redis) -> None:
    """Duplicates and rejected events are not logged, and a call's events of one user are one entry, in order."""
    given = [event("teller", f"i{n}", n / 4, event_id=f"e{n}", decision_id="d", position=n + 1) for n in range(3)]
    given[2].time.FromMilliseconds(1_760_000_000_123)
    await client.record([given[0], given[0], event("teller", "", event_id="bad")])
    await client.record(given)
    pseudonym = int.from_bytes(await number(redis, "teller"), "little")
    raw = [fields[b"e"] for shard in range(4) for _, fields in await redis.xrange(f"qs:events:{shard}")]
    entries = [entry for entry in map(decision_pb2.Recorded.FromString, raw) if entry.user == pseudonym]
    entries.sort(key=lambda entry: entry.time_ms)
    told = [[(o.item_id, o.reward, o.position) for o in entry.outcomes] for entry in entries]
    assert told == [[("i0", 0.0, 1)], [("i1", 0.25, 2), ("i2", 0.5, 3)]]
    assert entries[1].outcomes[1].time_ms == 1_760_000_000_123
    assert len({o.decision_id for entry in entries for o in entry.outcomes}) == 1
