"""Faults: killed services, stores that are away or silent, starts that must fail with one clear line."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.store.embedded import EmbeddedStore
from tests.service.support import Server, start_server, stop_store
from tests.service.test_bad_input import details

CANDIDATES = [f"i{n}" for n in range(20)]


def event(user: str, name: str) -> pb.Event:
    """A click."""
    return pb.Event(event_id=name, user_id=user, item_id="i1", reward=1.0)


async def recorded(client: Client, event: pb.Event) -> pb.EventResult:
    """What became of an event that is sent until the store is back, as RetryInfo asks for; gives up after 10 s."""
    until = time.monotonic() + 10
    while True:
        try:
            (status,) = await client.record([event])
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > until:
                raise
            await asyncio.sleep(0.02)
        else:
            return status.result


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A store that plays the part of an external Redis."""
    store = EmbeddedStore(tmp_path / "redis")
    store.start()
    yield store
    store.stop()


async def record_until_killed(server: Server, acknowledged: set[tuple[str, str]]) -> None:
    """Streams events of eight users until the service is gone; notes what was acknowledged."""

    async def stream(client: Client, user: str) -> None:
        for n in range(100_000):
            try:
                (status,) = await client.record([event(user, f"e{n}")])
            except grpc.aio.AioRpcError:
                return
            assert status.result == pb.EVENT_RESULT_ADDED
            acknowledged.add((user, f"e{n}"))
            if n >= 100:
                return

    async with Client(server.target) as client:
        streams = asyncio.gather(*(stream(client, f"u{n}") for n in range(8)))
        while len(acknowledged) < 200:
            await asyncio.sleep(0.001)
        server.kill()
        await streams


async def test_a_killed_service_loses_nothing_it_acknowledged(policy: Path, tmp_path: Path) -> None:
    """After kill -9 in a stream of events and a restart, every acknowledged event is there exactly once."""
    server = start_server(policy, tmp_path / "data", STORE_HISTORY_CAP="128")
    acknowledged: set[tuple[str, str]] = set()
    await record_until_killed(server, acknowledged)
    again = start_server(policy, tmp_path / "data", STORE_HISTORY_CAP="128")
    try:
        async with Client(again.target) as client:
            for user in sorted({user for user, _ in acknowledged}):
                kept = [e.event_hash for e in (await client.get_user(user)).events]
                repeated = await client.record([event(user, name) for u, name in sorted(acknowledged) if u == user])
                assert len(kept) == len(set(kept))
                assert {status.result for status in repeated} == {pb.EVENT_RESULT_DUPLICATE}
    finally:
        assert again.stop() == 0


async def test_a_killed_store_loses_nothing_that_reached_its_file(policy: Path, tmp_path: Path) -> None:
    """With fsync always, an acknowledged event survives kill -9 of service and store."""
    server = start_server(policy, tmp_path / "data", STORE_FSYNC="always")
    async with Client(server.target) as client:
        await client.record([event("u", f"e{n}") for n in range(20)])
    os.kill(int((tmp_path / "data" / "store.pid").read_text()), signal.SIGKILL)
    server.kill()
    again = start_server(policy, tmp_path / "data")
    async with Client(again.target) as client:
        assert len((await client.get_user("u")).events) == 20
    assert again.stop() == 0


async def test_a_stopped_service_keeps_events_and_decisions(policy: Path, tmp_path: Path) -> None:
    """SIGTERM writes what is queued; the next start finds the user and the decision."""
    server = start_server(policy, tmp_path / "data")
    async with Client(server.target) as client:
        await client.record([event("u", "e")])
        await client.recommend("u", CANDIDATES)
    assert server.stop() == 0
    again = start_server(policy, tmp_path / "data")
    async with Client(again.target) as client:
        assert (await client.get_user("u")).copy.current
    assert again.stop() == 0


