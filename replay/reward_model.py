"""Reward models for the direct method and its relatives: linear or logistic, never asked about their teachers."""

from __future__ import annotations

from typing import Literal

import numpy as np

from meta.errors import InputError
from meta.types import FloatArray, IntArray

Kind = Literal["ridge", "logistic"]
FOLDS = 2
RIDGE = 1.0
"""Penalty on squared coefficients, as if each feature had been seen so often more; the intercept is free of it."""
NEWTON = 25


def cross_fitted(
    features: FloatArray,
    action: IntArray,
    reward: FloatArray,
    user: IntArray,
    *,
    kind: Kind = "ridge",
    folds: int = FOLDS,
    ridge: float = RIDGE,
) -> FloatArray:
    """Rewards of all candidates, predicted for each user by a model of the other users: float [n, C].

    A model that has seen a decision explains part of its noise, and `dr` would take that for knowledge (Chernozhukov et
    al. 2018, "Double/debiased machine learning", sec. 3, with folds of clusters).

    Args:
        features: float [n, C, F], of each decision and candidate; an intercept is added.
        action: int [n], which candidate was logged.
        reward: float [n]; within 0..1 for a logistic model.
        user: int [n].
        kind: "ridge" for a linear model, "logistic" for probabilities.
        folds: users are dealt out into so many, by number.
        ridge: penalty on squared coefficients.

    Raises:
        InputError: fewer users than folds, or rewards that a logistic model cannot have.
    """
    if kind == "logistic" and not ((reward >= 0) & (reward <= 1)).all():
        raise InputError(f"a logistic reward model needs rewards in 0..1, got {reward.min():g}..{reward.max():g}")
    fold = np.unique(user, return_inverse=True)[1] % folds
    if fold.max() + 1 < folds:
        raise InputError(f"a reward model of {folds} folds needs as many users, got {fold.max() + 1}")
    chosen = np.take_along_axis(features, action[:, None, None], 1)[:, 0]
    found = np.empty(features.shape[:2])
    for each in range(folds):
        learn, asked = fold != each, fold == each
        weights = FITS[kind](chosen[learn], reward[learn], ridge)
        found[asked] = features[asked] @ weights[1:].astype(features.dtype) + weights[0]
    if kind == "logistic":
        return _sigmoid(found)
    return found


def _design(features: FloatArray) -> FloatArray:
    return np.concatenate([np.ones((len(features), 1)), features], 1)


def _penalty(size: int, ridge: float) -> FloatArray:
    penalty = np.full(size, ridge)
    penalty[0] = 1e-9  # only so that a model without features can be solved
    return np.diag(penalty)


def _ridge(features: FloatArray, reward: FloatArray, ridge: float) -> FloatArray:
    """Argmin sum (r - x w)^2 + ridge |w|^2: [n, F] -> [1 + F]."""
    x = _design(features)
    return np.linalg.solve(x.T @ x + _penalty(x.shape[1], ridge), x.T @ reward)


def _logistic(features: FloatArray, reward: FloatArray, ridge: float) -> FloatArray:
    """The penalised likelihood by Newton's method, each step halved until it gains: [n, F] -> [1 + F]."""
    x = _design(features)
    penalty = _penalty(x.shape[1], ridge)
    weights = np.zeros(x.shape[1])
    weights[0] = np.log((reward.sum() + 0.5) / (len(reward) - reward.sum() + 0.5))
    loss = _loss(x, reward, penalty, weights)
    for _ in range(NEWTON):
        chance = _sigmoid(x @ weights)
        slope = x.T @ (chance - reward) + penalty @ weights
        step = np.linalg.solve(x.T @ (x * (chance * (1 - chance))[:, None]) + penalty, slope)
        size = 1.0
        while (after := _loss(x, reward, penalty, weights - size * step)) > loss and size > 1e-6:
            size /= 2
        if not loss - after > 1e-10 * abs(loss):
            break
        weights, loss = weights - size * step, after
    return weights


def _loss(x: FloatArray, reward: FloatArray, penalty: FloatArray, weights: FloatArray) -> float:
    logit = x @ weights
    return float((np.logaddexp(0, logit) - reward * logit).sum() + weights @ penalty @ weights / 2)


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(0.5 * np.tanh(0.5 * x) + 0.5)


FITS = {"ridge": _ridge, "logistic": _logistic}
