"""A gRPC server that ends by itself: the port is open again, and nothing that the service knows is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import grpc

from service.client import Client
from tests.fuzz.streams import PREFACE, SETTINGS, call, frame
from tests.service.support import start_server
from tests.service.test_faults import CANDIDATES, event

HOSTILE = b"".join(call("/quickstudy.v1.XX/Recommend", b"")).replace(b".XX/", b".\xea\xea/")


async def learnt_from(target: str) -> int:
    """Events that a slate was ranked by; asks until it is answered, for at most 10 s."""
    until = time.monotonic() + 10
    while True:
        async with Client(target) as client:
            try:
                return (await client.recommend("u", CANDIDATES)).adaptation.events_used
            except grpc.aio.AioRpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > until:
                    raise
        await asyncio.sleep(0.05)


async def test_a_path_that_is_no_text_does_not_shut_the_port(policy: Path, tmp_path: Path) -> None:
    """Some releases of grpcio end their server at such a call: others are answered, learnt from and drained as ever."""
    server = start_server(policy, tmp_path / "data")
    host, _, port = server.target.rpartition(":")
    async with Client(server.target) as client:
        await client.record([event("u", "e")])
    for _ in range(3):
        _, held = await asyncio.open_connection(host, int(port))
        held.write(PREFACE + frame(SETTINGS, 0, 0, b"") + HOSTILE)
        await asyncio.sleep(0.2)  # the stranger stays on the line
        assert 1 == await learnt_from(server.target)
        held.close()
    assert server.metrics()["quickstudy_port_restarts_total"] <= 3
    assert server.stop() == 0
