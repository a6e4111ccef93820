"""Doubly robust: the model, corrected by weighted residuals where something is known."""

from __future__ import annotations

from replay.contributions import Contributions, mean
from replay.estimators.dm import model_of
from replay.logged import Logged


def dr(logged: Logged) -> Contributions:
    """1/n sum_i [ sum_a target(a | x_i) q(x_i, a) + w_i (r_i - q(x_i, a_i)) ].

    Assumes that propensities or the model are right, not both; the model should not have seen the decision it is asked
    about. Fails as `ips` where large weights meet a poor model.

    Dudik, Langford & Li 2011, "Doubly robust policy evaluation and learning".
    """
    model = model_of(logged)
    return mean(logged.user, model.expected + logged.weight * (logged.reward - model.chosen))
