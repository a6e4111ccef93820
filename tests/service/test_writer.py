"""Background writes: bounded, and what is given up is counted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from service.access.tenants import user_key
from service.decisions import Logged
from service.metrics import Metrics
from service.store import Store, connect
from service.store.embedded import EmbeddedStore
from service.store.named import name_of
from service.writer import Writer


async def test_a_full_backlog_counts_what_it_loses() -> None:
    """With the store away, the oldest decisions wait and each one beyond the backlog is counted, none silently."""
    metrics = Metrics()
    store = Store(connect("redis://127.0.0.1:1"), metrics)
    writer = Writer(store, metrics, backlog=3, linger_s=0.001)
    writer.start()
    for n in range(5):
        writer.put([], [Logged("", b"%d" % n)])
    lost = metrics.registry.get_sample_value("quickstudy_background_lost_total", {"kind": "decision"})
    assert lost == 2
    await writer.close(timeout_s=0.1)
    lost = metrics.registry.get_sample_value("quickstudy_background_lost_total", {"kind": "decision"})
    assert lost == 5
    await store.close()


async def test_a_name_is_told_until_readers_of_the_store_can_know_it(tmp_path: Path) -> None:
    """A read that was sent before the write may be looked at after it, so a written name is told a while longer."""
    redis = EmbeddedStore(tmp_path / "redis")
    redis.start()
    store = Store(connect(redis.url), Metrics())
    await store.start()
    writer = Writer(store, Metrics(), backlog=3, linger_s=0.001)
    writer.start()
    name = name_of(user_key("", "u"), "d")
    writer.name(name, b"reply")
    writer.put([], [])
    async with asyncio.timeout(5):
        while (await store.read_named([name.user], [name.user], attributes=False))[1] == [None]:
            await asyncio.sleep(0.01)
    assert writer.named(name) == b"reply"
    writer.forget(name.user)
    assert writer.named(name) is None
    await writer.close()
    await store.close()
    redis.stop()
