"""The store is killed, paused, full or slow under traffic: nobody goes without a slate, no event is lost or kept twice.

The short versions look at what was answered. How fast is looked at in the long ones, on a machine of their own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from redis import Redis

from service.client import Client
from service.client.habits import PLAIN
from service.store.embedded import EmbeddedStore
from tests.faults.proxy import SlowProxy
from tests.faults.traffic import DEADLINE_S, Kept, Outage, outage
from tests.service.support import start_server

FOR_S = [pytest.param(2.0, id="short"), pytest.param(20.0, id="long", marks=pytest.mark.soak)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A store that plays the part of an external Redis and loses nothing that it acknowledged."""
    started = EmbeddedStore(tmp_path / "redis", fsync="always")
    started.start()
    yield started
    started.stop()


@asynccontextmanager
async def service(policy: Path, data_dir: Path, url: str) -> AsyncIterator[Client]:
    """A client of a server on that store, with the read timeout of a server as installed."""
    settings = {"REDIS": url, "STORE_READ_TIMEOUT_S": "0.025", "STORE_HISTORY_CAP": "128"}
    server = await asyncio.to_thread(start_server, policy, data_dir, **settings)  # a proxy may live on this loop
    async with Client(server.target, DEADLINE_S, habits=PLAIN) as client:
        await client.ready()
        try:
            yield client
        finally:
            code = await asyncio.to_thread(server.stop)
    assert code == 0


def pid(tmp_path: Path) -> int:
    """The store's process."""
    return int((tmp_path / "redis" / "store.pid").read_text())


def judge(name: str, told: Outage, seconds: float, *, away: bool = True) -> None:
    """What holds for every fault of the store; the long versions look at the clock too."""
    print(f"\n{name}, {seconds:g} s: {asdict(told)}")
    assert Kept(told.events.acknowledged, 0, 0) == told.events
    assert told.answered >= 0.999
    if away:
        assert {"STALE", "PRIOR"} >= set(told.sources) - {"ADAPTED"}
        assert told.sources["STALE"] > 0
    if seconds > 5:
        assert (told.p99_s < 0.05, told.back_s < 2.0) == (True, True)


@pytest.mark.parametrize("seconds", FOR_S)
async def test_the_store_is_killed(policy: Path, tmp_path: Path, store: EmbeddedStore, seconds: float) -> None:
    """Kill -9 and, later, a new start on the same data."""

    def end() -> None:
        store.stop()  # waits for the process and frees the directory
        store.start()

    async with service(policy, tmp_path / "data", store.url) as client:
        told = await outage(client, lambda: os.kill(pid(tmp_path), signal.SIGKILL), end, seconds=seconds)
    judge("store killed", told, seconds)


@pytest.mark.parametrize("seconds", FOR_S)
async def test_the_store_is_paused(policy: Path, tmp_path: Path, store: EmbeddedStore, seconds: float) -> None:
    """SIGSTOP: connections stay open and nothing comes back."""

    def send(number: signal.Signals) -> Callable[[], None]:
        return lambda: os.kill(pid(tmp_path), number)

    async with service(policy, tmp_path / "data", store.url) as client:
        told = await outage(client, send(signal.SIGSTOP), send(signal.SIGCONT), seconds=seconds)
    judge("store paused", told, seconds)


@pytest.mark.parametrize("seconds", FOR_S)
async def test_the_store_is_full(policy: Path, tmp_path: Path, store: EmbeddedStore, seconds: float) -> None:
    """Events are refused, with the reason; users are read and adapted as ever."""
    with Redis(unix_socket_path=str(store.socket)) as admin:
        async with service(policy, tmp_path / "data", store.url) as client:
            told = await outage(
                client,
                lambda: admin.config_set("maxmemory", 1) and None,
                lambda: admin.config_set("maxmemory", 0) and None,
                seconds=seconds,
            )
    judge("store full", told, seconds, away=False)
    assert told.sources["ADAPTED"] > 0
    assert told.refused["UNAVAILABLE"] > 0


@pytest.mark.parametrize("seconds", FOR_S)
async def test_the_store_is_slow(policy: Path, tmp_path: Path, store: EmbeddedStore, seconds: float) -> None:
    """Every answer takes 100 ms: events are acknowledged all the same, recommendations do not wait for it."""
    proxy = SlowProxy(store.socket)
    async with proxy as url, service(policy, tmp_path / "data", url) as client:
        told = await outage(
            client,
            lambda: setattr(proxy, "delay_s", 0.1),
            lambda: setattr(proxy, "delay_s", 0.0),
            seconds=seconds,
        )
    judge("store slow", told, seconds)
    assert not told.refused