async def test_without_its_store_the_service_still_recommends(
    policy: Path, tmp_path: Path, redis: EmbeddedStore
) -> None:
    """Redis away: Recommend answers from the prior and says why, RecordEvents is UNAVAILABLE; then all is well."""
    server = start_server(policy, tmp_path / "data", REDIS=redis.url)
    async with Client(server.target) as client:
        await client.record([event("u", "e")])
        redis.stop()
        reply = await client.recommend("u", CANDIDATES)
        with pytest.raises(grpc.aio.AioRpcError, match="the store is away") as caught:
            await client.record([event("u", "lost")])
        retry = error_details_pb2.RetryInfo()
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert any(detail.Unpack(retry) for detail in details(caught.value).details)
        assert retry.retry_delay.ToMilliseconds() == 500
        assert (len(reply.items), reply.adaptation.source, reply.adaptation.reason) == (
            10,
            pb.SOURCE_PRIOR,
            "the store is away",
        )
        redis.start()
        assert pb.EVENT_RESULT_ADDED == await recorded(client, event("u", "lost"))
        until = time.monotonic() + 10  # reads are judged apart from writes, and may come back later
        while (told := (await client.recommend("u", CANDIDATES)).adaptation).source != pb.SOURCE_ADAPTED:
            assert time.monotonic() < until
        assert told.events_used == 2
    assert server.stop() == 0


async def test_a_silent_store_does_not_hold_a_recommendation_up(
    policy: Path, tmp_path: Path, redis: EmbeddedStore
) -> None:
    """A store that accepts but does not answer (SIGSTOP) costs the read timeout, not the request."""
    server = start_server(policy, tmp_path / "data", REDIS=redis.url, STORE_WRITE_TIMEOUT_S="0.2")
    pid = int((tmp_path / "redis" / "store.pid").read_text())
    async with Client(server.target) as client:
        await client.record([event("u", "e")])
        os.kill(pid, signal.SIGSTOP)
        try:
            reply = await client.recommend("u", CANDIDATES)
            with pytest.raises(grpc.aio.AioRpcError, match=r"did not answer within|has not answered for") as caught:
                await client.record([event("u", "late")])
        finally:
            os.kill(pid, signal.SIGCONT)
        assert (reply.adaptation.source, caught.value.code()) == (pb.SOURCE_PRIOR, grpc.StatusCode.UNAVAILABLE)
        await recorded(client, event("u", "late"))
        assert (await client.recommend("u", CANDIDATES)).adaptation.source == pb.SOURCE_ADAPTED
    assert server.stop() == 0


async def test_decisions_wait_for_the_store(policy: Path, tmp_path: Path, redis: EmbeddedStore) -> None:
    """Decisions made while the store is away are written when it is back; none is lost."""
    server = start_server(policy, tmp_path / "data", REDIS=redis.url)
    async with Client(server.target) as client:
        redis.stop()
        for _ in range(20):
            await client.recommend("u", CANDIDATES)
        redis.start()
        until = time.monotonic() + 10
        while server.metrics().get('quickstudy_background_writes_total{kind="decision"}', 0) < 20:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
    assert 'quickstudy_background_lost_total{kind="decision"}' not in server.metrics()
    assert server.stop() == 0


