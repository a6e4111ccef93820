"""Metrics: the page in the docs is the code's, and several workers are one page that never counts backwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import Client
from service.metrics import Metrics, Workforce
from tests.service.support import ROOT, Server, samples

OVER = {"largest": "livemax", "sum": "livesum", "": ""}
_WORKER = """
import os, signal, sys
from prometheus_client import values
values.ValueClass = values.MultiProcessValue(lambda: int(sys.argv[1]))
from service.metrics import Metrics
metrics = Metrics(shared=True)
metrics.errors.labels("Recommend", "INTERNAL").inc(int(sys.argv[2]))
metrics.request_seconds.labels("Recommend").observe(0.004)
metrics.follow(metrics.recent_users, lambda: int(sys.argv[2]))
metrics.follow(metrics.popularity_age, lambda: int(sys.argv[2]))
metrics.refresh()
os.kill(os.getpid(), signal.SIGKILL)
"""


def defined(registry: CollectorRegistry) -> dict[str, tuple[str, set[str], str]]:
    """Kind, labels and way of merging of every metric of ours in a registry, by name."""
    found = {}
    for collector in registry._collector_to_names:
        if isinstance(collector, MetricWrapperBase):
            name = collector._name + ("_total" if collector._type == "counter" else "")
            found[name] = collector._type, set(collector._labelnames), getattr(collector, "_multiprocess_mode", "")
    return found


def test_the_docs_list_every_metric(tmp_path: Path) -> None:
    """Name, kind, labels and what becomes of several workers: as in the code, none more and none less."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \|([^|]*)\|[^|]*\| (\w*) ?\|$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    told = {name: (kind, set(re.findall(r"`(\w+)`", labels)), OVER[over]) for name, kind, labels, over in rows}
    several = {name: (*shape[:2], "") for name, shape in defined(Workforce(tmp_path, dict).registry).items()}
    assert defined(Metrics().registry) | several == told


def test_no_metric_has_a_label_that_names_a_user() -> None:
    """Labels are of few values: methods, codes, states."""
    labels = set().union(*(labels for _, labels, _ in defined(Metrics().registry).values()))
    assert labels == {"method", "code", "reason", "state", "source", "call", "result", "operation", "calls", "kind",
                      "moment", "version", "adapter", "role", "outcome"}  # fmt: skip


def count(folder: Path, slot: int, n: int) -> None:
    """A worker that counts and is killed."""
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    killed = subprocess.run([sys.executable, "-c", _WORKER, str(slot), str(n)], cwd=ROOT, env=environ, check=False)
    assert killed.returncode == -9


def test_killed_workers_stay_counted(tmp_path: Path) -> None:
    """Counts of two workers and of one that followed in a slot are summed; gauges are merged as the docs say."""
    for slot, n in ((0, 3), (1, 4), (0, 5)):
        count(tmp_path, slot, n)
    page = samples(generate_latest(Workforce(tmp_path, dict).registry).decode())
    assert page['quickstudy_errors_total{code="INTERNAL",method="Recommend"}'] == 12
    assert page['quickstudy_request_seconds_count{method="Recommend"}'] == 3
    assert page['quickstudy_request_seconds_bucket{le="0.005",method="Recommend"}'] == 3
    assert page['quickstudy_request_seconds_bucket{le="0.003",method="Recommend"}'] == 0
    assert page["quickstudy_recent_users"] == 4 + 5
    assert page["quickstudy_popularity_age_seconds"] == 5


async def test_what_adaptation_gains_and_how_late_rewards_come_is_told(server: Server, client: Client) -> None:
    """A fitted copy tells its loss before and after; an event that tells its time is as old as that when it comes."""
    names = ['quickstudy_adaptation_loss_nats_count{moment="before"}',
             'quickstudy_adaptation_loss_nats_count{moment="after"}',
             'quickstudy_reward_delay_seconds_bucket{le="3600.0"}',
             'quickstudy_reward_delay_seconds_bucket{le="1800.0"}',
             "quickstudy_reward_delay_seconds_count"]  # fmt: skip
    before = server.metrics()
    late = pb.Event(event_id="late", user_id="metrics", item_id="i1", reward=1.0)
    late.time.FromSeconds(int(time.time()) - 2_000)
    timeless = pb.Event(event_id="now", user_id="metrics", item_id="i2", reward=1.0)
    await client.record([late, timeless])
    slate = await client.recommend("metrics", ["i1", "i2"])
    losses = slate.adaptation.loss_before, slate.adaptation.loss_after
    after = server.metrics()
    assert [1, 1, 1, 0, 1] == [after[name] - before.get(name, 0) for name in names]
    sums = (
        'quickstudy_adaptation_loss_nats_sum{moment="before"}',
        'quickstudy_adaptation_loss_nats_sum{moment="after"}',
    )
    assert losses == pytest.approx([after[name] - before.get(name, 0) for name in sums], abs=1e-4)


def test_processes_are_told_apart_by_their_slot(tmp_path: Path) -> None:
    """The usual figures of a process come once for each worker."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc")
    page = samples(generate_latest(Workforce(tmp_path, lambda: {0: os.getpid(), 7: os.getppid()}).registry).decode())
    assert page['process_resident_memory_bytes{worker="0"}'] > 1e6
    assert page['process_resident_memory_bytes{worker="7"}'] > 0
