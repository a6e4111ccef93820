"""What a ranker exposes users to: how much of the catalogue, how far from the popular, how evenly."""

from __future__ import annotations

import numpy as np

from meta.types import FloatArray, IntArray


def exposure(shown: IntArray, popularity: FloatArray) -> dict[str, float]:
    """What a ranker exposes users to: conservative policies feed popularity, so this stands beside every reward.

    Args:
        shown: int [B, K], rows.
        popularity: float [N], positive events of each item in training.

    Returns:
        As `exposed`.
    """
    return exposed(np.bincount(shown.ravel(), minlength=len(popularity)).astype(float), popularity)


def exposed(times: FloatArray, popularity: FloatArray) -> dict[str, float]:
    """As `exposure`, of how often each item was shown, float [N], at least once in all.

    Returns:
        `coverage`, share of the catalogue shown to anybody; `novelty`, mean -log2 of the items' share of users' likes;
        `gini` of exposure over the catalogue, 0 even to 1 all on one item.
    """
    share = (popularity + 1.0) / (popularity.sum() + len(popularity))
    total, by_size = times.sum(), np.sort(times)
    order = np.arange(1, len(times) + 1)
    return {
        "coverage": float((times > 0).mean()),
        "novelty": float(-(times * np.log2(share)).sum() / total),
        "gini": float(2 * (order * by_size).sum() / (len(times) * total) - (len(times) + 1) / len(times)),
    }
