"""Priorities: what is drawn from a memory in proportion to how much it surprised.

Prioritised experience replay, the proportional variant (Schaul et al. 2016). Ours differs: priorities are kept by
user, so a draw costs one cumulative sum over thousands of episodes, which is cheaper than a tree's many steps in numpy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meta.types import FloatArray, IntArray

LEAST = 1e-3
"""Added to every surprise, so that nothing is forgotten for good (epsilon in the paper)."""


class Priorities:
    """Priorities of the places 0..capacity - 1 of a memory.

    Args:
        capacity: places, at least 1.
        alpha: how much surprise counts: chances are proportional to priority ^ alpha; 0 is uniform.

    Raises:
        ValueError: where an argument is out of its range.
    """

    def __init__(self, capacity: int, alpha: float) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        if alpha < 0.0:
            raise ValueError(f"alpha must be at least 0, got {alpha}")
        self.alpha = alpha
        self._powers = np.zeros(capacity)
        self._largest = 1.0

    def welcome(self, place: IntArray) -> None:
        """Give new arrivals the largest priority so far, so that each is soon drawn once."""
        self._powers[place] = self._largest

    def learn(self, place: IntArray, surprise: FloatArray) -> None:
        """Set priorities to these surprises, float [B], at least 0 (the size of a TD error).

        Raises:
            ValueError: where a surprise is negative or not finite.
        """
        if not (np.isfinite(surprise) & (surprise >= 0)).all():
            raise ValueError(f"surprise must be finite and at least 0, got {surprise.min()}..{surprise.max()}")
        self._powers[place] = (surprise + LEAST) ** self.alpha
        self._largest = max(self._largest, float(self._powers[place].max(initial=0.0)))

    def draw(self, count: int, rng: np.random.Generator) -> IntArray:
        """Draw `count` places, one from each of as many equal shares of the total priority (the paper's B.2.1)."""
        edges = np.cumsum(self._powers)
        aim = (np.arange(count) + rng.random(count)) / count * edges[-1]
        # Rounding can carry the last aim to the total itself, past the last place that has a priority.
        place: IntArray = np.minimum(np.searchsorted(edges, aim, side="right"), np.flatnonzero(self._powers)[-1])
        return place

    def corrections(self, place: IntArray, beta: float) -> npt.NDArray[np.float32]:
        """Importance weights (n P(i)) ^ -beta, the largest of the draw scaled to 1 (the paper's 3.4).

        Args:
            place: int [B], places drawn.
            beta: how much of the bias of the draw is undone, 0 (none) to 1 (all).
        """
        weight: npt.NDArray[np.float32] = ((self._powers[place] / self._powers[place].min()) ** -beta).astype(
            np.float32
        )
        return weight

    def state(self) -> tuple[FloatArray, float]:
        """Everything that is remembered: powers of the priorities [capacity], and the largest so far."""
        return self._powers.copy(), self._largest

    def resume(self, powers: FloatArray, largest: float) -> None:
        """Go on from what `state` gave."""
        self._powers[:], self._largest = powers, largest
