"""Twice as many calls as the service can answer: what comes through is as much as ever, and in time."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path

import pytest
import redis

from service.client import Client
from service.client.habits import PLAIN
from service.decisions import stream
from service.store.embedded import EmbeddedStore
from tests.faults.overload import Callers
from tests.faults.traffic import CANDIDATES
from tests.service.support import make_policy, start_server

DEADLINE_S = 0.5
IN_FLIGHT = 64


@pytest.mark.parametrize(
    "seconds", [pytest.param(2.0, id="short"), pytest.param(60.0, id="long", marks=pytest.mark.soak)]
)
async def test_twice_the_calls_that_can_be_answered(tmp_path: Path, seconds: float) -> None:
    """The excess is refused at the door; nobody is told of an inner error, and afterwards all is as before."""
    settings = {"STORE_READ_TIMEOUT_S": "0.025"}
    policy = make_policy(tmp_path / "policy", items=20_000)  # the service has to be what is short, not its callers
    server = await asyncio.to_thread(start_server, policy, tmp_path / "data", **settings)
    callers = Callers(server.target, DEADLINE_S)
    try:
        await callers.most(IN_FLIGHT // 2, 0.5)
        most = await callers.most(IN_FLIGHT, min(seconds, 10.0))
        twice = await callers.at(2 * most.goodput, seconds)
        print(f"\nat most {asdict(most)}\ntwice as many {asdict(twice)}\ngoodput {twice.goodput / most.goodput:.2f}")
        async with Client(server.target, habits=PLAIN) as client:
            after = await client.recommend("o1", CANDIDATES)
    finally:
        await callers.close()
        code = await asyncio.to_thread(server.stop)
    assert {"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"} >= set(twice.codes)
    assert (10, 0) == (len(after.items), code)
    assert twice.goodput > 0
    if seconds > 5:
        assert (twice.goodput >= 0.9 * most.goodput, twice.p99_s <= DEADLINE_S) == (True, True)


async def test_a_service_that_is_stopped_under_load_answers_what_it_took_and_keeps_it(
    policy: Path, tmp_path: Path
) -> None:
    """SIGTERM amid calls: each is answered or turned away by gRPC, and every answer is in the decision log."""
    server = await asyncio.to_thread(start_server, policy, tmp_path / "data")
    callers = Callers(server.target, 10.0)
    load = asyncio.create_task(callers.most(16, 2.0))
    await asyncio.sleep(1.0)
    code = await asyncio.to_thread(server.stop)
    told = await load
    await callers.close()
    assert (0, set()) == (code, set(told.codes) - {"OK", "UNAVAILABLE", "CANCELLED"})
    again = await asyncio.to_thread(start_server, policy, tmp_path / "data")
    with redis.Redis(unix_socket_path=str(EmbeddedStore(tmp_path / "data").socket)) as store:
        logged = sum(store.xlen(stream("", shard)) for shard in range(4))
    assert (told.codes["OK"], 0) == (logged, await asyncio.to_thread(again.stop))
