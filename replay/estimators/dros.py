"""Doubly robust with optimistic shrinkage: large weights are believed less the larger they are."""

from __future__ import annotations

from replay.contributions import Contributions, mean
from replay.estimators.dm import model_of
from replay.estimators.slope import grid, slope
from replay.logged import Logged


def dros(logged: Logged, shrink: float | None = None) -> Contributions:
    """1/n sum_i [ sum_a target(a | x_i) q(x_i, a) + s w_i / (w_i^2 + s) (r_i - q(x_i, a_i)) ], s the shrinkage.

    Assumes as `dr`, and that the model is not far off where weights exceed sqrt(s). s = 0 is `dm`, s = infinity `dr`.
    Fails as `switch_dr`, but without its edge.

    Su, Dimakopoulou, Krishnamurthy & Dudik 2020, "Doubly robust off-policy evaluation with shrinkage".

    Args:
        logged: the log.
        shrink: s >= 0; None: chosen by SLOPE.
    """
    model, weight = model_of(logged), logged.weight
    if shrink is not None:
        # s w / (w^2 + s), written so that s may be infinite
        believed = weight / (weight**2 / shrink + 1) if shrink else 0.0 * weight
        return mean(logged.user, model.expected + believed * (logged.reward - model.chosen))
    return slope(dros(logged, each**2) for each in grid(weight))