async def test_a_data_directory_serves_one_service(policy: Path, tmp_path: Path) -> None:
    """A second service on the same data directory is refused, and the first does not notice."""
    server = start_server(policy, tmp_path / "data")
    owner = server.process.pid
    with pytest.raises(RuntimeError, match=f"in use by another service \\(process {owner}\\)"):
        start_server(policy, tmp_path / "data")
    async with Client(server.target) as client:
        assert len((await client.recommend("u", CANDIDATES)).items) == 10
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["PORT", "METRICS_PORT"])
def test_an_occupied_port_is_one_clear_line(policy: Path, tmp_path: Path, name: str) -> None:
    """A port that is taken ends the start with its number, and leaves no store behind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeError, match=f"StartupError: cannot listen on 127.0.0.1:{port}: Address already"):
            start_server(policy, tmp_path / "data", **{name: str(port)})
    store = EmbeddedStore(tmp_path / "data")
    assert not store.socket.exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://user:secret@127.0.0.1:1", r"StartupError: no Redis at redis://127\.0\.0\.1:1: the store is away"),
        ("http://127.0.0.1", "StartupError: redis must be a redis://, rediss:// or unix:// URL"),
    ],
)
def test_a_redis_that_is_away_at_start_is_one_clear_line(policy: Path, tmp_path: Path, url: str, words: str) -> None:
    """The start fails with the address, without its password."""
    with pytest.raises(RuntimeError, match=words) as caught:
        start_server(policy, tmp_path / "data", REDIS=url)
    assert "secret" not in str(caught.value)


def test_an_unknown_policy_folder_is_one_clear_line(tmp_path: Path) -> None:
    """The start fails with the folder's name."""
    with pytest.raises(RuntimeError, match=r"PolicyError: policy folder .*nowhere does not exist"):
        start_server(tmp_path / "nowhere", tmp_path / "data")


def test_truncated_weights_are_one_clear_line(policy: Path, tmp_path: Path) -> None:
    """The start fails with the file's name."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_bytes((policy / "manifest.json").read_bytes())
    (broken / "weights.safetensors").write_bytes((policy / "weights.safetensors").read_bytes()[:-100])
    with pytest.raises(RuntimeError, match=r"PolicyError: .*weights.safetensors is truncated or damaged"):
        start_server(broken, tmp_path / "data")


async def test_an_orphaned_store_is_adopted(policy: Path, tmp_path: Path) -> None:
    """The store that a killed service left running is taken over, not started twice."""
    server = start_server(policy, tmp_path / "data")
    pid = (tmp_path / "data" / "store.pid").read_text()
    server.kill()
    again = start_server(policy, tmp_path / "data")
    assert (tmp_path / "data" / "store.pid").read_text() == pid
    again.kill()
    stop_store(tmp_path / "data")
    assert not (tmp_path / "data" / "store.pid").exists()


async def test_an_embedded_store_that_is_killed_is_started_again(policy: Path, tmp_path: Path) -> None:
    """Kill -9 of the store alone, the first one and the next: events are there, and new ones are learnt from."""
    server = start_server(policy, tmp_path / "data", STORE_FSYNC="always")
    pids = set()
    async with Client(server.target) as client:
        for n in range(1, 3):
            assert pb.EVENT_RESULT_ADDED == await recorded(client, event("u", f"e{n}"))
            pid = int((tmp_path / "data" / "store.pid").read_text())
            pids.add(pid)
            os.kill(pid, signal.SIGKILL)
            assert pb.EVENT_RESULT_DUPLICATE == await recorded(client, event("u", f"e{n}"))
            until = time.monotonic() + 10
            while (told := (await client.recommend("u", CANDIDATES)).adaptation).source != pb.SOURCE_ADAPTED:
                assert time.monotonic() < until
            assert (n, 0.0) == (told.events_used, told.staleness)
    assert (2, 0) == (len(pids), server.stop())
    assert not (tmp_path / "data" / "store.pid").exists()


async def test_a_running_store_without_its_socket_is_not_joined_by_another(policy: Path, tmp_path: Path) -> None:
    """Two stores on one append-only file would damage it: the start is refused and names the process."""
    server = start_server(policy, tmp_path / "data")
    server.kill()
    pid = int((tmp_path / "data" / "store.pid").read_text())
    EmbeddedStore(tmp_path / "data").socket.unlink()
    with pytest.raises(RuntimeError, match=f"\\(process {pid}\\) runs but does not answer; stop that process"):
        start_server(policy, tmp_path / "data")
    os.kill(pid, signal.SIGTERM)
    while (tmp_path / "data" / "store.pid").exists():
        await asyncio.sleep(0.01)
