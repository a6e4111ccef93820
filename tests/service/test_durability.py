"""Writes that are acknowledged only once they are on disk or on replicas."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from redis import Redis

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.client.habits import PLAIN
from service.store.embedded import EmbeddedStore
from tests.service.support import Server, start_server
from tests.service.test_faults import event


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A store that plays the part of an external Redis."""
    store = EmbeddedStore(tmp_path / "redis")
    store.start()
    yield store
    store.stop()


def on_disk(store: EmbeddedStore) -> int:
    """Times that a write of a client has waited for the disk so far."""
    with Redis(unix_socket_path=str(store.socket)) as admin:
        return int(admin.info("commandstats").get("cmdstat_waitaof", {"calls": 0})["calls"])


async def test_events_wait_for_the_disk(policy: Path, tmp_path: Path, redis: EmbeddedStore) -> None:
    """What a user did or said waits, under everysec too; recommendations do not. After kill -9 all is there."""
    server = start_server(policy, tmp_path / "data", REDIS=redis.url, STORE_WAIT_FSYNC="1")
    before = on_disk(redis)
    async with Client(server.target) as client:
        told = await client.record([event(user, f"e{n}") for user in ("u", "v") for n in range(3)])
        assert [pb.EVENT_RESULT_ADDED] * 6 == [status.result for status in told]
        await client.upsert_users([pb.User(user_id="u", attributes=pb.Attributes(numbers={"age": 1.0}))])
        await client.record([event("erased", "e")])
        assert await client.delete_user("erased")
        assert not await client.delete_user("erased")
        await client.recommend("u")
        assert before + 5 == on_disk(redis)
        os.kill(int((tmp_path / "redis" / "store.pid").read_text()), signal.SIGKILL)
        server.kill()
    redis.stop()
    redis.start()
    again = start_server(policy, tmp_path / "data", REDIS=redis.url)
    async with Client(again.target) as client:
        kept = [len((await client.get_user(user)).events) for user in ("u", "v", "erased")]
        assert ([3, 3, 0], 1.0) == (kept, (await client.get_user("u")).attributes.numbers["age"])
    assert again.stop() == 0


async def record(server: Server) -> str:
    """Why an event is not acknowledged; empty where it is."""
    async with Client(server.target, habits=PLAIN) as client:
        try:
            await client.record([event("u", "e")])
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
    return ""


async def test_events_wait_for_a_replica(policy: Path, tmp_path: Path, redis: EmbeddedStore) -> None:
    """Without the replica an event is not acknowledged, with the reason; once there is one, it is."""
    server = start_server(
        policy, tmp_path / "data", REDIS=redis.url, STORE_WAIT_REPLICAS="1", STORE_WRITE_TIMEOUT_S="1"
    )
    assert "UNAVAILABLE: the store refuses: a write must reach (disk, replicas) (0, 1), got (0, 0)" == await record(
        server
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    replica = EmbeddedStore(tmp_path / "replica")
    replica.start()
    try:
        with Redis(unix_socket_path=str(redis.socket)) as one, Redis(unix_socket_path=str(replica.socket)) as other:
            one.config_set("port", port)
            other.execute_command("REPLICAOF", "127.0.0.1", port)
            while other.info("replication")["master_link_status"] != "up":
                pass
        assert "" == await record(server)
        with Redis(unix_socket_path=str(replica.socket)) as other:
            assert 1 == sum(key.endswith(b":h") for key in other.keys())  # noqa: SIM118 # a server's keys
    finally:
        replica.stop()
    assert server.stop() == 0


def test_a_store_without_a_file_cannot_be_waited_for(policy: Path, tmp_path: Path, redis: EmbeddedStore) -> None:
    """The start says so, rather than every call."""
    with Redis(unix_socket_path=str(redis.socket)) as admin:
        admin.config_set("appendonly", "no")
    with pytest.raises(RuntimeError, match=r"StartupError: no Redis at .*: the store refuses: .*WAITAOF"):
        start_server(policy, tmp_path / "data", REDIS=redis.url, STORE_WAIT_FSYNC="1")
