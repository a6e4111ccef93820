"""Offers: what each user could be shown at a step, drawn for a whole batch at once."""

from __future__ import annotations

import numpy as np

from meta.types import IntArray

CROWDED = 4
"""Below so many times C^2 items, repetitions among C draws are too common to draw again."""
PATTERNS = 4096
"""Offers of a crowded catalogue that are drawn once, to be renamed at every step."""


class Offers:
    """Draws C distinct items a user, uniformly without replacement.

    In a crowded catalogue the names of all items are shuffled at every step and a user takes one of the ready patterns
    under these names: each user's offers have exactly the law, at a tenth of the price of drawing them apart.

    Args:
        items: N, size of the catalogue.
        count: C, distinct items of an offer, at most N.
        rng: of the patterns.
    """

    def __init__(self, items: int, count: int, rng: np.random.Generator) -> None:
        self._items, self._count = items, count
        self._patterns = None
        if items < CROWDED * count * count:
            tickets = np.tile(np.arange(items, dtype=np.int32), (PATTERNS, 1))
            self._patterns = rng.permuted(tickets, axis=1)[:, :count].copy()

    def draw(self, users: int, rng: np.random.Generator) -> IntArray:
        """Rows int32 [B, C]."""
        if self._patterns is None:
            return self._redrawn(users, rng)
        names = rng.permutation(self._items).astype(np.int32)
        of = (np.arange(users) + rng.integers(PATTERNS)) % PATTERNS
        drawn: IntArray = np.take(names, np.take(self._patterns, of, axis=0))
        return drawn

    def _redrawn(self, users: int, rng: np.random.Generator) -> IntArray:
        """Draws with replacement, again where that repeated an item."""
        rows: IntArray = rng.integers(self._items, size=(users, self._count), dtype=np.int32)
        while True:
            ordered = np.sort(rows, 1)
            again = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(1))
            if not again.size:
                return rows
            rows[again] = rng.integers(self._items, size=(again.size, self._count), dtype=np.int32)
