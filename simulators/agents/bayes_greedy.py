"""Bayes-greedy: knows the world's law, and of a user only what was seen. The honest upper reference."""

from __future__ import annotations

import numpy as np

from meta.types import FloatArray, IntArray
from simulators.agents.particles import Particles
from simulators.agents.plan import Plan
from simulators.agents.port import JudgedWorld
from simulators.agents.slate import best_slate
from simulators.law import told


class BayesGreedy:
    """Shows the slate of the largest expected reward under the posterior of each user's mind.

    Args:
        count: P, minds imagined for each user.
        planning: charge each choice for what it costs later (`Plan`).
    """

    def __init__(self, count: int = 300, *, planning: bool = False) -> None:
        self.name = "bayes greedy with planning price" if planning else "bayes greedy"
        self._count, self._planning = count, planning

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Imagine minds of every user.

        Raises:
            InputError: the world does not tell its law.
        """
        law = told(world)
        self._cost = law.position_cost
        self._particles = Particles(law, world.num_envs, world.steps, self._count, np.random.default_rng(seed))
        self._plan = Plan(law, world.num_envs, world.steps) if self._planning else None

    def act(self, rows: IntArray) -> IntArray:
        """Show what is best on average over the imagined minds."""
        weight, (odds, worth) = self._particles.weight, self._particles.odds(rows)
        if self._plan is not None:
            return self._plan.slate(weight, odds, worth, rows)
        return best_slate(weight, odds, worth, self._cost)[0]

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Weigh the imagined minds."""
        self._particles.see(slate, choice, reward)
