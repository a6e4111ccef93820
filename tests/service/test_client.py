"""The client: what it makes of answers and failures, of the real service and of one that fails on purpose."""

from __future__ import annotations

import asyncio
import math
import random
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from meta.errors import InputError
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.client.blocking import BlockingClient
from service.client.call_error import CallError
from service.client.habits import PLAIN, Habits
from service.client.hedge import LEAST
from service.client.messages import answers, attributes, context, event
from service.client.results import EventResult, EventStatus, Source
from service.client.throttle import Throttle
from service.errors import InvalidFieldError, LimitedError, OverloadedError, StoreUnavailableError
from tests.service.flaky import NotLookedAtError, flaky
from tests.service.support import Server


def test_a_blocking_client_is_answered_as_the_other_one_is(server: Server) -> None:
    """The same calls with the same results, from a thread without coroutines."""

    async def other() -> Any:
        async with Client(server.target) as client:
            return await client.recommend("blocked", ["i1", "i2", "i3"], seed=1, decision_id="d")

    with BlockingClient(server.target) as client:
        assert client.record([event("blocked", "i1", event_id="e"), event("blocked", "i1", event_id="e")]) == [
            EventStatus(EventResult.ADDED),
            EventStatus(EventResult.DUPLICATE),
        ]
        slate = client.recommend("blocked", ["i1", "i2", "i3"], seed=1, decision_id="d")
        assert (slate.items, Source.ADAPTED) == (asyncio.run(other()).items, slate.adaptation.source)
        assert [1, True, False] == [
            len(client.get_user("blocked").events),
            client.delete_user("blocked"),
            client.delete_user("blocked"),
        ]
        with pytest.raises(CallError, match=r"must have 1\.\.256 bytes, got 0"):
            client.get_user("")


async def test_an_error_says_what_the_status_says() -> None:
    """Reason, time to wait and broken fields, whichever the service sends."""
    errors = [
        InvalidFieldError("slate_size", "must be in 1..100, got 101"),
        OverloadedError("the queue is full", 0.25),
        StoreUnavailableError("the store is away"),
    ]

    async def answer(request: Any, before: int) -> Any:
        raise errors[before]

    found = []
    async with flaky(answer) as service, Client(service.target, habits=PLAIN) as client:
        for _ in errors:
            with pytest.raises(CallError) as caught:
                await client.recommend("u")
            error = caught.value
            found.append((error.method, error.code().name, error.reason, error.retry_s, error.violations))
    broken = {"slate_size": "slate_size must be in 1..100, got 101"}
    assert found == [
        ("Recommend", "INVALID_ARGUMENT", "INVALID_FIELD", None, broken),
        ("Recommend", "RESOURCE_EXHAUSTED", "OVERLOADED", 0.25, {}),
        ("Recommend", "UNAVAILABLE", "STORE_UNAVAILABLE", 0.5, {}),
    ]


async def test_what_passes_by_itself_is_tried_again() -> None:
    """UNAVAILABLE, CANCELLED by a server that ends, then an answer: three attempts of what was asked for."""

    async def answer(request: Any, before: int) -> Any:
        if before == 0:
            raise StoreUnavailableError("the store is away")
        if before == 1:
            raise NotLookedAtError
        return pb.RecommendResponse(decision_id=request.decision_id)

    async with flaky(answer) as service, Client(service.target) as client:
        slate = await client.recommend("u", decision_id="d")
    assert [request.decision_id for request in service.requests] == [slate.decision_id] * 3 == ["d"] * 3


@pytest.mark.parametrize("error", [InvalidFieldError("user_id", "is wrong"), OverloadedError("the queue is full")])
async def test_what_does_not_pass_is_not_tried_again(error: Exception) -> None:
    """A wrong request stays wrong, and an overloaded service must not get more of the same."""

    async def answer(request: Any, before: int) -> Any:
        raise error

    async with flaky(answer) as service, Client(service.target) as client:
        with pytest.raises(CallError):
            await client.recommend("u")
    assert len(service.requests) == 1


async def test_a_call_ends_with_its_deadline() -> None:
    """DEADLINE_EXCEEDED from a service that never answers."""

    async def answer(request: Any, before: int) -> Any:
        await asyncio.Event().wait()

    async with flaky(answer) as service, Client(service.target, 0.2) as client:
        with pytest.raises(CallError) as caught:
            await client.recommend("u")
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_slow_call_is_asked_for_again_elsewhere_and_the_loser_is_cancelled() -> None:
    """The attempt that never ends loses to the second one, over another connection, and is cancelled."""

    async def answer(request: Any, before: int) -> Any:
        if before == LEAST:
            await asyncio.Event().wait()
        return pb.RecommendResponse(decision_id=request.decision_id)

    async with flaky(answer) as service, Client(service.target, 30.0, habits=Habits(hedge=True)) as client:
        for _ in range(LEAST):
            await client.recommend("quick")
        slate = await client.recommend("u")
        async with asyncio.timeout(10):
            await service.cancelled.wait()
    assert [request.decision_id for request in service.requests[LEAST:]] == [slate.decision_id] * 2
    assert len(set(service.peers)) == 2


