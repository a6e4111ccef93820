"""Bad input: the status, the words, and nothing lost beside it."""

from __future__ import annotations

import math
import time

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from tests.service.support import Server

RECOMMEND = [
    ({"user_id": ""}, "user_id", "user_id must have 1..256 bytes, got 0"),
    ({"user_id": "u" * 10_000}, "user_id", "user_id must have 1..256 bytes, got 10,000"),
    ({"user_id": "ü" * 129}, "user_id", "user_id must have 1..256 bytes, got 258"),
    ({"slate_size": 101}, "slate_size", "slate_size must be in 1..100, or 0 for 10, got 101"),
    ({"candidate_ids": ["i1"] * 10_001}, "candidate_ids", "candidate_ids must hold 0..10,000 ids, got 10,001"),
    ({"candidate_ids": ["i1", ""]}, "candidate_ids", "candidate_ids must have ids of 1..256 bytes, got 0"),
    ({"candidate_ids": ["x" * 257]}, "candidate_ids", "candidate_ids must have ids of 1..256 bytes, got 257"),
    ({"excluded_ids": ["i1"] * 10_001}, "excluded_ids", "excluded_ids must hold 0..10,000 ids, got 10,001"),
    ({"mode": 9}, "mode", "mode must be one of 0..3, got 9"),
    ({"decision_id": "d" * 129}, "decision_id", "decision_id must have 0..128 bytes, got 129"),
]

EVENTS = [
    ({"reward": math.nan}, "reward must be finite, got nan"),
    ({"reward": math.inf}, "reward must be finite, got inf"),
    ({"reward": -math.inf}, "reward must be finite, got -inf"),
    ({"event_id": ""}, "event_id must have 1..128 bytes, got 0"),
    ({"event_id": "e" * 10_240}, "event_id must have 1..128 bytes, got 10,240"),
    ({"user_id": ""}, "user_id must have 1..256 bytes, got 0"),
    ({"item_id": ""}, "item_id must have 1..256 bytes, got 0"),
    ({"item_id": "i" * 10_240}, "item_id must have 1..256 bytes, got 10,240"),
    ({"decision_id": "d" * 129}, "decision_id must have 0..128 bytes, got 129"),
    ({"position": 101}, "position must be in 0..100, got 101"),
    ({"time": Timestamp(seconds=-1)}, "time must be a valid time since 1970, got -1 s 0 ns"),
]


def details(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    """The google.rpc.Status of a failed call."""
    raw = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(raw, bytes)
    return status_pb2.Status.FromString(raw)


async def ask(server: Server, method: str, body: bytes) -> bytes:
    """Calls a method with raw bytes."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        reply: bytes = await channel.unary_unary(f"/quickstudy.v1.Recommender/{method}")(body)
        return reply


@pytest.mark.parametrize(("fields", "field", "words"), RECOMMEND)
async def test_recommend_names_field_value_and_rule(
    server: Server, fields: dict[str, object], field: str, words: str
) -> None:
    """INVALID_ARGUMENT carries the words, a BadRequest for the field and our ErrorInfo."""
    request = pb.RecommendRequest(**{"user_id": "u", **fields})  # type: ignore[arg-type]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(server, "Recommend", request.SerializeToString())
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, words)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    found = [(d.Unpack(info), d.Unpack(bad)) for d in details(caught.value).details]
    assert found == [(True, False), (False, True)]
    assert (info.reason, info.domain) == ("INVALID_FIELD", "quickstudy")
    assert [(v.field, v.description) for v in bad.field_violations] == [(field, words)]


@pytest.mark.parametrize(("fields", "words"), EVENTS)
async def test_a_bad_event_is_rejected_and_the_others_are_kept(
    client: Client, fields: dict[str, object], words: str
) -> None:
    """REJECTED names the rule; good events of the same user in the same call are added."""
    user = f"bad-{abs(hash(words))}"
    good = [pb.Event(event_id=name, user_id=user, item_id="i1", reward=1.0) for name in ("before", "after")]
    bad = pb.Event(**{"event_id": "bad", "user_id": user, "item_id": "i1", "reward": 1.0, **fields})  # type: ignore[arg-type]
    statuses = await client.record([good[0], bad, good[1]])
    assert [status.result for status in statuses] == [
        pb.EVENT_RESULT_ADDED,
        pb.EVENT_RESULT_REJECTED,
        pb.EVENT_RESULT_ADDED,
    ]
    assert statuses[1].reason == words
    assert len((await client.get_user(user)).events) == 2


async def test_an_event_of_the_future_is_rejected(client: Client) -> None:
    """More than five minutes ahead is refused, and the reason says how far ahead."""
    event = pb.Event(event_id="e", user_id="future", item_id="i1", time=Timestamp(seconds=int(time.time()) + 1_000))
    status = (await client.record([event]))[0]
    assert status.result == pb.EVENT_RESULT_REJECTED
    assert status.reason.startswith("time must be at most 300 s in the future, got ")
    assert (await client.get_user("future")).watermark == 0


@pytest.mark.parametrize(("n", "words"), [(0, "must hold 1..1,000 events, got 0"), (1_001, "events, got 1,001")])
async def test_the_number_of_events_is_bounded(client: Client, n: int, words: str) -> None:
    """A call with no event, or with more than a thousand, is refused as a whole."""
    with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
        await client.record([pb.Event(event_id=f"{k}", user_id="bound", item_id="i1") for k in range(n)])
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert (await client.get_user("bound")).watermark == 0


@pytest.mark.parametrize("method", ["Recommend", "RecordEvents", "GetUser", "DeleteUser", "UpsertUsers"])
async def test_bytes_that_are_no_message_are_refused(server: Server, method: str) -> None:
    """Garbage on the wire is the caller's error, with our reason, not ours."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ask(server, method, b"\xff\xff\xff\xff")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == f"the bytes are not a valid {method}Request"


@pytest.mark.parametrize("method", ["GetUser", "DeleteUser"])
async def test_explicit_look_ups_check_the_user_id(server: Server, method: str) -> None:
    """An empty user id is refused everywhere."""
    with pytest.raises(grpc.aio.AioRpcError, match=r"user_id must have 1\.\.256 bytes, got 0"):
        await ask(server, method, b"")


async def test_ten_thousand_candidates_are_ranked(client: Client) -> None:
    """The largest allowed request is answered."""
    reply = await client.recommend("most", [f"i{n % 120}" for n in range(10_000)], slate_size=100)
    assert len(reply.items) == 100
