"""The fair peers: every family tuned on validation users, raw and blended with popularity.

A raw peer shows what is popular to users who have liked nothing yet. A blend adds its scores to popularity in one of
three ways; family settings, way and weight are chosen together by the mean NDCG@10 over all k on validation users.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.peers.ease import ease
from benchmarks.peers.ials import ials
from benchmarks.peers.item_knn import item_knn
from benchmarks.peers.likes import Matrix
from benchmarks.peers.popularity import chance, popularity
from meta.coldstart import Queries, Scorer, by_scores, curve
from meta.types import Context, Events, FloatArray

Fit = Callable[[Matrix], Scorer]

FAMILIES: dict[str, dict[str, Fit]] = {
    "EASE": {f"penalty {p}": partial(ease, penalty=p) for p in (200.0, 400.0, 800.0, 1600.0)},
    "iALS": {
        f"{f} factors, penalty {p}, alpha {a}": partial(ials, factors=f, penalty=p, alpha=a)
        for f in (8, 16, 32)
        for p in (10.0, 30.0)
        for a in (1.0, 5.0)
    },
    "item-kNN": {
        f"keep {k}, shrink {s}": partial(item_knn, keep=k, shrink=s) for k in (50, 100, 200) for s in (0.0, 50.0)
    },
}
WEIGHTS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0)


Join = Callable[[Scorer, FloatArray], Scorer]
"""A peer's scorer and the number of likes of each item -> the scorer that is ranked by."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tuned peer.

    Args:
        name: in tables.
        chosen: the settings, "" where there are none.
        validation: NDCG@10 on validation users, mean over k.
        build: fits it with those settings.
    """

    name: str
    chosen: str
    validation: float
    build: Fit


def tuned(likes: Matrix, validation: Queries) -> list[Peer]:
    """Tune every peer: popularity, chance, and each family raw and blended.

    Args:
        likes: of the training users.
        validation: users on whom settings are chosen.
    """
    count = np.asarray(likes.sum(0))
    simple: dict[str, Fit] = {"random": lambda likes: chance(likes.shape[1], seed=0), "popularity": popularity}
    peers = [Peer(name, "", _mean(fit(likes), validation), fit) for name, fit in simple.items()]
    for family, settings in FAMILIES.items():
        best: dict[str, Peer] = {}
        for chosen, fit in settings.items():
            scorer = _remember(fit(likes), validation)
            for way, join in JOINS.items():
                value = _mean(join(scorer, count), validation)
                name = family if way == "raw" else f"{family} + popularity"
                if name not in best or value > best[name].validation:
                    best[name] = Peer(name, f"{chosen}, {way}", value, partial(_build, fit=fit, join=join))
        peers += best.values()
    return peers


def _build(likes: Matrix, fit: Fit, join: Join) -> Scorer:
    return join(fit(likes), np.asarray(likes.sum(0)))


def standardise(scores: FloatArray) -> FloatArray:
    """Each row with mean 0 and deviation 1 (all zero where constant)."""
    spread = scores.std(1, keepdims=True)
    out: FloatArray = (scores - scores.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    return out


def _raw(scorer: Scorer, count: FloatArray) -> Scorer:
    def score(events: Events, context: Context) -> FloatArray:
        informed = np.asarray(events.mask & (events.reward > 0)).any(1, keepdims=True)
        return np.where(informed, scorer(events, context), count)

    return score


def _blend(scorer: Scorer, count: FloatArray, *, log: bool, weight: float, by_user: bool) -> Scorer:
    prior = standardise(np.log1p(count)[None] if log else count[None])

    def score(events: Events, context: Context) -> FloatArray:
        own = scorer(events, context)
        blended: FloatArray = prior + weight * (standardise(own) if by_user else own)
        return blended

    return score


JOINS: dict[str, Join] = {"raw": _raw}
"""A raw peer, and every way to blend one: with log counts or counts, standardised by user or growing with evidence."""
for _weight in WEIGHTS:
    JOINS[f"log + {_weight} z"] = partial(_blend, log=True, weight=_weight, by_user=True)
    JOINS[f"count + {_weight} z"] = partial(_blend, log=False, weight=_weight, by_user=True)
    JOINS[f"log + {10 * _weight} s"] = partial(_blend, log=True, weight=10 * _weight, by_user=False)


def _remember(scorer: Scorer, asked: Queries) -> Scorer:
    """The same scores for validation users, each support length scored once."""
    known: dict[int, FloatArray] = {}

    def score(events: Events, context: Context) -> FloatArray:
        k = int(events.length.max())
        if k not in known:
            known[k] = scorer(events, context)
        return known[k]

    return score


def _mean(scorer: Scorer, asked: Queries) -> float:
    return float(curve(by_scores(scorer), asked).ndcg.mean())