def throttled(throttle: Throttle, calls: int, error: CallError | None) -> int:
    """How many of some calls, each ended so before the next, are let through."""
    passed = 0
    for _ in range(calls):
        try:
            throttle.admit("Recommend")
        except CallError:
            continue
        throttle.ended(error)
        passed += 1
    return passed


def refusal(error: LimitedError | OverloadedError, reason: str) -> CallError:
    """What a client makes of it."""
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    return CallError("Recommend", code, str(error), reason=reason, retry_s=error.retry_s)


def test_a_client_holds_back_while_the_service_sheds_load() -> None:
    """Nothing is held back while half are accepted; then the n-th call passes with probability 201/n."""
    throttle = Throttle(random.Random(1), clock=lambda: 0.0)
    shed = refusal(OverloadedError("the queue is full"), "OVERLOADED")
    assert [throttled(throttle, 100, None), throttled(throttle, 100, shed)] == [100, 100]
    assert throttled(throttle, 1000, shed) == pytest.approx(201 * math.log(1201 / 201), rel=0.15)


def test_a_client_waits_as_long_as_its_rate_limit_says() -> None:
    """Not one call before, all after."""
    now = 0.0
    throttle = Throttle(random.Random(1), clock=lambda: now)
    throttled(throttle, 10, None)
    throttled(throttle, 1, refusal(LimitedError("too many", 3.0), "RATE_LIMITED"))
    found = [throttled(throttle, 5, None)]
    now = 2.9
    found.append(throttled(throttle, 5, None))
    now = 3.1
    found.append(throttled(throttle, 5, None))
    assert found == [0, 0, 5]


def test_messages_are_written_from_plain_values() -> None:
    """Numbers, words, several words and vectors find their fields; events get names and times."""
    assert context(age=30, device="tv", genres=["a", "b"]) == pb.Context(
        numbers={"age": 30.0}, categories={"device": "tv", "genres": "a|b"}
    )
    assert attributes(age=30, plan="paid", likes=["a", "b"], taste=[0.5, 1]) == pb.Attributes(
        numbers={"age": 30.0},
        categories={"plan": pb.Words(values=["paid"]), "likes": pb.Words(values=["a", "b"])},
        vectors={"taste": pb.Vector(values=[0.5, 1.0])},
    )
    one, other = event("u", "i"), event("u", "i", time_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert len({one.event_id, other.event_id, ""}) == 3
    assert other.time.ToMilliseconds() == 1_767_312_000_000


async def test_a_whole_slate_is_answered_at_once(client: Client) -> None:
    """An event for each position, with what it earned; an item that was not shown cannot have earned anything."""
    slate = await client.recommend("shown", ["i1", "i2", "i3"], mode=pb.MODE_GREEDY)
    best = slate.item_ids[0]
    assert [status.kept for status in await client.record(answers("shown", slate, {best: 2.0}))] == [True] * 3
    kept = (await client.get_user("shown")).events
    assert {(each.item_id, each.reward, each.position) for each in kept} == {
        (item, 2.0 * (item == best), at) for at, item in enumerate(slate.item_ids, start=1)
    }
    with pytest.raises(InputError, match="rewards must be of items of the slate, not so 'i9'"):
        answers("shown", slate, {"i9": 1.0})


@pytest.mark.parametrize("attempts", [0, 6])
def test_habits_that_grpc_does_not_have_are_refused(attempts: int) -> None:
    """It makes one attempt at least and five at most."""
    with pytest.raises(InputError, match=r"attempts must be in 1\.\.5"):
        Habits(attempts=attempts)


def test_values_that_no_field_can_hold_are_named() -> None:
    """Words and numbers in one sequence, no words at all, and a time without a zone."""
    for make in (
        lambda: attributes(plan=["a", 1]),  # type: ignore[list-item]
        lambda: attributes(plan=[]),
        lambda: context(plan=[1, "a"]),  # type: ignore[list-item]
        lambda: event("u", "i", time_at=datetime(2026, 1, 2)),  # noqa: DTZ001, RUF100 # that is the point
    ):
        with pytest.raises(InputError, match=r"must be|must have"):
            make()
