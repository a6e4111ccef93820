"""Twice as many calls as the service can answer: what comes through is as much as ever, and in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np
import pytest
import redis

from service.client import PLAIN, BlockingClient, CallError, Client
from service.decisions import stream
from service.store.embedded import EmbeddedStore
from tests.faults.overload import ITEMS, core, overload
from tests.faults.traffic import CANDIDATES
from tests.service.support import make_policy, start_server

STRETCHES = [pytest.param(1, 1.0, id="short"), pytest.param(3, 20.0, id="long", marks=pytest.mark.soak)]
ENDS = {"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "CANCELLED"}
"""Of calls; gRPC's core cancels one whose deadline passes before anybody has looked at it."""


@pytest.mark.parametrize(("times", "seconds"), STRETCHES)
def test_twice_the_calls_that_can_be_answered(tmp_path: Path, times: int, seconds: float) -> None:
    """The excess is refused at the door; nobody is told of an inner error, and afterwards all is as before."""
    policy = make_policy(tmp_path / "policy", items=ITEMS)
    with core(0):
        server = start_server(policy, tmp_path / "data", STORE_READ_TIMEOUT_S="0.025")
    try:
        with core(-1):
            found = overload(server.target, server.cpu_s, times=times, seconds=seconds, rng=np.random.default_rng(0))
        with BlockingClient(server.target, habits=PLAIN) as client:
            after = client.recommend("o1", CANDIDATES)
    finally:
        code = server.stop()
    print("", *map(asdict, found), sep="\n")
    assert ENDS >= {name for each in found for name in each.codes}
    assert (10, 0) == (len(after.items), code)
    assert min(each.good.per_s for each in found) > 0
    if times > 1:
        assert median(each.good.per_s / each.most.per_s for each in found) >= 0.9
        assert sum(each.late for each in found) <= 0.01 * sum(each.codes["OK"] for each in found)


async def test_a_service_that_is_stopped_under_load_answers_what_it_took_and_keeps_it(
    policy: Path, tmp_path: Path
) -> None:
    """SIGTERM amid calls: each is answered or turned away by gRPC, and every answer is in the decision log."""
    server = await asyncio.to_thread(start_server, policy, tmp_path / "data")
    codes: Counter[str] = Counter()
    over = asyncio.Event()

    async def caller(client: Client, user: str) -> None:
        while not over.is_set():
            try:
                await client.recommend(user)
            except CallError as error:
                codes[error.code().name] += 1
            else:
                codes["OK"] += 1

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(server.target, 10.0, habits=PLAIN)) for _ in range(4)]
        callers = asyncio.gather(*(caller(client, f"o{n}") for client in clients for n in range(4)))
        await asyncio.sleep(1.0)
        code = await asyncio.to_thread(server.stop)
        over.set()
        await callers
    assert (0, set()) == (code, set(codes) - {"OK", "UNAVAILABLE", "CANCELLED"})
    again = await asyncio.to_thread(start_server, policy, tmp_path / "data")
    with redis.Redis(unix_socket_path=str(EmbeddedStore(tmp_path / "data").socket)) as store:
        logged = sum(store.xlen(stream("", shard)) for shard in range(4))
    assert (codes["OK"], 0) == (logged, await asyncio.to_thread(again.stop))
