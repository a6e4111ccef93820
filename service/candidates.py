"""From the ids of a batch of requests to catalogue rows, and back for what the catalogue does not know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from meta.assortment import Assortment
from meta.ranking import drop_repeats
from meta.types import IntArray
from protos.quickstudy.v1 import recommender_pb2 as pb


def resolve(requests: Sequence[pb.RecommendRequest], items: Assortment) -> tuple[IntArray, dict[int, list[str]]]:
    """Looks up the candidates of a batch that gives some.

    Returns:
        int32 [B, C], rows; -1 for padding and for unknown, repeated and excluded candidates.
        The unknown ids by index of the request, each once, in the caller's order; absent where all are known.
    """
    flat: list[str] = []
    count = np.empty(len(requests), np.int64)
    for i, request in enumerate(requests):
        flat.extend(request.candidate_ids)
        count[i] = len(flat)
    count[1:] -= count[:-1].copy()
    rows = _table(items.rows(flat), count)
    unknown = _unknown(flat, rows, count) if (rows < 0).any() else {}
    drop_repeats(rows)
    for i, request in enumerate(requests):
        if request.excluded_ids:
            rows[i, np.isin(rows[i], items.rows(request.excluded_ids))] = -1
    return rows, unknown


def hidden(requests: Sequence[pb.RecommendRequest], seen: Sequence[IntArray], items: Assortment) -> IntArray:
    """Rows that a ranking of the whole catalogue must not show, int [B, X], -1 where padded.

    Args:
        seen: B times int [T], rows of the users' histories, -1 where padded.
    """
    asked = [
        [items.rows(request.excluded_ids)] + ([] if request.include_seen else [rows])
        for request, rows in zip(requests, seen, strict=True)
    ]
    count = np.array([sum(map(len, rows)) for rows in asked])
    return _table(np.concatenate([rows for each in asked for rows in each]), count)


def _table(flat: IntArray, count: IntArray) -> IntArray:
    if count.min() == count.max():
        return flat.reshape(len(count), -1)
    inside = np.arange(count.max()) < count[:, None]
    rows = np.full(inside.shape, -1, np.int32)
    rows[inside] = flat
    return rows


def _unknown(flat: Sequence[str], rows: IntArray, count: IntArray) -> dict[int, list[str]]:
    start = np.cumsum(count) - count
    found = {}
    for i in np.flatnonzero(((rows < 0) & (np.arange(rows.shape[1]) < count[:, None])).any(axis=1)).tolist():
        lost = np.flatnonzero(rows[i, : count[i]] < 0) + start[i]
        found[i] = list(dict.fromkeys(flat[at] for at in lost.tolist()))
    return found
