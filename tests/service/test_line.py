"""The shared connection to the store, on a real server."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.exceptions import NoScriptError, RedisError, ResponseError

from service.store import connect
from service.store.embedded import EmbeddedStore
from service.store.line import SILENT_S, Line


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own."""
    server = EmbeddedStore(tmp_path_factory.mktemp("line"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
async def line(url: str) -> AsyncIterator[Line]:
    """A line to it."""
    redis = connect(url)
    line = Line(redis.connection_pool)
    yield line
    await line.close()
    await redis.aclose()


async def _id(line: Line) -> int:
    (number,) = await line.ask([("CLIENT", "ID")])
    return int(number)


async def test_everybody_gets_their_own_replies(line: Line) -> None:
    """A hundred callers at once, each with two commands, share one connection."""
    asked = [line.ask([("ECHO", f"{n}"), ("ECHO", b"%d!" % n)]) for n in range(100)]
    assert [[b"%d" % n, b"%d!" % n] for n in range(100)] == await asyncio.gather(*asked)
    assert await _id(line) == await _id(line)


async def test_who_stops_waiting_leaves_the_others_as_they_are(line: Line) -> None:
    """A cancelled command's reply is thrown away, and the next reply goes to whom it belongs."""
    before = await _id(line)
    first, second = (asyncio.ensure_future(line.ask([("ECHO", word)])) for word in ("first", "second"))
    await asyncio.sleep(0)
    first.cancel()
    assert [b"second"] == await second
    assert first.cancelled()
    assert before == await _id(line)


async def test_an_error_is_the_caller_s_alone(line: Line) -> None:
    """A refused command raises as redis-py would have it raise; the others of the same turn are answered."""
    wrong, lost, right = await asyncio.gather(
        line.ask([("SET", "only a key")]),
        line.ask([("EVALSHA", "0" * 40, 0)]),
        line.ask([("ECHO", "right")]),
        return_exceptions=True,
    )
    assert (ResponseError, NoScriptError, [b"right"]) == (type(wrong), type(lost), right)


async def test_a_broken_connection_is_renewed_within_the_call(line: Line, url: str) -> None:
    """A caller whose connection is cut under way gets the reply over a new one."""
    before = await _id(line)
    other = connect(url)
    waiting = asyncio.ensure_future(line.ask([("BLPOP", "nothing here", 30)]))
    await asyncio.sleep(0.05)
    await other.execute_command("CLIENT", "KILL", "ID", before)
    await asyncio.sleep(0.05)
    await other.rpush("nothing here", "something")
    assert [[b"nothing here", b"something"]] == await waiting
    assert before != await _id(line)
    await other.aclose()


async def test_a_line_that_leads_nowhere_is_given_up(line: Line) -> None:
    """After a silence the next command goes over a new connection, however the old one may end."""
    before = await _id(line)
    lost = asyncio.ensure_future(line.ask([("BLPOP", "never", 30)]))
    await asyncio.sleep(SILENT_S + 0.05)
    lost.cancel()
    assert before != await _id(line)


async def test_a_store_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    """While the store is away a command fails at once; once it is back the next one is answered."""
    server = EmbeddedStore(tmp_path)
    server.start()
    redis = connect(server.url)
    line = Line(redis.connection_pool)
    (info,) = await line.ask([("INFO", "server")])
    assert [b"here"] == await line.ask([("ECHO", "here")])
    pid = next(int(x.partition(b":")[2]) for x in info.splitlines() if x.startswith(b"process_id:"))
    os.kill(pid, signal.SIGKILL)
    await asyncio.sleep(0.2)
    with pytest.raises((RedisError, OSError)):
        await line.ask([("ECHO", "gone")])
    server.stop()
    server.start()
    assert [b"back"] == await line.ask([("ECHO", "back")])
    await line.close()
    await redis.aclose()
    server.stop()
