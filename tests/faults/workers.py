"""Two workers under traffic, and a signal to one of them."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc

from service.client import Client
from tests.faults.traffic import DEADLINE_S, USERS, Traffic, undisturbed
from tests.service.support import Server, start_server, workers

CONNECTIONS = 8
APART_S = 5.5
"""Between two signals, seconds, which go to two workers in turn: who ends has then lived long enough not to be one that
died young, which is started again only after a pause."""


@asynccontextmanager
async def under_load(policy: Path, data_dir: Path, share: float = 1.0) -> AsyncIterator[tuple[Server, Traffic]]:
    """A service of two workers, and traffic through several connections that has reached every user.

    Of the traffic that other faults meet it is a `share`, where a crowded machine has to bear it.
    """
    server = await asyncio.to_thread(
        start_server, policy, data_dir, WORKERS="2", STORE_HISTORY_CAP="128", LAME_DUCK_S="0.5"
    )
    async with AsyncExitStack() as stack:
        client, *others = [
            await stack.enter_async_context(Client(server.target, DEADLINE_S)) for _ in range(CONNECTIONS)
        ]
        stack.enter_context(undisturbed())
        traffic = Traffic(client, 100.0 * share, 0.1 / share, others)
        traffic.start()
        await traffic.until(lambda: len(traffic.acknowledged) == len(USERS) and len(traffic.replies) > 2 * len(USERS))
        yield server, traffic


async def follow(server: Server, slot: int, number: signal.Signals, traffic: Traffic) -> float:
    """Sends a signal to a worker and waits for the one that follows it; how long that took, seconds."""
    before = workers(server)[slot]
    os.kill(before, number)
    return await traffic.until(lambda: workers(server)[slot] != before)


def ends(server: Server) -> list[str]:
    """Why workers ended whom others followed."""
    return re.findall(r"worker \d+: (?:process \d+ )?(.*); another", (server.data_dir / "service.log").read_text())


def failed(traffic: Traffic, until: float = float("inf")) -> list[grpc.StatusCode]:
    """How recommendations ended that were asked for before a moment and not answered."""
    return [reply.code for reply in traffic.since(0.0, until) if reply.code != grpc.StatusCode.OK]
