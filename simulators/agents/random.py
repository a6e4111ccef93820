"""Random slates: what a policy must beat to have learnt anything."""

from __future__ import annotations

import numpy as np

from meta.arrays import top
from meta.types import FloatArray, IntArray
from simulators.agents.port import JudgedWorld


class Random:
    """Every slate is equally likely."""

    name = "random"

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Start a generator."""
        self._size = world.slate_size
        self._rng = np.random.default_rng(seed)

    def act(self, rows: IntArray) -> IntArray:
        """Draw positions without replacement."""
        slate: IntArray = top(self._rng.random(rows.shape), self._size)
        return slate

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Learn nothing."""
