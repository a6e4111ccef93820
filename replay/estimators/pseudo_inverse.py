"""The pseudo-inverse estimator: a slate is worth the sum of what its places are worth, whatever they are."""

from __future__ import annotations

import numpy as np

from meta.types import FloatArray
from replay.contributions import Contributions, mean
from replay.estimators.iips import at_their_places
from replay.logged import Runs


def pseudo_inverse(runs: Runs) -> Contributions:
    """1/n sum_i R_i (1 + sum_k (w_ik - 1)), R_i the summed reward, w_ik as in `iips`.

    Assumes that the slate's expected reward is a sum of unknown terms, one a place and item, and that the logging
    policy draws places independently of each other; it needs the reward of the slate only. For logging without
    repetition see `general`. Fails by bias where items interact, and by variance on long slates.

    Swaminathan et al. 2017, "Off-policy evaluation for slate recommendation"; for independent places as in
    Vlassis, Chandrashekar, Gil & Kallus 2021, "Control variates for slate off-policy evaluation".
    """
    weight = 1 + (at_their_places(runs) - 1).sum(1)
    return mean(runs.user, weight * runs.reward.sum(1))


def general(moments: FloatArray, target: FloatArray, shown: FloatArray) -> FloatArray:
    """Weights of slates under any logging policy, target^T pinv(moments) shown: float [n].

    Args:
        moments: float [n, K C, K C], E[1 1^T] of the indicators of (place, candidate) under the logging policy.
        target: float [n, K C], E[1] under the judged policy.
        shown: float [n, K C], the indicators of what was shown.
    """
    inverse = np.linalg.pinv(moments, hermitian=True)
    weights: FloatArray = np.einsum("nd,nde,ne->n", target, inverse, shown)
    return weights
