"""The oracle that plans: sees what users hide, and charges every choice for what it costs later."""

from __future__ import annotations

import numpy as np

from meta.types import FloatArray, IntArray
from simulators.agents.plan import Plan
from simulators.agents.port import JudgedWorld
from simulators.law import told


class PlanningOracle:
    """Shows the best slate by true appeal at the price of `Plan`; not the optimum, which is out of reach."""

    name = "planning oracle"

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Look through the users of `world`.

        Raises:
            InputError: the world does not tell its law.
        """
        self._world = world
        self._plan = Plan(told(world), world.num_envs, world.steps)

    def act(self, rows: IntArray) -> IntArray:
        """Show what is worth its price."""
        world = self._world
        odds = np.exp(world.appeal(rows) - world.no_choice)
        return self._plan.slate(np.ones((len(rows), 1)), odds[:, None], world.worth(rows)[:, None], rows)

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Nothing to learn."""
