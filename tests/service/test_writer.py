"""Background writes: bounded, and what is given up is counted."""

from __future__ import annotations

from service.decisions import Logged
from service.metrics import Metrics
from service.store import Store, connect
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
