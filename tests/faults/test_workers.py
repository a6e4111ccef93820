"""One of several workers is killed or asked to end, or all are: callers who try again notice nothing, no event is lost.

The short versions look at what was answered. How fast is looked at in the long ones, on a machine of their own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter

import grpc
import pytest

from service.client import Client
from tests.faults.traffic import DEADLINE_S, USERS, Kept, Traffic, kept
from tests.service.support import Server, start_server, workers

CONNECTIONS = 8
TIMES = [pytest.param(1, id="short"), pytest.param(20, id="long", marks=pytest.mark.soak)]


@asynccontextmanager
async def under_load(policy: Path, data_dir: Path) -> AsyncIterator[tuple[Server, Traffic]]:
    """A service of two workers, and traffic through several connections that has reached every user."""
    server = await asyncio.to_thread(
        start_server, policy, data_dir, WORKERS="2", STORE_HISTORY_CAP="128", LAME_DUCK_S="0.5"
    )
    async with AsyncExitStack() as stack:
        client, *others = [
            await stack.enter_async_context(Client(server.target, DEADLINE_S)) for _ in range(CONNECTIONS)
        ]
        traffic = Traffic(client, others=others)
        traffic.start()
        await traffic.until(lambda: len(traffic.acknowledged) == len(USERS) and len(traffic.replies) > 100)
        yield server, traffic


async def follow(server: Server, slot: int, number: signal.Signals, traffic: Traffic) -> float:
    """Sends a signal to a worker and waits for the one that follows it; how long that took, seconds."""
    before = workers(server)[slot]
    os.kill(before, number)
    return await traffic.until(lambda: workers(server)[slot] != before)


def failed(traffic: Traffic, until: float = float("inf")) -> list[grpc.StatusCode]:
    """How recommendations ended that were asked for before a moment and not answered."""
    return [reply.code for reply in traffic.since(0.0, until) if reply.code != grpc.StatusCode.OK]


@pytest.mark.parametrize("times", TIMES)
async def test_one_of_two_workers_is_killed(policy: Path, tmp_path: Path, times: int) -> None:
    """Kill -9, once or over and over, now this one, now that: the other answers meanwhile, and another one follows."""
    async with under_load(policy, tmp_path / "data") as (server, traffic):
        back = []
        for n in range(times):
            back.append(await follow(server, n % 2, signal.SIGKILL, traffic))
            await asyncio.sleep(0.5 if times == 1 else 11.0)  # who dies later than that has not died young
        await traffic.stop()
        told = await kept(traffic.client, traffic.acknowledged)
        page = await asyncio.to_thread(server.metrics)
    assert await asyncio.to_thread(server.stop) == 0
    answered = 1 - len(failed(traffic)) / len(traffic.replies)
    print(
        f"\n{times} of 2 workers killed: {answered:.5f} of {len(traffic.replies)} answered, back after {back} s, {told}"
    )
    assert Kept(told.acknowledged, 0, 0) == told
    assert answered >= 0.999
    assert (page["quickstudy_workers"], page["quickstudy_worker_restarts_total"]) == (2, times)
    if times > 1:
        assert max(back) < 2.0


@pytest.mark.parametrize("times", TIMES)
async def test_one_of_two_workers_is_asked_to_end(policy: Path, tmp_path: Path, times: int) -> None:
    """SIGTERM to one worker: it drains, its callers go to the other, and no call fails."""
    async with under_load(policy, tmp_path / "data") as (server, traffic):
        for n in range(times):
            await follow(server, n % 2, signal.SIGTERM, traffic)
            await asyncio.sleep(0.5 if times == 1 else 11.0)
        await traffic.stop()
        told = await kept(traffic.client, traffic.acknowledged)
    assert await asyncio.to_thread(server.stop) == 0
    assert ([], {}) == (failed(traffic), traffic.refused)
    assert Kept(told.acknowledged, 0, 0) == told


async def test_all_workers_are_asked_to_end(policy: Path, tmp_path: Path) -> None:
    """SIGTERM to the service: what had been asked for until then is answered, and every acknowledged event is kept."""
    async with under_load(policy, tmp_path / "data") as (server, traffic):
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
