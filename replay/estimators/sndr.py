"""Self-normalised doubly robust: the correction is a weighted mean."""

from __future__ import annotations

import numpy as np

from replay.contributions import Contributions
from replay.estimators.dm import model_of
from replay.logged import Logged


def sndr(logged: Logged) -> Contributions:
    """1/n sum_i sum_a target(a | x_i) q(x_i, a) + sum_i w_i (r_i - q(x_i, a_i)) / sum_i w_i.

    Assumes as `dr`; the correction stays within the range of the residuals, at a bias of order 1/n. Fails as `snips`.

    Thomas & Brunskill 2016, "Data-efficient off-policy policy evaluation", with a horizon of one.
    """
    model, weight = model_of(logged), logged.weight
    return Contributions(
        logged.user,
        np.stack([model.expected, weight * (logged.reward - model.chosen)]),
        np.stack([np.ones_like(weight), weight]),
    )
