"""Every metric of the service: names, units, buckets, labels. No user id is ever a label."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

SECONDS = (
    *(0.000_25, 0.000_5, 0.000_75, 0.001, 0.001_5, 0.002, 0.003, 0.005, 0.007_5),
    *(0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
AGES = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0)
USERS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics of one server process, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # untyped there
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"quickstudy_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"quickstudy_{name}", text, labels, registry=registry, buckets=buckets)

        self.request_seconds = histogram("request_seconds", "Time of a call in the server.", SECONDS, "method")
        self.errors = counter("errors_total", "Calls that failed.", "method", "code")
        self.queue_seconds = histogram("queue_seconds", "Longest wait for company in a batch.", SECONDS)
        self.queue_predicted = Gauge(
            "quickstudy_queue_predicted_seconds", "Wait of one more request, as predicted.", registry=registry
        )
        self.batch_users = histogram("batch_users", "Requests computed together.", USERS)
        self.rank_seconds = histogram("rank_seconds", "Computation of a batch: decode, adapt, rank, reply.", SECONDS)
        self.adaptation_seconds = histogram("adaptation_seconds", "Adaptation of the users of a batch.", SECONDS)
        self.busy = Gauge("quickstudy_busy_ratio", "Share of one core in use lately.", registry=registry)
        self.copies = counter(
            "copies_total", "Copies used: cached, carried on or adapted on the way; of these refused.", "state"
        )
        self.served = counter("served_total", "Slates by source and reason.", "source", "reason")
        self.repeated = counter("repeated_total", "Slates given again, as their decision_id was known.")
        self.unknown_items = counter("unknown_items_total", "Items that the catalogue does not know.", "call")
        self.unknown_names = counter(
            "unknown_names_total", "Names of attributes or contexts that the policy does not know.", "call"
        )
        self.events = counter("events_total", "Recorded events by result.", "result")
        self.likes = counter("popularity_likes_total", "Likes added to the counts of the store, or given up.", "result")
        self.popularity_errors = counter("popularity_errors_total", "Rounds in which popularity could not be renewed.")
        self.popularity_age = Gauge(
            "quickstudy_popularity_age_seconds", "Since popularity was read; infinite: never.", registry=registry
        )
        self.store_seconds = histogram("store_seconds", "Round trip to the store.", SECONDS, "operation")
        self.store_errors = counter("store_errors_total", "Failed round trips to the store.", "operation")
        self.store_openings = counter(
            "store_breaker_openings_total", "How often calls to the store were stopped, as it did not answer.", "calls"
        )
        self.store_down = Gauge(
            "quickstudy_store_down_seconds",
            "Since calls to the store were stopped; 0: they are made.",
            ("calls",),
            registry=registry,
        )
        self.recent_users = Gauge(
            "quickstudy_recent_users", "Users remembered for when the store is away.", registry=registry
        )
        self.staleness = histogram("staleness_seconds", "Age of what stale slates were ranked by.", AGES)
        self.written = counter("background_writes_total", "Decisions and copies written after the reply.", "kind")
        self.lost = counter("background_lost_total", "Decisions and copies given up.", "kind")
        self.policy = Gauge(
            "quickstudy_policy_info", "The policy that serves.", ("version", "adapter"), registry=registry
        )
