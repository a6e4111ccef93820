"""What catalogues, histories and crowds cost by their size, and what follows for 10^8 users: `quickstudy bench scale`.

The parts are `scale_catalogue`, `scale_users` and `sizing`; each says what it measures. Everything shares the machine
with its own load generator and store: `cpu_ms` is the server's own time, whatever else the machine does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import scale_catalogue, scale_users, sizing
from benchmarks.report import Claim, write

ITEMS = (1_000, 10_000, 100_000, 1_000_000)
USERS = (1_000, 10_000, 100_000, 1_000_000)
LIMITS_MS = {100_000: 6.0, 1_000_000: 40.0}
"""What is promised of a whole catalogue at the median, through gRPC, whatever the kind of policy and slate."""
LIMIT_BYTES = 1_700.0
"""What is promised of a user with 50 events."""
QUICK = 10**5
"""No size is above this in a quick run."""


def run(out: Path, *, quick: bool = False, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Measures every size, writes the result and returns it; tells of each size that is done."""
    items, users = ([n for n in sizes if not quick or n <= QUICK] for sizes in (ITEMS, USERS))
    catalogue = scale_catalogue.measure(items, rounds=30, seconds=5.0, tell=tell)
    by_events, by_users = scale_users.measure(users, seconds=3.0, tell=tell)
    most = by_users[-1]
    cost = sizing.Cost(
        most["bytes_a_user"],
        most["copy_bytes"],
        most["decision_bytes"],
        call_cpu_s=most["cpu_us"] / 1e6,
        store_cpu_s=most["store_cpu_us"] / 1e6,
        call_bytes=most["store_bytes_a_call"],
    )
    habits = sizing.Habits()
    return write(
        out,
        command=f"quickstudy bench scale{' --quick' if quick else ''}",
        rows=catalogue,
        claims=[*_of_catalogue(catalogue), *_of_users(by_users), _failed(*catalogue, *by_events, *by_users)],
        by_events=by_events,
        by_users=by_users,
        sizing=sizing.table(cost, habits),
        measured=asdict(cost),
        assumed=asdict(habits),
    )


def printable(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The tables of a result by what they tell."""
    return {
        "a whole catalogue": result["rows"],
        "calls by events of a user": result["by_events"],
        f"calls by users with {scale_users.EVENTS} events": _of(result["by_users"], "_ms", "_us", "per_s"),
        f"bytes by users with {scale_users.EVENTS} events": _of(
            result["by_users"], "bytes", "user", "bytes_a_call", "load_s"
        ),
        "sizing": result["sizing"],
    }


def _of(rows: Sequence[dict[str, Any]], *endings: str) -> list[dict[str, Any]]:
    """Some columns beside the number of users."""
    return [{name: value for name, value in row.items() if name == "users" or name.endswith(endings)} for row in rows]


def _of_catalogue(rows: Sequence[dict[str, Any]]) -> list[Claim]:
    """The slowest kind of slate is what counts."""
    claims = []
    for way in ("in process", "over gRPC"):
        for items, limit in LIMITS_MS.items():
            found = [row["p50_ms"] for row in rows if row["items"] == items and row["catalogue"].endswith(way)]
            claims.append(
                Claim(f"p50 ms of the slowest slate, {items:,} items, {way}", max(found, default=None), "<=", limit)
            )
    return claims


def _of_users(by_users: Sequence[dict[str, Any]]) -> list[Claim]:
    """Of the most users: memory in use, and by keys; and that what was loaded is what would have been written."""
    most = by_users[-1] if by_users[-1]["users"] == max(USERS) else {}
    name = f"bytes of a user with {scale_users.EVENTS} events among {max(USERS):,}"
    return [
        Claim(f"{name}, by the store's used memory", most.get("bytes_a_user"), "<=", LIMIT_BYTES),
        Claim(f"{name}, by MEMORY USAGE of {scale_users.SAMPLED}", most.get("history_bytes"), "<=", LIMIT_BYTES),
        Claim("sizes at which what was loaded is not what the script writes",
              float(sum(not row["same_as_the_script"] for row in by_users)), "==", 0.0),
    ]  # fmt: skip


def _failed(*rows: dict[str, Any]) -> Claim:
    return Claim("calls that failed", float(sum(row.get("failed", 0) for row in rows)), "==", 0.0)
