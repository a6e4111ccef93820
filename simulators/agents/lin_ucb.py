"""LinUCB by user, with a prior fitted to the population: optimism about items of which little is known."""

from __future__ import annotations

import numpy as np

from meta.arrays import top
from meta.types import FloatArray, IntArray
from simulators.agents.linear import Weights, described, fit
from simulators.agents.port import JudgedWorld
from simulators.agents.practice import by_position, practise
from simulators.agents.random import Random


class LinUCB:
    """Ranks by the upper end of what each item may earn with this user (Li et al. 2010, algorithm 1).

    Deviation: all items share one model, and weights are regularised towards those of the population, which are fitted
    on practice users who saw random slates. The reward of an item that was shown and not chosen is 0.

    Args:
        width: of the interval, standard deviations; 1 was the best of 0, 0.5, 1 and 2 in both of our worlds, on users
            of a seed of their own.
    """

    name = "linucb"

    def __init__(self, width: float = 1.0) -> None:
        self._width = width

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Practise, and give every user the population's weights."""
        self._size = world.slate_size
        self._features = described(world.catalogue())
        self._weights = Weights(fit(self._features, practise(world, Random(), seed)), world.num_envs)

    def act(self, rows: IntArray) -> IntArray:
        """Show what may earn most."""
        slate: IntArray = top(
            np.where(rows < 0, -np.inf, self._weights.upper(self._features[rows], self._width)), self._size
        )
        return slate

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Learn what each item of the slate earned."""
        self._weights.see(self._features[slate], by_position(choice, reward, self._size))
