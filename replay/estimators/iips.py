"""Independent IPS: a position's reward depends on nothing but what stands there."""

from __future__ import annotations

import numpy as np

from meta.errors import InputError
from meta.types import FloatArray
from replay.contributions import Contributions, mean
from replay.logged import Runs


def iips(runs: Runs) -> Contributions:
    """1/n sum_i sum_k w_ik r_ik, w_ik = P_target(item at k) / P_logging(item at k), whatever stands above.

    Assumes that rewards of positions do not interact. Fails by bias where they do: a slate of one kind tires, a click
    at the top ends the visit.

    Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay & Wen 2018, "Offline evaluation of ranking policies with click
    models" (item-position click model).
    """
    return mean(runs.user, (at_their_places(runs) * runs.reward).sum(1))


def places(runs: Runs) -> tuple[FloatArray, FloatArray]:
    """Probabilities [n, K, K] of the places of what was shown, logging and target, or an InputError."""
    if runs.places_logging is None or runs.places_target is None:
        raise InputError(
            "this estimator needs the probability of each place for what was shown, whatever stands above; a log of "
            "propensities given the positions above does not tell it: use rips or cascade_dr"
        )
    return runs.places_logging, runs.places_target


def at_their_places(runs: Runs) -> FloatArray:
    """Weights of each item at the place it had: float [n, K]."""
    logging, target = places(runs)
    weights: FloatArray = np.einsum("nkk->nk", target) / np.einsum("nkk->nk", logging)
    return weights
