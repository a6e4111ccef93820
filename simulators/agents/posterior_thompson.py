"""Posterior Thompson sampling: knows the law, and acts as if one mind drawn from the posterior were the user's."""

from __future__ import annotations

import numpy as np

from meta.types import FloatArray, IntArray
from simulators.agents.particles import Particles
from simulators.agents.port import JudgedWorld
from simulators.agents.slate import best_slate
from simulators.law import told


class PosteriorThompson:
    """Shows the best slate of one mind, drawn at every step from the posterior (Thompson 1933).

    Args:
        count: P, minds imagined for each user.
    """

    name = "posterior thompson"

    def __init__(self, count: int = 300) -> None:
        self._count = count

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Imagine minds of every user.

        Raises:
            InputError: the world does not tell its law.
        """
        law = told(world)
        self._cost = law.position_cost
        self._rng = np.random.default_rng(seed)
        self._particles = Particles(law, world.num_envs, world.steps, self._count, self._rng)

    def act(self, rows: IntArray) -> IntArray:
        """Draw a mind a user and show what it likes."""
        users = len(rows)
        passed = np.cumsum(self._particles.weight, 1) < self._rng.random((users, 1))
        drawn = np.minimum(passed.sum(1), self._count - 1)[:, None]
        odds, worth = self._particles.odds(rows, drawn)
        return best_slate(np.ones((users, 1)), odds, worth, self._cost)[0]

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Weigh the imagined minds."""
        self._particles.see(slate, choice, reward)
