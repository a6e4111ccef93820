"""The co-occurrence memory: items that the same users liked, as one more term of the advantage of logged data.

The weights are those of EASE, the ridge regression of each item's likes on all others in closed form (Steck 2019,
eq. 8), plus a share of item-kNN's shrunk cosine, of which each item keeps its strongest. EASE separates what goes
together from what is merely popular and is the better one after 20 events, the cosine after one; together they beat
either everywhere. The term fades in with evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from meta.arrays import namespace, softplus
from meta.spec import Spec
from meta.types import Array, BoolArray, Events, FloatArray, IntArray, Params

INDEX, WEIGHT, FADE, MET = "neighbours.index", "neighbours.weight", "neighbours.fade", "neighbours.met"
SHRINK = 50.0
"""Likes by which the cosine of rare items is held back."""
LOOSE, SHARE = 20.0, 0.5
"""The same for correlations, and their share: of the size of a regression's weights."""
PASSING = 8.0
"""Events after which an event that was not liked counts half of what it did at first."""
BLOCK = 1024
"""Items whose weights are worked out at once."""
UNIT = 10.0
"""The weights are some hundredths, logits some units; the gain starts near 1 in between."""


def init(spec: Spec, met: float = 0.5) -> dict[str, npt.NDArray[Any]]:
    """An empty memory by name: int32 [N, K] rows (-1 none), float32 [N, K] weights, float32 [2] fading, `met`."""
    return {
        INDEX: np.full((spec.items, spec.neighbours), -1, np.int32),
        WEIGHT: np.zeros((spec.items, spec.neighbours), np.float32),
        FADE: np.asarray([3.0, -1.5], np.float32),
        MET: np.asarray(met, np.float32),
    }


def strengths(params: Params, reward: Array, inside: Array) -> Array:
    """How much each event counts as evidence: 1 where chosen, the share `met` where not, 0 outside the prefix.

    Meeting an item and not liking it still says where a user's interest lies, the more so the less is known: counted
    as half a like it helps after 1 to 5 events, and hurts after 20.
    """
    xp = namespace(inside)
    met = params[MET] * PASSING / (PASSING + xp.sum(inside, axis=-1)[..., None])
    return inside * xp.where(reward > 0, xp.ones_like(reward), met)


def regress(
    user: IntArray,
    item: IntArray,
    liked: BoolArray,
    items: int,
    keep: int,
    *,
    penalty: float,
    met: float,
    cosine: float = 0.0,
    most: int = 4000,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The strongest weights of the ridge regression of likes Y on evidence X, no item on itself.

    B = P X'Y - P diag(diag(P X'Y) / diag(P)), P = (X'X + penalty I)^-1; EASE where X = Y. Only the most liked items
    take part, because its cost is cubic and its weights of rare items are small; all have their share of the cosine.

    Args:
        user: int [M], users of events, in 0..U-1.
        item: int [M], their items, in 0..items-1; of a repeated pair the stronger counts.
        liked: bool [M], whether the reward was above 0.
        items: N.
        keep: K, most weights kept of an item, by size.
        penalty: above 0, in users; larger trusts rare items less.
        met: what an event counts that was not liked, 0..1.
        cosine: share of the shrunk cosine of X and Y that is added, 0 or more.
        most: items in the regression.

    Returns:
        int32 [N, K] rows, -1 where an item has fewer neighbours; float32 [N, K] weights, 0 there, largest size first.
        `weight[i, j]` is what liking i adds to the item in `rows[i, j]`.
    """
    x, y, seen = _evidence(user, item, liked, met)
    head = np.sort(np.argsort(-y.sum(0), kind="stable")[:most])
    place = np.full(len(seen), -1)
    place[head] = np.arange(len(head))
    of_head = _ridge(x[:, head].astype(np.float64), y[:, head].astype(np.float64), penalty)
    size_x, size_y = (x * x).sum(0), y.sum(0)

    def weights(rows: IntArray) -> FloatArray:
        b = np.zeros((len(rows), len(seen)))
        inside = place[rows] >= 0
        b[np.ix_(inside, head)] = of_head[place[rows[inside]]]
        if cosine:
            b += cosine * (x[:, rows].T @ y) / (np.sqrt(np.outer(size_x[rows], size_y)) + SHRINK)
        return b

    return _keep(weights, seen, items, keep)


def correlate(
    user: IntArray, item: IntArray, liked: BoolArray, items: int, keep: int, *, met: float
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The strongest shrunk correlations of likes Y with evidence X: what users of an item like more than others do.

    w = `SHARE` (X'Y - x y' / U) / (sqrt(|X|^2 |Y|^2) + `LOOSE`), x and y the column sums over U users. Where likes are
    sparse among very many items a regression has too few users for its weights; what is popular is taken out of the
    co-occurrence instead. Arguments and result as in `regress`.
    """
    x, y, seen = _evidence(user, item, liked, met)
    size_x, size_y, sum_x = (x * x).sum(0), y.sum(0), x.sum(0)

    def weights(rows: IntArray) -> FloatArray:
        together = x[:, rows].T @ y - np.outer(sum_x[rows], size_y) / len(x)
        b: FloatArray = SHARE * together / (np.sqrt(np.outer(size_x[rows], size_y)) + LOOSE)
        return b

    return _keep(weights, seen, items, keep)


def _evidence(
    user: IntArray, item: IntArray, liked: BoolArray, met: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], IntArray]:
    """Evidence X and likes Y, float32 [U, A], of the items int [A] that anybody met."""
    seen, column = np.unique(item, return_inverse=True)  # what nobody met has no neighbours
    y = np.zeros((int(user.max(initial=-1)) + 1, len(seen)), np.float32)
    x = y.copy()
    x[user, column] = met
    x[user[liked], column[liked]] = y[user[liked], column[liked]] = 1.0
    return x, y, seen


