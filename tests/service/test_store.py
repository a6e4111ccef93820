"""The store contract on every server that we support."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.access.tenants import UserKey
from service.errors import StoreUnavailableError
from service.metrics import Metrics
from service.store import EventLog, Store, connect, shown
from service.store.embedded import EmbeddedStore
from tests.contracts import CAP, StoreContract, record

_PREFIXES = (f"t{n}:" for n in itertools.count())


@pytest.fixture(scope="module")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The shipped Valkey server."""
    server = EmbeddedStore(tmp_path_factory.mktemp("embedded"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The redis-server of this machine."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on PATH")
    server = EmbeddedStore(tmp_path_factory.mktemp("redis"), binary=Path(binary))
    server.start()
    yield server.url
    server.stop()


async def _open(url: str) -> AsyncIterator[Store]:
    store = Store(connect(url), Metrics(), prefix=next(_PREFIXES), cap=CAP, read_timeout_s=2.0)
    await store.start()
    yield store
    await store.close()


class TestEmbeddedStore(StoreContract):
    """The contract on the embedded Valkey."""

    @pytest.fixture
    async def store(self, embedded_url: str) -> AsyncIterator[Store]:
        """A store under a prefix of its own."""
        async for store in _open(embedded_url):
            yield store


class TestRedisServer(StoreContract):
    """The contract on a Redis server."""

    @pytest.fixture
    async def store(self, redis_url: str) -> AsyncIterator[Store]:
        """A store under a prefix of its own."""
        async for store in _open(redis_url):
            yield store


async def test_scripts_are_given_again_to_a_store_that_lost_them(embedded_url: str) -> None:
    """A restarted Redis forgets scripts; the next append brings them back."""
    async for store in _open(embedded_url):
        other = connect(embedded_url)
        await other.script_flush()
        await other.aclose()
        done = await store.append({"u": bytes(28), "v": bytes(28)})
        assert [reply.results for reply in done.values()] == ["1", "1"]


async def test_attributes_live_as_long_as_the_history(embedded_url: str) -> None:
    """A new event renews the attributes' time to live."""
    async for store in _open(embedded_url):
        key, other = store.keys(UserKey("u"))[2], connect(embedded_url)
        await store.describe({"u": b"told"})
        await other.expire(key, 5)
        await store.append({"u": bytes(28)})
        assert await other.ttl(key) > 86_400
        await other.aclose()


async def test_streams_of_the_log_are_bounded(embedded_url: str) -> None:
    """Of decisions and of events about as many entries stay as were asked for, the newest."""
    async for store in _open(embedded_url):
        prefix, other = store.keys(UserKey(""))[0].removesuffix(":h"), connect(embedded_url)
        user = UserKey("u")
        for n in range(600):
            await store.append({user: record(f"e{n}", n)}, EventLog("events", 50, b"%d" % n, {user: [b""]}))
        await store.save([], {"decisions": [b"%d" % n for n in range(600)]}, 50)
        for stream, field in (("events", b"e"), ("decisions", b"d")):
            entries = await other.xrange(f"{prefix}{stream}")
            assert 50 <= len(entries) <= 200
            assert entries[-1][1][field].startswith(b"599")
        await other.aclose()


async def test_counts_of_a_generation_end(embedded_url: str) -> None:
    """Counts that fade live as long as they are worth something, counts that do not for ever."""
    async for store in _open(embedded_url):
        await store.count({"fades": (1_000, {b"x": 1.0}), "stays": (0, {b"x": 1.0})})
        prefix, other = store.keys(UserKey(""))[0].removesuffix(":h"), connect(embedded_url)
        assert [1_000, -1] == [await other.ttl(f"{prefix}{key}") for key in ("fades", "stays")]
        await other.aclose()


async def test_a_store_that_is_away_is_said_to_be_away() -> None:
    """Without a server every call raises StoreUnavailableError."""
    store = Store(connect("redis://127.0.0.1:1"), Metrics())
    with pytest.raises(StoreUnavailableError, match="the store is away"):
        await store.read(["u"])
    await store.close()


def test_passwords_are_not_shown() -> None:
    """A URL in a message has no user name and no password."""
    assert shown("redis://user:secret@host:6379/0") == "redis://host:6379/0"
