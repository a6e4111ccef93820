"""Fitted Q evaluation: what the judged policy earns from each step on, by repeated regression."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from meta.errors import InputError
from meta.types import BoolArray, FloatArray, IntArray
from replay.contributions import Contributions, mean
from replay.estimators.cascade_dr import model_of
from replay.logged import Predicted, Runs

FOLDS = 2
ITERATIONS = 500
RIDGE = 1e-6
"""Of the mean squares of the features: enough to make the regression solvable."""


def fqe(runs: Runs) -> Contributions:
    """1/n sum_i v_i1, the model's value of the first state; the model as of `fitted`.

    Assumes that Q is linear in the features (exactly so in a table, one feature a state and action) and that the log
    covers what the judged policy does. Fails by the model's bias, which no interval shows.

    Le, Voloshin & Yue 2019, "Batch policy learning under constraints".
    """
    return mean(runs.user, model_of(runs).expected[:, 0])


def fitted(
    runs: Runs,
    chosen: FloatArray,
    expected: FloatArray,
    inside: BoolArray,
    *,
    folds: int = FOLDS,
    iterations: int = ITERATIONS,
) -> Runs:
    """The runs with a linear model Q = features . w, by w <- argmin sum (r_t + discount v_{t+1} - q_t)^2.

    The model of a run is fitted to other users' runs, so a run does not vouch for itself. Past the end v is 0.

    Args:
        runs: rewards and discount.
        chosen: float [n, K, F], features of each state and what was chosen there.
        expected: float [n, K, F], the mean of the features over what the judged policy would choose there.
        inside: bool [n, K], false past the end of a run.
        folds: users are dealt out into so many.
        iterations: regressions at most; they end when nothing changes any more.

    Raises:
        InputError: fewer users than folds.
    """
    users: IntArray = runs.user
    if len(np.unique(users)) < folds:
        raise InputError(f"a model fitted in {folds} folds needs as many users, got {len(np.unique(users))}")
    q, v = np.zeros(inside.shape), np.zeros(inside.shape)
    rank = np.unique(users, return_inverse=True)[1]
    for fold in range(folds):
        judged = rank % folds == fold
        weights = _fit(runs, chosen, expected, inside, ~judged, iterations)
        q[judged], v[judged] = chosen[judged] @ weights, expected[judged] @ weights
    return replace(runs, predicted=Predicted(q * inside, v * inside))


def _fit(
    runs: Runs, chosen: FloatArray, expected: FloatArray, inside: BoolArray, rows: BoolArray, iterations: int
) -> FloatArray:
    real = inside[rows]
    now = chosen[rows][real]
    after = np.zeros_like(chosen[rows])
    after[:, :-1] = expected[rows][:, 1:] * real[:, 1:, None]
    following, reward = after[real], runs.reward[rows][real]
    gram = now.T @ now
    gram += RIDGE * (np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram))
    once = np.linalg.solve(gram, now.T @ reward)
    again = np.linalg.solve(gram, runs.discount * (now.T @ following))
    weights = np.zeros(len(gram))
    for _ in range(iterations):
        weights, before = once + again @ weights, weights
        if np.abs(weights - before).max() <= 1e-12 * max(1.0, np.abs(weights).max()):
            break
    if not np.isfinite(weights).all():
        raise InputError("fitted Q evaluation diverged; use fewer features, a table, or a smaller discount")
    return weights
