"""Small logs for tests."""

from typing import Any

START_MS = 1_700_000_000_000


def decisions(n: int, *, start: int = 0, users: int = 1, **changed: list[Any]) -> dict[str, list[Any]]:
    """Decisions d0, d1, ... of users u0, u1, ... in turn, a second apart, that show b above a; some columns changed."""
    at = range(start, start + n)
    columns: dict[str, list[Any]] = {
        "decision_id": [f"d{i}" for i in at],
        "time": [START_MS + 1000 * i for i in at],
        "user": [f"u{i % users}" for i in at],
        "tenant": [""] * n,
        "policy_version": ["v1"] * n,
        "adapter": ["ridge"] * n,
        "source": ["adapted"] * n,
        "mode": ["unspecified"] * n,
        "deferred": [False] * n,
        "activated": [False] * n,
        "watermark": [0] * n,
        "events_used": [0] * n,
        "candidates": [["a", "b", "c"]] * n,
        "excluded": [[]] * n,
        "include_seen": [False] * n,
        "slate": [["b", "a"]] * n,
        "propensities": [[0.5, 0.25]] * n,
        "log_propensity": [-2.0794415416798357] * n,
        "seed": list(at),
        "temperature": [1.0] * n,
        "context": [""] * n,
        "reason": [""] * n,
        "proposed": [[]] * n,
        "proposed_propensities": [[]] * n,
    }
    return columns | changed


def events(n: int, *, start: int = 0, users: int = 1, **changed: list[Any]) -> dict[str, list[Any]]:
    """Events that like item a at the first position of d0, d1, ..., half a second later; some columns changed."""
    at = range(start, start + n)
    columns: dict[str, list[Any]] = {
        "event": list(at),
        "user": [f"u{i % users}" for i in at],
        "item_id": ["a"] * n,
        "reward": [1.0] * n,
        "time": [START_MS + 1000 * i + 500 for i in at],
        "recorded": [START_MS + 1000 * i + 500 for i in at],
        "decision_id": [f"d{i}" for i in at],
        "position": [2] * n,
    }
    return columns | changed
