"""Reward interaction IPS: a position's reward depends on what stands there and above."""

from __future__ import annotations

from replay.contributions import Contributions, mean
from replay.logged import Runs


def rips(runs: Runs) -> Contributions:
    """1/n sum_i sum_k w_{i,1:k} r_ik, w_{1:k} = prod_{j <= k} target_j / logging_j.

    Assumes that a reward depends on its item and those above, not on those below (a reader goes from the top), and
    true propensities given the positions above. Fails by variance on long slates: weights are products.

    McInerney et al. 2020, "Counterfactual evaluation of slate recommendations with sequential reward interactions"
    (without its normalisation; with it: `weighted_dr` and a model of 0).
    """
    return mean(runs.user, (runs.discounts * runs.weight * runs.reward).sum(1))
