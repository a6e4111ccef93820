"""The tables and the claims of the cold-start benchmark, from the curves of every ranker on pooled users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.report import Claim
from meta.coldstart import KS, Curve, Interval, best_at, interval
from meta.types import IntArray

TIMELESS = "maml without time"
"""The default adapter trained without popularity by time, to say what that is worth."""
CONTROLS = ("random", TIMELESS)
"""Rows that are no peers."""
SECONDS, MEGABYTES = 180.0, 2048.0
"""What training the default may cost on one core."""
Exposures = Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]]
"""By ranker and split: by k, `meta.exposure.exposure`."""


def tables(own: Sequence[str], users: IntArray, curves: Mapping[str, Curve], shown: Exposures) -> dict[str, Any]:
    """The tables as text, and their figures as numbers: means with intervals, paired differences, exposure.

    Args:
        own: names of our rankers, the default first; all others but the controls are peers.
        users: int [B], who was judged.
        curves: by ranker, of these users.
        shown: by ranker and split, what it exposes users to.
    """
    figures = {
        metric: {
            name: [asdict(interval(getattr(each, side)[:, j], users)) for j in range(len(KS))]
            for name, each in curves.items()
        }
        for metric, side in (("ndcg_at_10", "ndcg"), ("recall_at_20", "recall"), ("mrr", "mrr"))
    }
    rivals = [name for name in curves if name not in own and name not in CONTROLS]
    against = [best_at(curves, rivals, j) for j in range(len(KS))]
    gaps = [interval(_gap(curves, own[0], name, j), users) for j, name in enumerate(against)]
    rows = [{"NDCG@10": name} | _row(figures["ndcg_at_10"][name]) for name in curves]
    rows.append({"NDCG@10": f"{own[0]} - best"} | {f"k={k}": _cell(gap, "+") for k, gap in zip(KS, gaps, strict=True)})
    rows.append({"NDCG@10": "best peer"} | {f"k={k}": name for k, name in zip(KS, against, strict=True)})
    return {
        "rows": rows,
        "ks": list(KS),
        "own": list(own),
        "beside": [_beside(name, figures, shown[name]) for name in curves],
        "difference_to_best_peer": [
            {"k": k, "peer": name, **asdict(gap)} for k, name, gap in zip(KS, against, gaps, strict=True)
        ],
        **figures,
    }


def claims(
    own: str,
    told: Mapping[str, Any],
    users: IntArray,
    curves: Mapping[str, Curve],
    training: Mapping[str, Mapping[str, float]],
) -> list[Claim]:
    """What was promised of the pooled tables.

    Args:
        own: the default adapter.
        told: from `tables`.
        users, curves: as there.
        training: by adapter, the most CPU `seconds` and `megabytes` of a split.
    """
    promised = []
    for gap in told["difference_to_best_peer"]:
        name = f"NDCG@10 at k={gap['k']}, {own} minus {gap['peer']}, the best peer there"
        if gap["k"] >= 5:
            promised.append(Claim(f"{name}: lower end of the 95% interval", gap["low"], ">", 0.0))
        if gap["k"] <= 3:
            promised.append(Claim(f"{name}: upper end of the 95% interval", gap["high"], ">=", 0.0))
    mean = curves[own].ndcg.mean(0)
    ratio = float(mean[KS.index(20)] / mean[KS.index(0)])
    promised.append(Claim(f"NDCG@10 of {own} at k=20 over its own at k=0", ratio, ">=", 1.3))
    for k in (0, 1):
        worth = interval(_gap(curves, own, TIMELESS, KS.index(k)), users)
        name = f"NDCG@10 at k={k} that popularity by time adds to {own}, 95% interval {_ends(worth)}"
        promised.append(Claim(name, worth.mean, ">=", 0.02))
    cost = training[own]
    return [
        *promised,
        Claim(f"training {own}, seconds of one core, largest of the splits", cost["seconds"], "<=", SECONDS),
        Claim(f"training and judging {own}, peak memory in MB", cost["megabytes"], "<=", MEGABYTES),
    ]


def _gap(curves: Mapping[str, Curve], one: str, other: str, j: int) -> Any:
    return curves[one].ndcg[:, j] - curves[other].ndcg[:, j]


def _beside(
    name: str, figures: Mapping[str, Any], shown: Sequence[Mapping[str, Mapping[str, float]]]
) -> dict[str, Any]:
    """One row of what stands beside NDCG, at the first and the last k."""
    row: dict[str, Any] = {"": name}
    for at in (0, -1):
        k = f"k={KS[at]}"
        row[f"Recall@20 {k}"] = round(figures["recall_at_20"][name][at]["mean"], 4)
        row[f"MRR {k}"] = round(figures["mrr"][name][at]["mean"], 4)
        for measure in ("coverage", "novelty", "gini"):
            row[f"{measure} {k}"] = round(float(np.mean([split[k][measure] for split in shown])), 4)
    return row


def _row(figures: Sequence[Mapping[str, float]]) -> dict[str, str]:
    return {f"k={k}": _cell(Interval(**figure)) for k, figure in zip(KS, figures, strict=True)}


def _cell(figure: Interval, sign: str = "") -> str:
    return f"{figure.mean:{sign}.3f} {_ends(figure, sign)}"


def _ends(figure: Interval, sign: str = "") -> str:
    return f"[{figure.low:{sign}.3f}, {figure.high:{sign}.3f}]"
