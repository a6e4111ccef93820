"""The slate that is best on average over minds that a user may have."""

from __future__ import annotations

import numpy as np

from meta.arrays import top
from meta.ranking import slate_scores
from meta.types import FloatArray, IntArray

BLOCK = 400_000
"""Odds worked on at once, so that they stay in the processor's cache."""


def best_slate(
    weight: FloatArray, odds: FloatArray, advantage: FloatArray, position_cost: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Find slates of a large expected advantage, each user's mind being one of P.

    The value of a slate is sum_p w_p sum_i o_pi a_pi / (1 + sum_i o_pi): the mean of ratios, not the ratio of means, so
    that a slate hedges between minds. The search starts from the exact slate of the ratio of means (`meta.ranking`)
    and gives each position in turn to the item that is best beside the others: one round of coordinate ascent.

    Args:
        weight: float [B, P], of the minds, summing to 1.
        odds: float32 [B, P, C], of items against no choice at the first position.
        advantage: float32 [B, P, C], what a choice of each is worth.
        position_cost: float [K], appeal lost at each position, logits.

    Returns:
        int [B, K] candidate positions of distinct items, and float [B], what the slate would gain for each logit of
        appeal more of all its items.
    """
    slate = np.zeros((len(odds), len(position_cost)), np.int64)
    rate = np.zeros(len(odds))
    size = max(BLOCK // (odds.shape[1] * odds.shape[2]), 1)
    for first in range(0, len(odds), size):
        part = slice(first, first + size)
        slate[part], rate[part] = _filled(weight[part].astype(np.float32), odds[part], advantage[part], position_cost)
    return slate, rate


def _filled(
    weight: FloatArray, odds: FloatArray, advantage: FloatArray, position_cost: FloatArray
) -> tuple[IntArray, FloatArray]:
    users = np.arange(len(odds))
    gain = odds * advantage
    slate = _first(weight, odds, gain, len(position_cost))
    kept = np.exp(-position_cost).astype(np.float32)
    shown, earned = (kept * np.take_along_axis(x, slate[:, None], 2) for x in (odds, gain))
    above, below = earned.sum(2), 1.0 + shown.sum(2)  # of the fraction
    taken = np.zeros((len(odds), odds.shape[2]), bool)
    taken[users[:, None], slate] = True
    for position, share in enumerate(kept):
        item = slate[:, position]
        above, below = above - share * gain[users, :, item], below - share * odds[users, :, item]
        taken[users, item] = False
        value = (weight[:, None] @ ((above[..., None] + share * gain) / (below[..., None] + share * odds)))[:, 0]
        slate[:, position] = item = np.where(taken, -np.inf, value).argmax(1)
        taken[users, item] = True
        above, below = above + share * gain[users, :, item], below + share * odds[users, :, item]
    return slate, (weight * (above / below**2)).sum(1)


def _first(weight: FloatArray, odds: FloatArray, gain: FloatArray, size: int) -> IntArray:
    """The best slates for mean odds and gains, int [B, K]."""
    odds, gain = ((weight[:, None] @ x)[:, 0] for x in (odds, gain))
    odds = np.maximum(odds, np.finfo(np.float32).tiny)
    slate: IntArray = top(slate_scores(np.log(odds), gain / odds, np.ones(odds.shape, bool), size), size)
    return slate
