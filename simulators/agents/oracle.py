"""The oracle: sees what users hide, and so earns the most that one step can give."""

from __future__ import annotations

import numpy as np

from meta.arrays import top
from meta.ranking import slate_scores
from meta.types import FloatArray, IntArray
from simulators.agents.port import JudgedWorld


class Oracle:
    """Shows the slate of the largest expected reward at this step; it does not plan (the position is left out)."""

    name = "oracle"

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Look through the users of `world`."""
        self._world = world

    def act(self, rows: IntArray) -> IntArray:
        """Show the best by true appeal."""
        world = self._world
        v = world.appeal(rows) - world.no_choice
        share = slate_scores(v, world.worth(rows), np.ones(rows.shape, bool), world.slate_size)
        slate: IntArray = top(share, world.slate_size)
        return slate

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Nothing to learn."""
