"""What a user costs in the store."""

from __future__ import annotations

import asyncio
from pathlib import Path

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.store import connect
from service.store.embedded import EmbeddedStore
from tests.service.support import make_policy, start_server

USERS, EVENTS = 1_000, 50


async def test_a_user_with_50_events_costs_at_most_1800_bytes(tmp_path: Path) -> None:
    """1,000 users with 50 events and a cached copy take at most 1.8 kB each, keys and expiry included."""
    server = start_server(make_policy(tmp_path / "p", width=48), tmp_path / "data", STORE_HISTORY_CAP="64")
    redis = connect(EmbeddedStore(tmp_path / "data").url)
    async with Client(server.target) as client:
        for start in range(0, USERS, 20):
            users = [f"user-{n}" for n in range(start, start + 20)]
            await client.record(
                [
                    pb.Event(event_id=f"event-{k}", user_id=user, item_id=f"i{k}", reward=1.0)
                    for user in users
                    for k in range(EVENTS)
                ]
            )
            await asyncio.gather(*(client.recommend(user, ["i1", "i2"]) for user in users))
    while await redis.dbsize() < 2 * USERS + 8:  # and the streams of the log
        await asyncio.sleep(0.05)
    keys = [key async for key in redis.scan_iter("{user-*}:*", count=1_000)]
    asked = redis.pipeline(transaction=False)
    for key in keys:
        asked.memory_usage(key, samples=0)
    sizes = await asked.execute()
    per_user = sum(sizes) / USERS
    full = (await redis.info("memory"))["used_memory"]
    await redis.delete(*keys)
    freed = (full - (await redis.info("memory"))["used_memory"]) / USERS
    await redis.aclose()
    assert server.stop() == 0
    print(f"MEMORY USAGE {per_user:.0f} bytes a user, erasing them frees {freed:.0f} bytes a user")
    assert len(keys) == 2 * USERS
    assert max(per_user, freed) <= 1_800
