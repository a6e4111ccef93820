"""A gRPC server that ends by itself: the port is open again, and nothing that the service knows is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from service.client import Client
from tests.fuzz.streams import PREFACE, SETTINGS, call, frame
from tests.service.support import start_server
from tests.service.test_faults import CANDIDATES, event


async def test_a_path_that_is_no_text_does_not_shut_the_port(policy: Path, tmp_path: Path) -> None:
    """Some releases of grpcio end their server at such a call: others are answered, learnt from and drained as ever."""
    server = start_server(policy, tmp_path / "data")
    host, _, port = server.target.rpartition(":")
    hostile = b"".join(call("/quickstudy.v1.XX/Recommend", b"")).replace(b".XX/", b".\xea\xea/")
    async with Client(server.target) as client:
        await client.record([event("u", "e")])
        for _ in range(3):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(PREFACE + frame(SETTINGS, 0, 0, b"") + hostile)
            await asyncio.sleep(0.2)
            writer.close()
            assert 1 == (await client.recommend("u", CANDIDATES)).adaptation.events_used
    assert server.metrics()["quickstudy_port_restarts_total"] in (0, 3)
    assert server.stop() == 0
