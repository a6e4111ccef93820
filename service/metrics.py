"""Every metric of the service: names, units, buckets, labels. No user id is ever a label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

SECONDS = (
    *(0.000_25, 0.000_5, 0.000_75, 0.001, 0.001_5, 0.002, 0.003, 0.005, 0.007_5),
    *(0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
LONG = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1_800.0)
AGES = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0)
DELAYS = (1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 3_600.0, 6 * 3_600.0, 86_400.0, 7 * 86_400.0)
USERS = (1, 2, 4, 8, 16, 32, 64)
NATS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0)
Over = Literal["livemax", "livesum"]
"""How a gauge of several workers becomes one: the largest, or the sum, of those that live."""


class Metrics:
    """The metrics of one server process, in a registry of their own.

    Args:
        shared: the process is one of several workers, and another one shows what their files hold.
    """

    def __init__(self, shared: bool = False) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # untyped there
        self.registry = registry = CollectorRegistry()
        self._shared = shared
        self._followed: list[tuple[Gauge, Callable[[], float]]] = []
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"quickstudy_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"quickstudy_{name}", text, labels, registry=registry, buckets=buckets)

        def gauge(name: str, text: str, over: Over, *labels: str) -> Gauge:
            return Gauge(f"quickstudy_{name}", text, labels, registry=registry, multiprocess_mode=over)

        self.request_seconds = histogram("request_seconds", "Time of a call in the server.", SECONDS, "method")
        self.errors = counter("errors_total", "Calls that failed.", "method", "code")
        self.shed = counter("shed_total", "Calls refused before they cost anything, by why.", "method", "reason")
        self.queue_seconds = histogram("queue_seconds", "Longest wait for company in a batch.", SECONDS)
        self.queue_predicted = gauge("queue_predicted_seconds", "Wait of one more request, as predicted.", "livemax")
        self.batch_users = histogram("batch_users", "Requests computed together.", USERS)
        self.rank_seconds = histogram("rank_seconds", "Computation of a batch: decode, adapt, rank, reply.", SECONDS)
        self.adaptation_seconds = histogram("adaptation_seconds", "Adaptation of the users of a batch.", SECONDS)
        self.busy = gauge("busy_ratio", "Share of one core in use lately; of several workers the busiest.", "livemax")
        self.copies = counter("copies_total", "Copies used: cached, carried on or adapted on the way.", "state")
        self.gate_rejections = counter("gate_rejections_total", "New copies that may not serve, by why.", "reason")
        self.adaptation_loss = histogram(
            "adaptation_loss_nats", "Mean choice loss of a history, before and after adaptation to it.", NATS, "moment"
        )
        self.served = counter("served_total", "Slates by source and reason.", "source", "reason")
        self.repeated = counter("repeated_total", "Slates given again, as their decision_id was known.")
        self.items = gauge("items", "Items that may be ranked.", "livemax")
        self.items_age = gauge("items_age_seconds", "Since changes of items were read; infinite: never.", "livemax")
        self.items_changed = counter("items_changed_total", "Changes of items that this process has followed.")
        self.unknown_items = counter("unknown_items_total", "Items that the catalogue does not know.", "call")
        self.unknown_names = counter(
            "unknown_names_total", "Names of attributes or contexts that the policy does not know.", "call"
        )
        self.events = counter("events_total", "Recorded events by result.", "result")
        self.reward_delay = histogram(
            "reward_delay_seconds", "From the time of an event that tells it to its arrival.", DELAYS
        )
        self.likes = counter("popularity_likes_total", "Likes added to the counts of the store, or given up.", "result")
        self.popularity_errors = counter("popularity_errors_total", "Rounds in which popularity could not be renewed.")
        self.popularity_age = gauge("popularity_age_seconds", "Since popularity was read; infinite: never.", "livemax")
        self.store_seconds = histogram("store_seconds", "Round trip to the store.", SECONDS, "operation")
        self.store_errors = counter("store_errors_total", "Failed round trips to the store.", "operation")
        self.store_openings = counter(
            "store_breaker_openings_total", "How often calls to the store were stopped, as it did not answer.", "calls"
        )
        self.store_down = gauge(
            "store_down_seconds", "Since calls to the store were stopped; 0: they are made.", "livemax", "calls"
        )
        self.recent_users = gauge("recent_users", "Users remembered for when the store is away.", "livesum")
        self.staleness = histogram("staleness_seconds", "Age of what stale slates were ranked by.", AGES)
        self.written = counter("background_writes_total", "Decisions and copies written after the reply.", "kind")
        self.lost = counter("background_lost_total", "Decisions and copies given up.", "kind")
        self.policy = gauge("policy_info", "1 for a version that serves.", "livemax", "version", "adapter", "role")
        self.canary_share = gauge("canary_share_ratio", "Share of users whom the canary serves.", "livemax")
        self.activations = counter("activations_total", "Changes of what serves, by what became of them.", "outcome")
        self.lineup_behind = gauge(
            "lineup_behind_seconds", "Since a lineup could not be loaded; 0: the latest serves.", "livemax"
        )
        self.shadow = counter("shadow_total", "Requests for the shadow, by what became of them.", "result")
        self.shadow_lag = gauge("shadow_lag_seconds", "Age of the oldest request that waits for the shadow.", "livemax")
        self._lineup: Mapping[str, tuple[str, str]] = {}
        self.replays = counter("replays_total", "Replays that callers asked for, by how they ended.", "outcome")
        self.replay_seconds = histogram("replay_seconds", "Time of a replay that had an answer.", LONG)
        self.replays_running = gauge("replays_running", "Replays under way.", "livesum")

    def follow(self, gauge: Gauge, read: Callable[[], float]) -> None:
        """Lets a gauge tell what `read` returns: when it is asked, or in a worker as of the last `refresh`."""
        if self._shared:
            self._followed.append((gauge, read))
        else:
            gauge.set_function(read)

    def tell_lineup(self, versions: Mapping[str, tuple[str, str]], share: float) -> None:
        """Tells which versions serve now, each with its adapter, by role, and the canary's share."""
        for role, version in self._lineup.items():
            self.policy.labels(*version, role).set(0)  # workers' files forget no label
        for role, version in versions.items():
            self.policy.labels(*version, role).set(1)
        self._lineup = versions
        self.canary_share.set(share)

    def refresh(self) -> None:
        """Writes down what followed gauges tell now, for another process to show."""
        for gauge, read in self._followed:
            gauge.set(read())


class Workforce:
    """The metrics of several workers as one page: what they wrote, summed, and their processes.

    A worker's counts are in a file of its slot, which outlives it, so no sum ever falls.

    Args:
        folder: where workers write.
        running: process ids by slot.
    """

    def __init__(self, folder: Path, running: Callable[[], Mapping[int, int]]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # untyped there
        self.registry = registry = CollectorRegistry()
        MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call] # untyped there
        registry.register(_Processes(running))
        self.workers = Gauge("quickstudy_workers", "Worker processes that serve.", registry=registry)
        self.restarts = Counter(
            "quickstudy_worker_restarts_total", "Workers that followed one that died.", registry=registry
        )


class _Processes(Collector):
    """CPU, memory and files of each worker."""

    def __init__(self, running: Callable[[], Mapping[int, int]]) -> None:
        self._running = running

    def collect(self) -> Iterator[Metric]:
        """As `ProcessCollector`, with a label that tells the slot."""
        families: dict[str, Metric] = {}
        for slot, pid in sorted(self._running().items()):
            for told in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                family = families.setdefault(told.name, Metric(told.name, told.documentation, told.type))
                for sample in told.samples:
                    family.add_sample(sample.name, {"worker": str(slot)}, sample.value)
        yield from families.values()
