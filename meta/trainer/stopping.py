"""When to stop: early stopping on the cold-start curve of validation users."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from meta.types import FloatArray

SMOOTH = 3
"""Looks that are averaged: one look at few users is noise."""


@dataclass(slots=True)
class Stopping:
    """Looks at validation users, and the best iteration so far.

    Args:
        earliest: iteration before which there is no stop; until then the latest look counts as the best.
        patience: looks without improvement until the stop.
        looks: NDCG@10 at each k, one row a look.
        best: mean over the k of the smoothed curve at the best iteration; -1 before the first look.
        best_at: that iteration, 0 before the first look.
        since: looks since then.
        looked_at: iteration of the latest look.
        curve: the curve at `best_at`, not smoothed.
    """

    earliest: float
    patience: int
    looks: list[list[float]] = field(default_factory=list)
    best: float = -1.0
    best_at: int = 0
    since: int = 0
    looked_at: int = 0
    curve: list[float] = field(default_factory=list)

    def look(self, iteration: int, ndcg: FloatArray) -> None:
        """Take note of a curve [len(KS)] reached after an iteration."""
        self.looks.append(ndcg.tolist())
        reached = float(np.mean(self.looks[-SMOOTH:]))
        self.since, self.looked_at = self.since + 1, iteration
        if iteration < self.earliest or reached > self.best:
            self.best, self.best_at, self.curve, self.since = reached, iteration, self.looks[-1], 0

    @property
    def over(self) -> bool:
        """Whether patience has run out."""
        return self.since >= self.patience
