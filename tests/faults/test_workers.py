"""One of several workers is killed or asked to end, or all are: callers who try again notice nothing, no event is lost.

The short versions look at what was answered. How fast is looked at in the long ones, on a machine of their own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter

import pytest

from service.client import Client
from tests.faults.traffic import CANDIDATES, Kept, kept
from tests.faults.workers import APART_S, ends, failed, follow, under_load
from tests.service.support import start_server, workers

SHARE = {1: 0.2, 20: 1.0}
"""Of the traffic, by how often a worker ends: the short versions run on crowded machines."""
TIMES = [pytest.param(1, id="short"), pytest.param(20, id="long", marks=pytest.mark.soak)]


@pytest.mark.parametrize("times", TIMES)
async def test_one_of_two_workers_is_killed(policy: Path, tmp_path: Path, times: int) -> None:
    """Kill -9, once or over and over, now this one, now that: the other answers meanwhile, and another one follows."""
    async with under_load(policy, tmp_path / "data", SHARE[times]) as (server, traffic):
        back = []
        for n in range(times):
            back.append(await follow(server, n % 2, signal.SIGKILL, traffic))
            await asyncio.sleep(0.5 if times == 1 else APART_S)
        await traffic.stop()
        told = await kept(traffic.client, traffic.acknowledged)
        page = await asyncio.to_thread(server.metrics)
    assert await asyncio.to_thread(server.stop) == 0
    lost = Counter(code.name for code in failed(traffic))
    print(f"\n{times} workers killed: of {len(traffic.replies)} calls failed {dict(lost)}, back after {back} s, {told}")
    assert Kept(told.acknowledged, 0, 0) == told
    assert lost.total() <= 0.001 * len(traffic.replies)
    assert ends(server) == ["ended by signal 9"] * times
    assert (page["quickstudy_workers"], page["quickstudy_worker_restarts_total"]) == (2, times)
    if times > 1:
        assert max(back) < 2.0


@pytest.mark.parametrize("times", TIMES)
async def test_one_of_two_workers_is_asked_to_end(policy: Path, tmp_path: Path, times: int) -> None:
    """SIGTERM to one worker: it drains, its callers go to the other, and no call fails."""
    async with under_load(policy, tmp_path / "data", SHARE[times]) as (server, traffic):
        for n in range(times):
            await follow(server, n % 2, signal.SIGTERM, traffic)
            await asyncio.sleep(0.5 if times == 1 else APART_S)
        await traffic.stop()
        told = await kept(traffic.client, traffic.acknowledged)
    assert await asyncio.to_thread(server.stop) == 0
    assert ([], {}) == (failed(traffic), traffic.refused)
    assert Kept(told.acknowledged, 0, 0) == told


async def test_all_workers_are_asked_to_end(policy: Path, tmp_path: Path) -> None:
    """SIGTERM to the service: what had been asked for until then is answered, and every acknowledged event is kept."""
    async with under_load(policy, tmp_path / "data", SHARE[1]) as (server, traffic):
        asked = perf_counter()
        server.process.send_signal(signal.SIGTERM)
        await traffic.stop()
    assert await asyncio.to_thread(server.end) == 0
    assert failed(traffic, asked) == []
    again = await asyncio.to_thread(start_server, policy, tmp_path / "data", STORE_HISTORY_CAP="128")
    async with Client(again.target) as client:
        told = await kept(client, traffic.acknowledged)
    assert await asyncio.to_thread(again.stop) == 0
    assert Kept(told.acknowledged, 0, 0) == told


async def test_many_calls_are_under_way_to_a_worker_that_is_killed(policy: Path, tmp_path: Path) -> None:
    """All 64 callers are answered: those whose call died with the worker, by the other one."""
    server = await asyncio.to_thread(start_server, policy, tmp_path / "data", WORKERS="2")
    answered, killed_at = 0, 0

    async def call_on(client: Client, user: str) -> None:
        nonlocal answered
        while not killed_at or answered < killed_at + 200:
            await client.recommend(user, CANDIDATES)
            answered += 1

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(server.target, 20.0)) for _ in range(8)]
        callers = asyncio.gather(*(call_on(client, f"u{n}") for client in clients for n in range(8)))
        while answered < 100:
            await asyncio.sleep(0.002)
        os.kill(workers(server)[0], signal.SIGKILL)
        killed_at = answered
        await callers
    assert await asyncio.to_thread(server.stop) == 0
