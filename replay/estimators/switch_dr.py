"""SWITCH-DR: large weights are not believed at all, there the model speaks alone."""

from __future__ import annotations

from replay.contributions import Contributions, mean
from replay.estimators.dm import model_of
from replay.estimators.slope import grid, slope
from replay.logged import Logged


def switch_dr(logged: Logged, tau: float | None = None) -> Contributions:
    """1/n sum_i [ sum_a target(a | x_i) q(x_i, a) + 1[w_i <= tau] w_i (r_i - q(x_i, a_i)) ].

    Assumes as `dr`, and that the model is good where weights exceed tau: its bias there stays. Fails where that is
    exactly where the policies differ.

    Wang, Agarwal & Dudik 2017, "Optimal and adaptive off-policy evaluation in contextual bandits".

    Args:
        logged: the log.
        tau: largest weight that counts, > 0; None: chosen by SLOPE.
    """
    model, weight = model_of(logged), logged.weight
    if tau is not None:
        believed = weight * (weight <= tau)
        return mean(logged.user, model.expected + believed * (logged.reward - model.chosen))
    return slope(switch_dr(logged, each) for each in grid(weight))
