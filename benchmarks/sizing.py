"""From what one user and one call were measured to take to what very many need."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

USERS = (10**4, 10**5, 10**6, 10**7, 10**8)


@dataclass(frozen=True, slots=True)
class Cost:
    """What was measured.

    Args:
        user_bytes: memory of the store for a user's history, all in.
        copy_bytes: memory of the store for an adapted copy.
        decision_bytes: memory of the store for a decision in the log.
        call_cpu_s: seconds of a core that the service takes for a recommendation.
        store_cpu_s: seconds of a core that the store takes for it.
        call_bytes: what goes to the store and back for one.
    """

    user_bytes: float
    copy_bytes: float
    decision_bytes: float
    call_cpu_s: float
    store_cpu_s: float
    call_bytes: float


@dataclass(frozen=True, slots=True)
class Habits:
    """What is assumed, and is another thing for every product.

    Args:
        calls_a_day: recommendations for a user.
        peak: calls of the busiest second over those of a mean one.
        active: share of the users who have a copy: those who called within the last hour, at most.
        logged: decisions that the store keeps until they are exported.
        node_gb: memory of a node of the store, 10^9 bytes.
        full: share of it that is filled; a rewrite of the append-only file needs the rest.
        busy: share of a core, of the store's one too, that is used at the peak; the rest keeps waiting short.
    """

    calls_a_day: float = 10.0
    peak: float = 3.0
    active: float = 0.1
    logged: int = 100_000
    node_gb: float = 64.0
    full: float = 0.6
    busy: float = 0.6


def table(cost: Cost, habits: Habits, users: tuple[int, ...] = USERS) -> list[dict[str, Any]]:
    """A row for each number of users: memory and nodes of the store; calls, cores and network at the peak."""
    rows = []
    for n in users:
        memory = n * (cost.user_bytes + habits.active * cost.copy_bytes) + habits.logged * cost.decision_bytes
        calls = n * habits.calls_a_day * habits.peak / 86_400
        rows.append(
            {
                "users": n,
                "store_GB": round(memory / 1e9, 3),
                "nodes": ceil(
                    max(memory / (habits.node_gb * 1e9 * habits.full), calls * cost.store_cpu_s / habits.busy)
                ),
                "calls_a_s": round(calls, 1),
                "cores": ceil(calls * cost.call_cpu_s / habits.busy),
                "store_Mbit_a_s": round(8 * calls * cost.call_bytes / 1e6, 2),
            }
        )
    return rows