def _keep(
    weights: Callable[[IntArray], FloatArray], seen: IntArray, items: int, keep: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The strongest `keep` of each row of a matrix [A, A], of which `weights` works out some rows at once."""
    index, weight = np.full((items, keep), -1, np.int32), np.zeros((items, keep), np.float32)
    width = min(keep, len(seen) - 1)
    for start in range(0, len(seen) if width > 0 else 0, BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(seen)))
        b = weights(rows)
        b[np.arange(len(rows)), rows] = 0.0
        best, value = _strongest(b, width)
        index[seen[rows], :width] = np.where(value != 0, seen[best], -1)
        weight[seen[rows], :width] = value
    return index, weight


def _ridge(x: FloatArray, y: FloatArray, penalty: float) -> FloatArray:
    """The weights B [A, A] of `regress`. With fewer users than items P X' = X'(XX' + penalty I)^-1: a U x U system."""
    users, items = x.shape
    inverse: FloatArray
    if users < items:
        fitted = np.linalg.solve(x @ x.T + penalty * np.eye(users), x).T
        inverse = (np.eye(items) - fitted @ x) / penalty
    else:
        inverse = np.linalg.inv(x.T @ x + penalty * np.eye(items))
        fitted = inverse @ x.T
    b: FloatArray = fitted @ y
    b -= inverse * (np.diag(b) / np.diag(inverse))
    return b


def _strongest(b: FloatArray, width: int) -> tuple[IntArray, npt.NDArray[np.float32]]:
    """Columns and values of each row's largest entries by size, largest first: [R, A] -> [R, width] twice."""
    size = np.abs(b)
    best = np.argpartition(-size, width - 1, axis=1)[:, :width]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(size, best, 1), axis=1, kind="stable"), 1)
    return best, np.take_along_axis(b, best, 1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Neighbourhoods:
    """The memory without its empty places, which are most of it where many items are rare: to be read when serving.

    Args:
        item: int32 [M], neighbours of one item after the other's.
        weight: float32 [M], their weights.
        start: int [N], where those of each item begin.
        count: int [N], how many they are.
    """

    item: IntArray
    weight: FloatArray
    start: IntArray
    count: IntArray

    @classmethod
    def pack(cls, params: Params) -> Neighbourhoods:
        """Takes the neighbourhoods out of parameters of `init`."""
        real = params[INDEX] >= 0
        count = real.sum(1)
        return cls(params[INDEX][real], params[WEIGHT][real], count.cumsum() - count, count)

    @property
    def items(self) -> int:
        """N."""
        return len(self.start)

    def of(self, rows: IntArray, strength: FloatArray) -> tuple[IntArray, FloatArray, IntArray]:
        """The neighbours of rows [R], their weights times the strength [R] of the row, and where those of each end."""
        count = self.count[rows]
        end = count.cumsum()
        at = np.repeat(self.start[rows] - (end - count), count) + np.arange(count.sum())
        return self.item[at], self.weight[at] * np.repeat(strength, count), end


class Recalled(NamedTuple):
    """What the memory recalls for one user.

    Args:
        item: int [R], rows of the catalogue; one that several events recall is there as many times.
        term: float32 [R], what is added to the advantage of the item, each time all of it.
    """

    item: IntArray
    term: FloatArray


def recall(
    index: IntArray, weight: FloatArray, rows: IntArray, strength: FloatArray, columns: int
) -> npt.NDArray[np.float64]:
    """Sum the neighbourhoods of events.

    One `bincount` over users and items: no array of events by items is made.

    Args:
        index: int [N, K], columns of each row's neighbours, -1 none.
        weight: float [N, K].
        rows: int [B, T], any valid row where `strength` is 0.
        strength: float [B, T], how much each event counts.
        columns: C, items that neighbours are counted among.

    Returns:
        float64 [B, C].
    """
    users, stride = len(rows), columns + 1  # each user's first bin takes the missing neighbours
    user, event = np.nonzero(strength)
    at = rows[user, event]
    bins = index[at] + (user * stride + 1)[:, None]
    value = weight[at] * strength[user, event][:, None]
    total = np.bincount(bins.ravel(), value.ravel(), users * stride).astype(np.float64, copy=False)
    return total.reshape(users, stride)[:, 1:]


def fade(params: Params, evidence: Array) -> Array:
    """Weight of the memory after so much evidence (sum of `strengths`), of any shape: 0 without any.

    10 gain * n / (n + half) / (1 + n)^.5, gain = softplus(f0), half = softplus(f1): a sum of neighbourhoods grows as n,
    what it tells of one item as about sqrt(n).
    """
    xp = namespace(evidence)
    gain, half = softplus(params[FADE][0]), softplus(params[FADE][1])
    return UNIT * gain * evidence / (evidence + half) / xp.sqrt(1.0 + evidence)


def recalled(params: Params, near: Neighbourhoods, events: Events, inside: FloatArray) -> list[Recalled]:
    """What the memory adds to advantages for each of B users, at a price that does not depend on N.

    Args:
        params: parameters of `init`.
        near: its neighbourhoods.
        events: histories [B, T].
        inside: float [B, T], 1 for the events that count.
    """
    strength = strengths(params, events.reward, inside)
    strength = strength * fade(params, strength.sum(-1))[:, None]
    user, event = strength.nonzero()
    item, weight, end = near.of(events.item[user, event], strength[user, event])
    cuts = [0, *np.append(0, end)[np.searchsorted(user, np.arange(1, len(strength) + 1))].tolist()]
    found = []
    for part in starmap(slice, pairwise(cuts)):
        mine = item[part]
        total = np.bincount(mine, weight[part], near.items) if len(mine) else weight[part]
        found.append(Recalled(mine, total.take(mine).astype(np.float32)))
    return found


def terms(memory: Sequence[Recalled], candidates: IntArray, columns: int) -> npt.NDArray[np.float32]:
    """What is recalled of candidates: rows int [B, C] among `columns` items -> float32 [B, C]."""
    total, out = np.zeros(columns, np.float32), np.empty(candidates.shape, np.float32)
    for mine, wanted, into in zip(memory, candidates, out, strict=True):
        total[mine.item] = mine.term
        total.take(wanted, out=into, mode="clip")  # in range; other modes buffer
        total[mine.item] = 0.0
    return out
