"""How simulated users pick from a slate: the conditional logit with 'no choice' (McFadden 1974).

P(i | slate) = e^{x_i} / (e^{x_none} + sum_j e^{x_j})
"""

from __future__ import annotations

import numpy as np

from meta.types import BoolArray, FloatArray, IntArray


def first_showings(slate: IntArray) -> BoolArray:
    """Where an item stands for the first time in its slate [B, K]: one shown twice draws no more clicks than once."""
    same = slate[:, :, None] == slate[:, None, :]
    first: BoolArray = ~np.tril(same, -1).any(-1)
    return first


def probabilities(appeal: FloatArray, no_choice: float, shown: BoolArray) -> FloatArray:
    """Chance that each position is picked.

    Args:
        appeal: float [B, K], logit of each position.
        no_choice: logit of picking nothing.
        shown: bool [B, K], false where a position counts as empty.

    Returns:
        float [B, K]; the rest up to 1 is the chance of no choice.
    """
    logits = np.where(shown, appeal, -np.inf)
    peak = np.maximum(logits.max(-1, keepdims=True), no_choice)
    odds = np.exp(logits - peak)
    chances: FloatArray = odds / (np.exp(no_choice - peak) + odds.sum(-1, keepdims=True))
    return chances


def choose(chances: FloatArray, rng: np.random.Generator) -> IntArray:
    """Draw one position a user from `probabilities`: [B, K] -> int [B], -1 where nothing was picked."""
    drawn = (np.cumsum(chances, -1) <= rng.random((len(chances), 1))).sum(-1)
    return np.where(drawn < chances.shape[1], drawn, -1)
