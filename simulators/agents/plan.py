"""What a choice costs later, by the world's law: the price that makes a greedy agent plan."""

from __future__ import annotations

import numpy as np

from meta.types import FloatArray, IntArray
from simulators.agents.slate import best_slate
from simulators.law import KnownLaw

FRESH = 0.3
"""Share of the latest slate in the running mean of what appeal is worth."""
SETTLING = 6
"""Rounds of the first slate, whose price depends on what it is worth itself."""


class Plan:
    """Chooses slates whose items are charged for the appeal that their choice takes off everything later.

    The charge is aftermath(item) times the user's rate, reward for a logit of appeal. As the rate is of slates that pay
    the price themselves, it is the shadow price of weariness (Pontryagin's costate, for a rate that stays as it is).

    Args:
        law: of the world.
        users: B.
        steps: of the episode.
    """

    def __init__(self, law: KnownLaw, users: int, steps: int) -> None:
        self._law, self._left = law, steps
        self._rate: FloatArray = np.zeros(users)
        self._settled = False

    def slate(self, weight: FloatArray, odds: FloatArray, worth: FloatArray, rows: IntArray) -> IntArray:
        """Best slates int [B, K] at the present price; arguments as of `best_slate`, worth without the price."""
        self._left -= 1
        aftermath = self._law.aftermath(rows, self._left)
        for _ in range(1 if self._settled else SETTLING):
            price = (self._rate[:, None] * aftermath).astype(np.float32)
            slate, rate = best_slate(weight, odds, worth - price[:, None], self._law.position_cost)
            self._rate = (1.0 - FRESH) * self._rate + FRESH * rate
        self._settled = True
        return slate
