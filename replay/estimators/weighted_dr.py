"""Weighted doubly robust: each step's weights are normalised over the runs."""

from __future__ import annotations

import numpy as np

from replay.contributions import Contributions
from replay.estimators.cascade_dr import model_of
from replay.logged import Runs


def weighted_dr(runs: Runs) -> Contributions:
    """sum_t discount^t [ sum_i w_it (r_it - q_it) / sum_i w_it + sum_i w_{i,t-1} v_it / sum_i w_{i,t-1} ], w down to t.

    Assumes as `per_decision_is`; biased by order 1/n, consistent, and far less variable. Fails on long runs, where one
    run has all the weight. With a model of 0 it is weighted per-decision importance sampling.

    Thomas & Brunskill 2016, "Data-efficient off-policy policy evaluation for reinforcement learning".
    """
    model, scale = model_of(runs), runs.discounts[:, None]
    corrected = scale * (runs.weight * (runs.reward - model.chosen)).T
    expected = scale * (runs.before * model.expected).T
    return Contributions(
        runs.user, np.concatenate([corrected, expected]), np.concatenate([runs.weight.T, runs.before.T])
    )
