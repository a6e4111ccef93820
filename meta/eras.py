"""Popularity that follows time: what others liked shortly before a user's latest event, as a term of the advantage.

A log of years mixes tastes of many eras, and items that did not exist yet. The time of a user's own latest event tells
which era applies; only likes from before that era count, so nothing is known that was not known then. Without an event
the term is 0. A time after the log belongs to its last era, which is what serving sees.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meta.arrays import namespace
from meta.spec import Spec
from meta.types import Array, FloatArray, IntArray, Params

LEVEL, TOTAL, CLOCK, GAIN = "eras.level", "eras.total", "eras.clock", "eras.gain"
DAY_MS = 86_400_000
HALF_LIFE = 4.0
"""Eras after which a like counts half."""


def init(spec: Spec) -> dict[str, npt.NDArray[Any]]:
    """No eras told apart: float32 [Z, N] levels, float32 [N] totals, float64 [2] start and length in ms, gains [2]."""
    return {
        LEVEL: np.zeros((spec.eras, spec.items), np.float32),
        TOTAL: np.zeros(spec.items, np.float32),
        CLOCK: np.asarray([0.0, DAY_MS], np.float64),
        GAIN: np.asarray([1.0, 0.4], np.float32),
    }


def fit(item: IntArray, time_ms: IntArray, items: int, eras: int) -> dict[str, npt.NDArray[Any]]:
    """Counts likes by era.

    Args:
        item: int [M], liked items, in 0..items-1; M above 0.
        time_ms: int [M], when.
        items: N.
        eras: Z, 2 or more; none is shorter than a day.

    Returns:
        `LEVEL`: log(1 + decayed likes from before each era), `TOTAL`: log(1 + likes), and `CLOCK`.
    """
    start = int(time_ms.min())
    length = max((int(time_ms.max()) - start) / (eras - 1), DAY_MS)
    era = np.minimum(((time_ms - start) / length).astype(np.int64), eras - 1)
    counts = np.bincount(era * items + item, minlength=eras * items).reshape(eras, items).astype(np.float64)
    level = np.zeros((eras, items))
    for z in range(1, eras):
        level[z] = 0.5 ** (1.0 / HALF_LIFE) * (level[z - 1] + counts[z - 1])
    return {
        LEVEL: np.log1p(level).astype(np.float32),
        TOTAL: np.log1p(counts.sum(0)).astype(np.float32),
        CLOCK: np.asarray([start, length], np.float64),
    }


def place(params: Params, latest: Array) -> Array:
    """The era of times in ms since 1970, of any shape."""
    xp = namespace(latest)
    clock = params[CLOCK]
    era = xp.floor((latest - clock[0]) / clock[1])
    return xp.astype(xp.clip(era, 0, params[LEVEL].shape[0] - 1), xp.int64)


def term(params: Params, level: Array, total: Array, latest: Array) -> Array:
    """gain0 level - gain1 total where there is an event: level [..., C], total [..., C], latest [...] -> [..., C]."""
    xp = namespace(level)
    known = xp.astype(latest > 0, level.dtype)[..., None]
    return known * (params[GAIN][0] * level - params[GAIN][1] * total)


def scores(params: Params, latest: IntArray, candidates: IntArray | None) -> FloatArray:
    """The term when serving.

    Args:
        params: parameters of `init`.
        latest: int [B], time of each user's newest event in ms, 0 without one.
        candidates: int [B, C], rows that it is wanted for; None: of every item.

    Returns:
        float32 [B, C], or [B, N].
    """
    era = place(params, latest)
    if candidates is None:
        return np.asarray(term(params, params[LEVEL][era], params[TOTAL], latest))
    return np.asarray(term(params, params[LEVEL][era[:, None], candidates], params[TOTAL][candidates], latest))
