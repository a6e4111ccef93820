"""The cold-start curve: how well users are ranked for who were never seen in training, after k = 0, 1, 2, ... events.

Protocol. A user takes part who has more than 20 events and likes an item after the 20th. The query is the same at every
k: the items liked after the 20th event. The support is the first k events in time order; the request after k events
comes at the time of the (k+1)-th. The whole catalogue is ranked without the user's first 20 items, at every k and for
every ranker, so that curves differ only by what was learnt from the support, and by the clock. NDCG@10 has binary
gains, Recall@20 is the share of the query found, MRR looks at no more than the 20 rows shown. Rankers are compared
paired over users; intervals come from a bootstrap over users, each drawn with all their appearances in several splits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meta.policy import Policy
from meta.tasks import Sequences, windows
from meta.types import BoolArray, Context, Events, FloatArray, IntArray

KS = (0, 1, 2, 3, 5, 10, 20)
FIRST = 20
"""Events of a user that may be support; what comes after is query."""
TOP = 10
"""Rows that NDCG looks at, and that exposure counts."""
SHOWN = 20
"""Rows that a ranker shows."""

Ranker = Callable[[Events, Context, IntArray], IntArray]
"""Histories [B, T], what is known of the requests and rows never to be shown [B, X] -> best rows int [B, SHOWN]."""
Scorer = Callable[[Events, Context], FloatArray]
"""Histories [B, T] and what is known of the requests -> a finite score of every item [B, N]."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Held-out users and what they liked later.

    Args:
        users: int [B], user indices in the log.
        events: their first 20 events [B, 20].
        known: of their requests after k = 0..20 events, [B, 21]; each comes at the time and in the context of the next.
        relevant: the rows that each liked later, without the first 20.
        items: N, size of the catalogue.
    """

    users: IntArray
    events: Events
    known: Context
    relevant: tuple[IntArray, ...]
    items: int

    def first(self, most: int) -> Queries:
        """Those of at most so many users."""
        return self.part(slice(most))

    def part(self, some: slice) -> Queries:
        """Those of some users."""
        events, known = self.events.map(lambda x: x[some]), self.known.map(lambda x: x[some])
        return Queries(self.users[some], events, known, self.relevant[some], self.items)

    def after(self, k: int) -> tuple[Events, Context]:
        """The first k events of everybody, and what is known of the request that follows."""
        return head(self.events, k), self.known.some([k])


@dataclass(frozen=True, slots=True)
class Curve:
    """What a ranker did for B users at each k.

    Args:
        ndcg: float64 [B, len(KS)], NDCG of the first 10 rows.
        recall: float64 [B, len(KS)], share of the query among the first 20.
        mrr: float64 [B, len(KS)], 1 / rank of the first hit among the first 20, 0 without one.
        shown: int [B, len(KS), TOP], rows.
    """

    ndcg: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    mrr: npt.NDArray[np.float64]
    shown: IntArray


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95% bootstrap interval."""

    mean: float
    low: float
    high: float


def queries(log: Sequences, users: IntArray) -> Queries:
    """Prepare the users of a group that take part."""
    chosen, relevant = [], []
    for user in users:
        start, end = log.offsets[user], log.offsets[user + 1]
        later = slice(start + FIRST, end)
        liked = np.setdiff1d(log.item[later][log.reward[later] > 0], log.item[start : start + FIRST])
        if liked.size:
            chosen.append(user)
            relevant.append(liked)
    index = np.asarray(chosen, np.int64)
    start = log.offsets[index]
    known = log.known(index, start[:, None] + np.arange(FIRST + 1))
    return Queries(index, windows(log, start, start + FIRST, FIRST), known, tuple(relevant), log.items)


def head(events: Events, k: int) -> Events:
    """The first k events of histories in which every event is a decision of its own."""
    return Events(
        events.item[:, :k],
        events.reward[:, :k],
        events.group[:, :k],
        events.mask[:, :k],
        np.minimum(events.length, k),
        events.time_ms[:, :k],
    )


