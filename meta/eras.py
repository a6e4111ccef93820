"""Popularity that follows time: what others liked before the time of a request, as a term of the advantage.

A log of years mixes tastes of many eras, and items that did not exist yet. Likes are counted with exponential decay, at
several half-lives at once, and only those from strictly before the request, so nothing is known that was not known
then. A count becomes a level, log(1 + N share): an item's share of all counts against an even share of 1 / N. Shares do
not depend on traffic, so decayed counts of live traffic can take the place of the log's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meta.arrays import namespace
from meta.spec import Spec
from meta.types import Array, FloatArray, IntArray, Params

LEVEL, EVER, START, RATE, GAIN = "eras.level", "eras.ever", "eras.start", "eras.rate", "eras.gain"
COUNT = "eras.count"
HALF_LIVES = (0.05, np.inf)
"""As shares of the time that a log spans: about a year of twenty-two, and no decay at all."""
KEPT = 100.0
"""Likes that the shares of a log are worth at least, however long ago it ended."""


def init(spec: Spec) -> dict[str, npt.NDArray[Any]]:
    """Nothing counted yet.

    Returns:
        float32 [Z, H, N] levels by era and [N] ever, int64 [Z] starts of the eras in ms, float64 [H] rates of decay in
        halvings a ms and [H] likes counted when the last era begins, float32 [H + 1] gains of the levels.
    """
    halves = len(HALF_LIVES)
    return {
        LEVEL: np.zeros((spec.eras, halves, spec.items), np.float32),
        EVER: np.zeros(spec.items, np.float32),
        START: np.zeros(spec.eras, np.int64),
        RATE: np.zeros(halves),
        COUNT: np.zeros(halves),
        GAIN: np.asarray([0.6, -0.3, -0.2], np.float32),
    }


def fit(item: IntArray, time_ms: IntArray, items: int, eras: int) -> dict[str, npt.NDArray[Any]]:
    """Counts likes by era; as many likes happen in each.

    Args:
        item: int [M], liked items, in 0..items-1; M above 0.
        time_ms: int [M], when.
        items: N.
        eras: Z, 2 or more; the last begins when the last like is past.

    Returns:
        `LEVEL` of the likes from before each era, `EVER` of all, `START`, `RATE` and `COUNT`.
    """
    order = np.argsort(time_ms, kind="stable")
    item, time = item[order], time_ms[order]
    start = np.append(time[len(time) * np.arange(eras - 1) // (eras - 1)], time[-1] + 1)
    until = np.searchsorted(time, start)  # strictly before
    rate = 1.0 / (np.asarray(HALF_LIVES) * max(float(time[-1] - time[0]), 1.0))
    counts, levels = np.zeros((len(rate), items)), np.zeros((eras, len(rate), items), np.float32)
    for z in range(1, eras):
        new = slice(until[z - 1], until[z])
        age = (start[z] - time[new]).astype(np.float64)
        fresh = [np.bincount(item[new], 0.5 ** (faster * age), items) for faster in rate]
        counts = counts * 0.5 ** (rate * float(start[z] - start[z - 1]))[:, None] + fresh
        levels[z] = level(counts)
    ever = level(np.bincount(item, minlength=items).astype(np.float64))
    return {LEVEL: levels, EVER: ever, START: start.astype(np.int64), RATE: rate, COUNT: counts.sum(1)}


def level(counts: FloatArray) -> npt.NDArray[np.float32]:
    """log(1 + N share) of decayed counts [..., N]; 0 where nothing was counted at all."""
    total = counts.sum(-1, keepdims=True)
    share: FloatArray = counts / np.where(total > 0, total, 1.0)
    out: npt.NDArray[np.float32] = np.log1p(counts.shape[-1] * share).astype(np.float32)
    return out


def place(params: Params, now_ms: IntArray) -> IntArray:
    """The era of times in ms since 1970, of any shape; a time before the log, or none (0), belongs to the first."""
    start = np.asarray(params[START])
    return np.maximum(np.searchsorted(start, now_ms, side="right") - 1, 0)


def term(params: Params, levels: Array, ever: Array, known: Array) -> Array:
    """Gains times levels, where anything is known: [..., H, C], [..., C], [...] of 0 and 1 -> [..., C]."""
    gain = params[GAIN]
    xp = namespace(levels)
    return (gain[:-1] @ levels + gain[-1] * ever) * xp.astype(known, levels.dtype)[..., None]


def scores(params: Params, now_ms: IntArray, candidates: IntArray | None) -> FloatArray:
    """The term when serving.

    Args:
        params: parameters of `init`.
        now_ms: int [B], time of each request in ms, 0 where unknown.
        candidates: int [B, C], rows that it is wanted for; None: of every item.

    Returns:
        float32 [B, C], or [B, N].
    """
    era = place(params, now_ms)
    if candidates is None:  # requests of one moment share an era
        eras, of = np.unique(era, return_inverse=True)
        return np.asarray(term(params, params[LEVEL][eras], params[EVER], eras > 0))[of]
    halves = np.arange(len(params[RATE]))[:, None]
    levels = params[LEVEL][era[:, None, None], halves, candidates[:, None]]
    return np.asarray(term(params, levels, params[EVER][candidates], era > 0))


def half_lives(params: Params) -> tuple[float, ...]:
    """Milliseconds after which a like counts half, of each of the H counts; infinite: it never fades."""
    return tuple(1.0 / rate if rate > 0 else np.inf for rate in params[RATE].tolist())


def live(params: Params, counts: FloatArray, now_ms: int) -> npt.NDArray[np.float32]:
    """The term of requests of now, float32 [N]: the log's likes, faded since its end, and those counted live since.

    However long ago the log ended, its shares weigh as much as `KEPT` likes: the first live likes are no revolution.

    Args:
        params: parameters of `init`.
        counts: float [H, N], live likes, faded to now by the half-lives of `half_lives`.
        now_ms: ms since 1970.
    """
    since = max(now_ms - int(params[START][-1]), 0)
    logged = params[COUNT]
    left = np.maximum(logged * 0.5 ** (params[RATE] * since), np.minimum(logged, KEPT))
    share = np.expm1(params[LEVEL][-1].astype(np.float64)) / counts.shape[-1]
    levels = level(share * left[:, None] + counts)
    return np.asarray(term(params, levels, params[EVER], np.ones(())), np.float32)
