"""Clocks of callers that jump: no history is spoilt by them."""

from __future__ import annotations

import time
from pathlib import Path

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from tests.faults.traffic import CANDIDATES, Kept, kept
from tests.service.support import start_server
from tests.service.test_calls import event, results

HOUR_MS = 3_600_000


async def test_events_from_the_past_and_the_future(policy: Path, tmp_path: Path) -> None:
    """What lies an hour ahead is refused by name, what lies in the past takes its place, and the user learns on."""
    server = start_server(policy, tmp_path / "data")
    now = time.time_ns() // 1_000_000
    jumps = {"ahead": HOUR_MS, "now": 0, "behind": -HOUR_MS, "long-ago": -now, "soon": 60_000}
    async with Client(server.target) as client:
        told = await client.record(
            [event("u", name, f"i{n}", at_ms=now + jump) for n, (name, jump) in enumerate(jumps.items())]
        )
        assert ["REJECTED", "ADDED", "ADDED", "ADDED", "ADDED"] == results(told)
        after = await client.record([event("u", "after", "i9", at_ms=now + 1)])
        reply = await client.recommend("u", CANDIDATES)
        items = [stored.item_id for stored in (await client.get_user("u")).events]
        kept_names = {"u": ["now", "behind", "long-ago", "soon", "after"]}
        assert Kept(5, 0, 0) == await kept(client, kept_names)
    assert (["ADDED"], ["i3", "i2", "i1", "i9", "i4"]) == (results(after), items)
    assert (pb.SOURCE_ADAPTED, 5, 0) == (reply.adaptation.source, reply.adaptation.events_used, server.stop())
