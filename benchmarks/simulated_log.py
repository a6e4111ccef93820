"""Logs of simulated users, in the files that `quickstudy export` writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meta.types import FloatArray, IntArray
from replay import log

START_MS, SPAN_MS = 1_700_000_000_000, 60_000
"""When the first decision was made, and from one decision of a user to the next."""


def written(
    folder: Path,
    ids: Sequence[str],
    offer: IntArray,
    slate: IntArray,
    chance: FloatArray,
    reward: FloatArray,
    *,
    part: int = 0,
) -> None:
    """Write the episodes of B users as two files of a log; a decision a minute, the answers half a minute later.

    Args:
        folder: of the log.
        ids: of the catalogue's items.
        offer: int [B, G, C], rows on offer.
        slate: int [B, G, K], rows shown.
        chance: float [B, G, K], of each given those above.
        reward: float [B, G, K], of each.
        part: number of the files, and part of the users' names.
    """
    users, steps, size = slate.shape
    n = users * steps
    user = [f"u{part}-{b}" for b in range(users) for _ in range(steps)]
    name = [f"u{part}-{b}-{g}" for b in range(users) for g in range(steps)]
    at = [START_MS + SPAN_MS * g for _ in range(users) for g in range(steps)]
    shown = [[ids[row] for row in rows] for rows in slate.reshape(n, size).tolist()]
    chance = chance.reshape(n, size)
    decisions: dict[str, list[Any]] = {
        "decision_id": name, "time": at, "user": user, "tenant": [""] * n, "policy_version": ["logging"] * n,
        "adapter": ["maml"] * n, "source": ["adapted"] * n, "mode": ["explore"] * n, "deferred": [False] * n,
        "activated": [False] * n, "watermark": [0] * n, "events_used": [0] * n,
        "candidates": [[ids[row] for row in rows] for rows in offer.reshape(n, -1).tolist()], "excluded": [[]] * n,
        "include_seen": [False] * n, "slate": shown, "propensities": chance.tolist(),
        "log_propensity": np.log(chance).sum(1).tolist(), "seed": [0] * n, "temperature": [1.0] * n,
        "context": [""] * n, "reason": [""] * n, "proposed": [[]] * n, "proposed_propensities": [[]] * n,
    }  # fmt: skip
    later = [each + SPAN_MS // 2 for each in at for _ in range(size)]
    events: dict[str, list[Any]] = {
        "event": list(range(n * size)), "user": [each for each in user for _ in range(size)],
        "item_id": [item for items in shown for item in items], "reward": reward.ravel().tolist(), "time": later,
        "recorded": later, "decision_id": [each for each in name for _ in range(size)],
        "position": list(range(1, size + 1)) * n,
    }  # fmt: skip
    log.write(folder / f"decisions-{part:08d}.parquet", "decisions", decisions)
    log.write(folder / f"events-{part:08d}.parquet", "events", events)
