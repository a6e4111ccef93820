"""The population behind a log: whom a world can draw its users from. `factors.fit` learns it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.catalogue import Catalogue
from meta.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Population:
    """What is known of U users and n items: user u gives item i the logit taste[u]·item[i] + bias[i].

    Args:
        name: of the log.
        catalogue: all N items of the log, with the features of its own columns.
        rows: int [n], the items that are known well enough, by row of the catalogue, in ascending order.
        taste: float64 [U, E].
        item: float64 [n, E].
        bias: float64 [n], logits.
        worth: float64 [n], mean reward of an item's likes.
        no_choice: logit of choosing nothing, for one item shown alone; None where the log does not tell.
        gain: nats by which a like that was held out is foretold better than from popularity alone.
    """

    name: str
    catalogue: Catalogue
    rows: IntArray
    taste: FloatArray
    item: FloatArray
    bias: FloatArray
    worth: FloatArray
    no_choice: float | None
    gain: float

    def __len__(self) -> int:
        return len(self.taste)

    def chances(self) -> FloatArray:
        """Chance [U, n] that each user picks each item from all n, given that one is picked."""
        logits = self.taste @ self.item.T + self.bias
        odds = np.exp(logits - logits.max(1, keepdims=True))
        chances: FloatArray = odds / odds.sum(1, keepdims=True)
        return chances
