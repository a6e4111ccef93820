"""Reward models: coefficients that are known, and folds that keep users apart."""

from __future__ import annotations

import numpy as np
import pytest

from meta.errors import InputError
from replay.reward_model import cross_fitted


def log(rng: np.random.Generator, decisions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [n, 3, 2], actions, and the logit .5 + 2 x0 - x1 of each candidate [n, 3]."""
    features = rng.standard_normal((decisions, 3, 2))
    return features, rng.integers(0, 3, decisions), 0.5 + features @ np.array([2.0, -1.0])


def test_a_linear_world_is_found_exactly() -> None:
    """Without noise and almost without a penalty every candidate is predicted, also those never logged."""
    features, action, value = log(np.random.default_rng(0), 200)
    found = cross_fitted(features, action, value[np.arange(200), action], np.arange(200), ridge=1e-9)
    np.testing.assert_allclose(value, found, atol=1e-6)


def test_a_logistic_world_is_found() -> None:
    """40,000 decisions: probabilities to .02."""
    rng = np.random.default_rng(1)
    features, action, value = log(rng, 40_000)
    chance = 1 / (1 + np.exp(-value))
    reward = (rng.random(40_000) < chance[np.arange(40_000), action]).astype(float)
    found = cross_fitted(features, action, reward, np.arange(40_000), kind="logistic")
    assert np.abs(chance - found).max() < 0.03


def test_the_logistic_fit_is_where_the_slope_is_zero() -> None:
    """A constant feature of 0: the probability is the mean reward of the other fold."""
    reward = np.array([1.0, 0, 0, 1, 1, 0, 1, 1])
    found = cross_fitted(np.zeros((8, 1, 1)), np.zeros(8, int), reward, np.arange(8), kind="logistic")
    np.testing.assert_allclose([reward[1::2].mean(), reward[::2].mean()], found[:2, 0], atol=1e-6)


def test_nobody_is_predicted_by_what_they_did() -> None:
    """A reward of a million moves other users' predictions only."""
    features, action, value = log(np.random.default_rng(2), 60)
    user = np.repeat(np.arange(20), 3)
    reward = value[np.arange(60), action]
    changed = reward.copy()
    changed[0] = 1e6
    before, after = (cross_fitted(features, action, each, user) for each in (reward, changed))
    np.testing.assert_array_equal(before[user == 0], after[user == 0])
    assert np.abs(before - after)[user == 1].max() > 100


def test_what_cannot_be_fitted_is_named() -> None:
    """Rewards beyond 0..1, and one user for two folds."""
    features, action, value = log(np.random.default_rng(3), 10)
    with pytest.raises(InputError, match=r"rewards in 0\.\.1"):
        cross_fitted(features, action, value[:, 0] + 5, np.arange(10), kind="logistic")
    with pytest.raises(InputError, match="needs as many users, got 1"):
        cross_fitted(features, action, value[:, 0], np.zeros(10, int))
