"""The tables and claims of the cold-start benchmark, on curves whose means are known."""

import numpy as np
import pytest

from benchmarks.coldstart_tables import TIMELESS, claims, tables
from meta.coldstart import KS, Curve


def _flat(*levels: float) -> Curve:
    """Ten users, all of the same figures at each k; one level is that of every k."""
    figures = np.tile(np.broadcast_to(np.asarray(levels), len(KS)), (10, 1))
    return Curve(figures, figures, figures, np.zeros((10, len(KS), 10), np.int64))


CURVES = {
    "maml": _flat(0.2, 0.25, 0.25, 0.25, 0.25, 0.3, 0.4),
    "EASE": _flat(0.1, 0.1, 0.1, 0.1, 0.3, 0.3, 0.3),
    "popularity": _flat(0.2),
    "random": _flat(0.9),
    TIMELESS: _flat(0.15, 0.24, 0.2, 0.2, 0.2, 0.2, 0.2),
}
NONE = {name: [{f"k={k}": {"coverage": 0.5, "novelty": 1.0, "gini": 0.0} for k in (0, 20)}] for name in CURVES}


def test_the_best_peer_is_picked_anew_at_each_k() -> None:
    """Neither chance nor the ablation is a peer, whatever they reach; gaps are to the best peer there."""
    told = tables(["maml"], np.arange(10), CURVES, NONE)
    gaps = [(gap["k"], gap["peer"], round(gap["mean"], 6)) for gap in told["difference_to_best_peer"]]
    assert [(0, "popularity", 0.0), (1, "popularity", 0.05), (5, "EASE", -0.05), (20, "EASE", 0.1)] == [
        gaps[KS.index(k)] for k in (0, 1, 5, 20)
    ]
    assert (0.2, 0.4, 0.5) == tuple(told["beside"][0][name] for name in ("Recall@20 k=0", "MRR k=20", "coverage k=0"))


def test_claims_hold_or_do_not_by_their_figures() -> None:
    """Below the best peer at k = 5 and level at 10 fail; twice k = 0 at 20 holds; time is worth .05 and .01."""
    told = tables(["maml"], np.arange(10), CURVES, NONE)
    found = claims("maml", told, np.arange(10), CURVES, {"maml": {"seconds": 200.0, "megabytes": 900.0}})
    assert [True] * 4 + [False, False, True] == [claim.holds for claim in found[:7]]
    ratio, worth_0, worth_1, seconds, megabytes = found[7:]
    assert (2.0, 0.05, 0.01) == pytest.approx((ratio.value, worth_0.value, worth_1.value))
    assert (True, True, False, False, True) == tuple(
        claim.holds for claim in (ratio, worth_0, worth_1, seconds, megabytes)
    )
