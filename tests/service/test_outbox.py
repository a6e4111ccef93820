"""Events on their way: each one is kept by the service or handed back, whatever happens in between."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from meta.errors import InputError
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.client.blocking import BlockingClient, BlockingOutbox
from service.client.habits import PLAIN
from service.client.messages import event
from service.client.outbox import Outbox, UndeliveredError
from service.errors import ForbiddenError, OverloadedError, StoreUnavailableError
from tests.service.flaky import flaky
from tests.service.support import Server

ADDED = pb.EventStatus(result=pb.EVENT_RESULT_ADDED)


def statuses(request: Any, rejected: str = "") -> pb.RecordEventsResponse:
    """The reply of a service that keeps all events but those of one item."""
    no = pb.EventStatus(result=pb.EVENT_RESULT_REJECTED, reason="reward must be finite")
    return pb.RecordEventsResponse(statuses=[no if each.item_id == rejected else ADDED for each in request.events])


def items(requests: list[Any]) -> list[list[str]]:
    """The items of each call."""
    return [[each.item_id for each in request.events] for request in requests]


async def test_all_events_arrive(client: Client) -> None:
    """600 events of 20 users, in batches of 64 and from concurrent tasks, are in the histories when it is closed."""
    users = [f"posted{n}" for n in range(20)]
    async with Outbox(client, size=64, capacity=100) as outbox:

        async def tell(user: str) -> list[str]:
            return [await outbox.add(pb.Event(user_id=user, item_id=f"i{n}", reward=1.0)) for n in range(30)]

        ids = await asyncio.gather(*map(tell, users))
    assert len({each for told in ids for each in told}) == 600
    assert [len((await client.get_user(user)).events) for user in users] == [30] * 20


def test_a_blocking_outbox_delivers(server: Server) -> None:
    """What was flushed is in the history, what was added later is there after closing."""
    with BlockingClient(server.target) as client:
        with BlockingOutbox(client, wait_s=60.0) as outbox:
            outbox.add(event("letter", "i1"))
            outbox.flush()
            found = [len(client.get_user("letter").events)]
            outbox.add(event("letter", "i2"))
        found.append(len(client.get_user("letter").events))
    assert found == [1, 2]


async def test_events_wait_for_a_batch_but_not_long() -> None:
    """A full batch goes at once, in order; the rest when its time is over."""

    async def answer(request: Any, before: int) -> Any:
        return statuses(request)

    async with (
        flaky(answer) as service,
        Client(service.target) as client,
        Outbox(client, size=3, wait_s=0.2) as outbox,
    ):
        for n in range(4):
            await outbox.add(event("u", f"i{n}"))
        async with asyncio.timeout(20):
            while len(service.requests) < 2:
                await asyncio.sleep(0.01)
    assert items(service.requests) == [["i0", "i1", "i2"], ["i3"]]


async def test_a_batch_is_sent_again_under_the_same_ids() -> None:
    """After refusals that pass, the same events go once more; those behind them wait for their turn."""
    errors = [StoreUnavailableError("the store is away"), OverloadedError("the queue is full", 0.2)]

    async def answer(request: Any, before: int) -> Any:
        if before < len(errors):
            raise errors[before]
        return statuses(request)

    async with (
        flaky(answer) as service,
        Client(service.target, habits=PLAIN) as client,
        Outbox(client, size=2) as outbox,
    ):
        ids = [await outbox.add(event("u", f"i{n}")) for n in range(4)]
        await outbox.flush()
    assert [[each.event_id for each in request.events] for request in service.requests] == [ids[:2]] * 3 + [ids[2:]]


async def test_what_the_service_rejects_is_handed_back() -> None:
    """The one event, with the reason; the others are delivered."""

    async def answer(request: Any, before: int) -> Any:
        return statuses(request, rejected="i1")

    async with flaky(answer) as service, Client(service.target) as client, Outbox(client) as outbox:
        for n in range(3):
            await outbox.add(event("u", f"i{n}"))
        with pytest.raises(UndeliveredError, match="1 events were not delivered") as caught:
            await outbox.flush()
    assert [(each.event.item_id, each.why) for each in caught.value.events] == [
        ("i1", "it was REJECTED: reward must be finite")
    ]


async def test_a_refusal_that_does_not_pass_hands_all_back_at_once() -> None:
    """A token without the scope gets no better by waiting."""

    async def answer(request: Any, before: int) -> Any:
        raise ForbiddenError("RecordEvents asks for scope write; the token has read")

    async with flaky(answer) as service, Client(service.target) as client:
        with pytest.raises(UndeliveredError, match="asks for scope write") as caught:
            async with Outbox(client) as outbox:
                ids = [await outbox.add(event("u", f"i{n}")) for n in range(3)]
    assert ([each.event.event_id for each in caught.value.events], len(service.requests)) == (ids, 1)


async def test_a_full_outbox_hands_back_what_it_cannot_deliver() -> None:
    """With room for three and no service: the fourth is not taken, and after that there is room again."""

    async def answer(request: Any, before: int) -> Any:
        raise StoreUnavailableError("the store is away")

    async with (
        flaky(answer) as service,
        Client(service.target, habits=PLAIN) as client,
        Outbox(client, size=3, wait_s=60.0, capacity=3, patience_s=0.0) as outbox,
    ):
        ids = [await outbox.add(event("u", f"i{n}")) for n in range(3)]
        with pytest.raises(UndeliveredError, match=r"3 events were not delivered.*the store is away") as caught:
            await outbox.add(event("u", "i3"))
        ids.append(await outbox.add(event("u", "i4")))
        with pytest.raises(UndeliveredError) as later:
            await outbox.flush()
    assert [each.event.event_id for error in (caught, later) for each in error.value.events] == ids


@pytest.mark.parametrize("in_flight", [False, True])
async def test_a_closed_channel_loses_nothing(in_flight: bool) -> None:
    """Events whose client was closed too early are handed back, whether they were on their way or not yet."""

    async def answer(request: Any, before: int) -> Any:
        await asyncio.Event().wait()

    async with (
        flaky(answer) as service,
        Client(service.target, 60.0) as client,
        Outbox(client, size=1 if in_flight else 2, wait_s=60.0) as outbox,
    ):
        ids = [await outbox.add(event("u", "i1"))]
        async with asyncio.timeout(20):
            while in_flight and not service.requests:
                await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(UndeliveredError) as caught:
            await outbox.flush()
    assert [each.event.event_id for each in caught.value.events] == ids


async def test_closing_that_is_cancelled_loses_nothing() -> None:
    """Who cannot wait for a service that never answers gets the events instead."""

    async def answer(request: Any, before: int) -> Any:
        await asyncio.Event().wait()

    async with flaky(answer) as service, Client(service.target, 60.0) as client:
        with pytest.raises(UndeliveredError, match="closing was cancelled") as caught:
            async with asyncio.timeout(0.5), Outbox(client) as outbox:
                ids = [await outbox.add(event("u", f"i{n}")) for n in range(3)]
    assert [each.event.event_id for each in caught.value.events] == ids


async def test_every_event_is_kept_or_handed_back() -> None:
    """Of a service that refuses half of the calls, a third of these after it kept the events."""
    rng = random.Random(3)
    kept: set[str] = set()
    ids: list[str] = []
    back: list[str] = []

    async def answer(request: Any, before: int) -> Any:
        draw = rng.random()
        if draw > 1 / 3:
            kept.update(each.event_id for each in request.events)
        if draw < 1 / 2:
            raise OverloadedError("the queue is full", 0.01)
        return statuses(request)

    async def until_taken(outbox: Outbox) -> str:
        while True:
            try:
                return await outbox.add(event("u", "i1"))
            except UndeliveredError as error:
                back.extend(each.event.event_id for each in error.events)

    async with flaky(answer) as service, Client(service.target, habits=PLAIN) as client:
        try:
            async with Outbox(client, size=10, capacity=20, patience_s=0.15) as outbox:
                ids.extend([await until_taken(outbox) for _ in range(200)])
        except UndeliveredError as error:
            back.extend(each.event.event_id for each in error.events)
    assert {*kept, *back} == set(ids)
    assert (len(ids), len(back), True) == (200, len(set(back)), 0 < len(back) < 200)


@pytest.mark.parametrize(("size", "capacity"), [(0, 10), (1001, 5000), (11, 10)])
async def test_a_batch_fits_the_outbox_and_the_call(client: Client, size: int, capacity: int) -> None:
    """Sizes that cannot work are refused at once."""
    with pytest.raises(InputError, match=r"size must be in 1\.\.1000 and at most the capacity"):
        Outbox(client, size=size, capacity=capacity)


async def test_a_closed_outbox_takes_nothing(client: Client) -> None:
    """An event that nobody would send is not taken."""
    async with Outbox(client) as outbox:
        pass
    with pytest.raises(InputError, match="the outbox is closed"):
        await outbox.add(event("late", "i1"))
