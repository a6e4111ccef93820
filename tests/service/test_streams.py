"""Many requests in one call: answered in order, a bounded number at once, ended by the first that breaks a rule."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access import tokens
from service.client import Source, event
from service.client.blocking import BlockingClient
from service.client.call_error import CallError
from service.client.client import Client, Requests
from service.client.results import Slate
from service.metrics import Metrics
from service.streams import IN_FLIGHT, Streams, stream_handler
from tests.service.support import Server, start_server


def request(n: int, **fields: object) -> pb.RecommendRequest:
    """The request of a user of its own."""
    return pb.RecommendRequest(user_id=f"stream-{n}", decision_id=f"d{n}", slate_size=3, **fields)  # type: ignore[arg-type]


async def answers(client: Client, requests: Requests) -> list[Slate]:
    """All slates of a stream."""
    return [slate async for slate in client.recommend_stream(requests)]


async def until_error(client: Client, requests: Requests) -> tuple[list[str], CallError]:
    """The decisions of a stream that ends early, and what ended it."""
    found: list[str] = []
    try:
        async for slate in client.recommend_stream(requests):
            found.append(slate.decision_id)  # noqa: PERF401 # a comprehension that raises keeps nothing
    except CallError as error:
        return found, error
    raise AssertionError("the stream ended by itself")


async def test_slates_come_in_the_order_of_the_requests(client: Client) -> None:
    """Each is what the same request gets alone, also where some take longer than others."""
    requests = [request(n, candidate_ids=[f"i{i}" for i in range(n % 90)], seed=n) for n in range(200)]
    slates = await answers(client, requests)
    assert [slate.decision_id for slate in slates] == [each.decision_id for each in requests]
    for n in (0, 7, 199):
        alone = await client.recommend(
            f"stream-{n}", [f"i{i}" for i in range(n % 90)], slate_size=3, seed=n, decision_id=f"e{n}"
        )
        assert alone.item_ids == slates[n].item_ids


async def test_an_empty_stream_is_answered_by_nothing(client: Client) -> None:
    """No request, no slate, no error."""
    assert await answers(client, []) == []


async def test_a_request_that_breaks_a_rule_ends_the_stream_by_its_number(client: Client) -> None:
    """What came before is answered; what comes behind is not."""
    found, error = await until_error(client, [request(0), request(1), pb.RecommendRequest(), request(3)])
    assert found == ["d0", "d1"]
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == "requests[2].user_id must have 1..256 bytes, got 0"
    assert list(error.violations) == ["requests[2].user_id"]


async def test_bytes_that_are_no_request_end_the_stream_by_their_number(server: Server) -> None:
    """A broken message is told from a broken rule."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        call = channel.stream_stream("/quickstudy.v1.Recommender/RecommendStream")(
            iter([request(0).SerializeToString(), b"\xff\xff"])
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            [reply async for reply in call]
    assert caught.value.details() == "requests[1]: the bytes are not a valid RecommendStreamRequest"


async def test_no_more_is_worked_on_than_there_is_room_for() -> None:
    """While no answer is ready the service begins so many and reads no further; each answer makes room for one."""
    begun: list[bytes] = []
    ready = asyncio.Semaphore(0)

    async def handler(raw: bytes, context: Any, tenant: str) -> bytes:
        begun.append(raw)
        await ready.acquire()
        return raw

    server = grpc.aio.server()
    stream = stream_handler("RecommendStream", handler, bytes, Metrics(), None, Streams())
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", {"RecommendStream": stream}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sent = [str(n).encode() for n in range(3 * IN_FLIGHT)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream("/test/RecommendStream")(iter(sent))
        for released in (0, 5):
            for _ in range(released):
                ready.release()
            await asyncio.sleep(0.3)
            assert sent[: IN_FLIGHT + released] == begun
        for _ in sent:
            ready.release()
        assert [reply async for reply in call] == sent
    await server.stop(None)


async def test_every_request_of_a_stream_counts_as_a_call(policy: Path, tmp_path: Path) -> None:
    """A stream is slowed down to the caller's rate instead of being refused."""
    server = start_server(policy, tmp_path, ACCESS_RATE_PER_S="20", ACCESS_BURST="5")
    async with Client(server.target) as client:
        started = time.monotonic()
        assert len(await answers(client, [request(n) for n in range(15)])) == 15
        assert time.monotonic() - started >= 9.5 / 20  # five at once, then one every 50 ms
    assert server.stop() == 0


async def test_a_stream_asks_for_scope_read(policy: Path, tmp_path: Path) -> None:
    """A token that may only write opens no stream."""
    secret, token = tokens.create("web", "shop", ["write"], 1)
    tokens.append(tmp_path / "tokens", token)
    server = start_server(policy, tmp_path / "data", ACCESS_TOKENS=str(tmp_path / "tokens"))
    async with Client(server.target, token=secret) as client:
        with pytest.raises(CallError, match="RecommendStream asks for scope read"):
            await answers(client, [request(0)])
    assert server.stop() == 0


async def test_a_server_that_stops_ends_streams_after_what_it_has_read(policy: Path, tmp_path: Path) -> None:
    """The caller learns how many were answered, and the server does not wait for a stream without an end."""
    server = start_server(policy, tmp_path)
    told = asyncio.Event()

    async def slow() -> AsyncIterator[pb.RecommendRequest]:
        for n in range(3):
            yield request(n)
        await asyncio.sleep(0.5)
        told.set()
        await asyncio.Event().wait()

    async with Client(server.target) as client:
        stream = asyncio.create_task(until_error(client, slow()))
        await told.wait()
        assert await asyncio.to_thread(server.stop) == 0
        found, error = await stream
    assert found == ["d0", "d1", "d2"]
    assert (error.code(), error.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert error.details() == "the server is stopping: 3 requests were answered, send the others again"


def test_streams_without_coroutines(server: Server) -> None:
    """The blocking client gives the same slates one by one."""
    with BlockingClient(server.target) as client:
        slates = client.recommend_stream(request(n) for n in range(5))
        assert [slate.decision_id for slate in slates] == [f"d{n}" for n in range(5)]


async def test_the_rest_of_a_failed_stream_is_heard_out(client: Client) -> None:
    """However much follows the request at fault, the caller learns which one it was."""
    for _ in range(20):
        found, error = await until_error(client, [request(0), pb.RecommendRequest(), *map(request, range(2, 300))])
        assert found == ["d0"]
        assert error.details() == "requests[1].user_id must have 1..256 bytes, got 0"


async def test_a_history_beyond_numbers_is_ranked_by_the_prior(client: Client) -> None:
    """Rewards that overflow all sums are told as the reason, and the user still gets a slate."""
    await client.record([event("beyond", f"i{n}", 3e38) for n in range(8)])
    slate = await client.recommend("beyond")
    assert len(slate.items) == 10
    assert slate.adaptation.source == Source.PRIOR