def curve(ranker: Ranker, asked: Queries, ks: Sequence[int] = KS) -> Curve:
    """Rank for every user at every k."""
    shown = [ranker(*asked.after(k), asked.events.item) for k in ks]
    found = [hits(rows, asked.relevant) for rows in shown]
    sizes = np.asarray([len(wanted) for wanted in asked.relevant])
    return Curve(
        np.stack([ndcg(hit[:, :TOP], sizes) for hit in found], axis=1),
        np.stack([hit.sum(1) / sizes for hit in found], axis=1),
        np.stack([mrr(hit) for hit in found], axis=1),
        np.stack([rows[:, :TOP] for rows in shown], axis=1),
    )


def hits(shown: IntArray, relevant: Sequence[IntArray]) -> BoolArray:
    """Which of the rows [B, K] are among the relevant rows of each user: bool [B, K]."""
    size = 2 + max(int(shown.max()), *(int(wanted.max()) for wanted in relevant))  # one key a user and row
    keys = np.concatenate([user * size + 1 + wanted for user, wanted in enumerate(relevant)])
    return np.isin(np.arange(len(shown))[:, None] * size + 1 + shown, keys)


def ndcg(hit: BoolArray, sizes: IntArray) -> npt.NDArray[np.float64]:
    """NDCG with binary gains (Jarvelin & Kekalainen 2002): hits [B, K] of sizes [B] relevant rows -> [B].

    The ideal list holds min(K, number of relevant rows) hits.
    """
    discount = 1.0 / np.log2(np.arange(2, hit.shape[1] + 2))
    ideal = np.cumsum(discount)[np.minimum(sizes, hit.shape[1]) - 1]
    gained: npt.NDArray[np.float64] = hit @ discount / ideal
    return gained


def mrr(hit: BoolArray) -> npt.NDArray[np.float64]:
    """Reciprocal rank of the first hit, 0 without one: [B, K] -> [B]."""
    return np.where(hit.any(1), 1.0 / (hit.argmax(1) + 1.0), 0.0)


def by_scores(scorer: Scorer, top: int = SHOWN) -> Ranker:
    """The ranker that shows what a scorer puts first; ties in an order that has nothing to do with the catalogue's."""

    def rank(events: Events, context: Context, excluded: IntArray) -> IntArray:
        scores = np.array(scorer(events, context))
        if not np.isfinite(scores).all():
            raise ValueError(f"scores must be finite, got {int((~np.isfinite(scores)).sum())} that are not")
        user, slot = np.nonzero(excluded >= 0)
        scores[user, excluded[user, slot]] = -np.inf
        last = scores.shape[1] - top
        bar = np.partition(scores, last, axis=1)[:, last]
        shuffled = np.random.default_rng(0).permutation(scores.shape[1])
        rows = np.empty((len(scores), top), np.int64)
        for at, (mine, lowest) in enumerate(zip(scores, bar, strict=True)):
            best = np.flatnonzero(mine >= lowest)
            rows[at] = best[np.lexsort((shuffled[best], -mine[best]))[:top]]
        return rows

    return rank


def by_policy(policy: Policy) -> Ranker:
    """The ranker that a policy is in service: each user's copy adapted, the whole catalogue ranked greedily."""

    def rank(events: Events, context: Context, excluded: IntArray) -> IntArray:
        users = events.users
        ranking = policy.rank(
            policy.adapt(events, context.attributes).copy,
            events,
            None,
            slate_size=np.full(users, SHOWN),
            temperature=np.zeros(users),
            seed=np.zeros(users, np.uint64),
            excluded=excluded,
            context=context,
        )
        return ranking.row

    return rank


def interval(values: FloatArray, users: IntArray, seed: int = 0, draws: int = 4000) -> Interval:
    """Mean of [n] values with a percentile bootstrap over users (Efron 1979), all values of a user drawn together."""
    _, cluster = np.unique(users, return_inverse=True)
    size, total = np.bincount(cluster), np.bincount(cluster, values)
    times = np.random.default_rng(seed).multinomial(len(size), np.full(len(size), 1 / len(size)), draws)
    low, high = np.quantile((times @ total) / (times @ size), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def best_at(curves: Mapping[str, Curve], names: Sequence[str], k_index: int) -> str:
    """Of some rankers the one with the best mean at one k: the hardest to beat there."""
    return max(names, key=lambda name: float(curves[name].ndcg[:, k_index].mean()))
