"""A call whose path is no text, which ends the server of some releases of grpcio: callers notice nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from service.client import Client
from tests.fuzz.streams import PREFACE, SETTINGS, call, frame
from tests.service.support import start_server
from tests.service.test_faults import CANDIDATES, event

HOSTILE = b"".join(call("/quickstudy.v1.XX/Recommend", b"")).replace(b".XX/", b".\xea\xea/")


async def test_a_path_that_is_no_text_does_not_shut_the_port(policy: Path, tmp_path: Path) -> None:
    """Others are answered on the connections that they have, and the service drains as ever."""
    server = start_server(policy, tmp_path / "data", DRAIN_S="2")
    host, _, port = server.target.rpartition(":")
    async with Client(server.target) as client:
        await client.record([event("u", "e")])
        for _ in range(3):
            _, held = await asyncio.open_connection(host, int(port))
            held.write(PREFACE + frame(SETTINGS, 0, 0, b"") + HOSTILE)
            await asyncio.sleep(0.2)  # the stranger stays on the line
            assert 1 == (await client.recommend("u", CANDIDATES)).adaptation.events_used
            held.close()
    assert server.stop() == 0
