"""The co-occurrence memory: items that the same users liked, as one more term of the advantage of logged data.

Item-kNN (Sarwar et al. 2001) with shrunk cosine similarity (Bell & Koren 2007), each item's nearest kept. The term
fades in with the evidence: the neighbours of one click are noise, those of twenty the best guess there is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meta.arrays import namespace, softplus
from meta.spec import Spec
from meta.types import Array, Events, FloatArray, IntArray, Params

INDEX, SIMILARITY, FADE = "neighbours.index", "neighbours.similarity", "neighbours.fade"


def init(spec: Spec) -> dict[str, npt.NDArray[Any]]:
    """An empty memory by name: int32 [N, K] rows (-1 none), float32 [N, K] similarities, float32 [3] fading."""
    return {
        INDEX: np.full((spec.items, spec.neighbours), -1, np.int32),
        SIMILARITY: np.zeros((spec.items, spec.neighbours), np.float32),
        FADE: np.asarray([1.0, 2.0, 0.0], np.float32),
    }


def nearest(
    user: IntArray, item: IntArray, items: int, keep: int, shrink: float = 20.0, block: int = 1024
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The nearest items of each item: co-occurrence / (sqrt(n_i n_j) + shrink).

    Args:
        user: int [M], users of positive events, in 0..U-1.
        item: int [M], their items, in 0..items-1; a repeat of a pair counts once.
        items: N.
        keep: K, most neighbours of an item.
        shrink: positives by which rare items are held back, 0 or more.
        block: items worked on at once, for memory.

    Returns:
        int32 [N, K] rows, -1 where an item has fewer neighbours; float32 [N, K] similarities, largest first, 0 there.
    """
    index, similarity = np.full((items, keep), -1, np.int32), np.zeros((items, keep), np.float32)
    if not len(user):
        return index, similarity
    seen, column = np.unique(item, return_inverse=True)  # work among items that anybody liked
    liked = np.zeros((int(user.max()) + 1, len(seen)), np.float32)
    liked[user, column] = 1.0
    count = liked.sum(0)
    width = min(keep, len(seen))
    for start in range(0, len(seen), block):
        rows = np.arange(start, min(start + block, len(seen)))
        together = liked[:, rows].T @ liked
        close = together / (np.sqrt(count[rows, None] * count) + shrink)
        close[np.arange(len(rows)), rows] = 0.0
        best = np.argpartition(-close, width - 1, axis=1)[:, :width]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(close, best, 1), axis=1, kind="stable"), 1)
        value = np.take_along_axis(close, best, 1)
        index[seen[rows], :width] = np.where(value > 0, seen[best], -1)
        similarity[seen[rows], :width] = value
    return index, similarity


def recall(index: FloatArray, similarity: FloatArray, rows: IntArray, weight: FloatArray) -> FloatArray:
    """Sum the weighted neighbourhoods of events: rows int [B, T], weight float [B, T] -> float32 [B, N].

    One `bincount` over users and items: no array of events by items is made. Rows of weight 0 may be anything valid.
    """
    users, items = rows.shape[0], index.shape[0]
    user, event = np.nonzero(weight)
    if not len(user):
        return np.zeros((users, items), np.float32)
    at = rows[user, event]
    near, value = index[at], similarity[at] * weight[user, event][:, None]
    flat = np.where(near < 0, users * items, near + (user * items)[:, None])
    total = np.bincount(flat.ravel(), value.ravel(), users * items + 1)
    return total[:-1].reshape(users, items).astype(np.float32)


def fade(params: Params, evidence: Array) -> Array:
    """Weight of the memory after so many positives, of any shape: 0 without any.

    gain * n / (n + half) / (1 + n)^.5, gain = softplus(f0), half = softplus(f1): a sum of neighbourhoods grows as n,
    what it tells of one item as about sqrt(n).
    """
    xp = namespace(evidence)
    gain, half = softplus(params[FADE][0]), softplus(params[FADE][1])
    return gain * evidence / (evidence + half) / xp.sqrt(1.0 + evidence)


def scores(params: Params, spec: Spec, events: Events, inside: FloatArray) -> FloatArray:
    """The memory's term of the advantage, of every item: float32 [B, N].

    Args:
        params: parameters of `init`.
        spec: their shape.
        events: histories [B, T].
        inside: float [B, T], 1 for the events that count.
    """
    weight = np.where(inside > 0, np.clip(events.reward, 0.0, None), 0.0)
    total = recall(params[INDEX], params[SIMILARITY], np.clip(events.item, 0, None), weight)
    return np.asarray(fade(params, weight.sum(-1))[:, None] * total, np.float32)
