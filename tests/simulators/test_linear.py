"""Linear models of users, and the agents who act by them."""

import numpy as np

from simulators.agents.lin_ucb import LinUCB
from simulators.agents.linear import Prior, Weights, fit
from simulators.agents.practice import Answers, practise
from simulators.agents.quality import Quality
from simulators.agents.random import Random
from simulators.drifting_taste import DriftingTaste
from simulators.interest_exploration import InterestExploration
from simulators.run import run


def test_the_posterior_is_that_of_ridge_regression() -> None:
    """After six slates of three items the weights are (X'X / s2 + 1/c I)^-1 (X'y / s2 + m / c), in closed form."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 2, 3, 4)), rng.standard_normal((6, 2, 3))
    centre = np.array([1.0, -1.0, 0.5, 0.0])
    weights = Weights(Prior(centre, 0.5 * np.eye(4), 0.2), 2)
    for features, reward in zip(x, y, strict=True):
        weights.see(features, reward)
    for user in range(2):
        all_x, all_y = x[:, user].reshape(-1, 4), y[:, user].ravel()
        covariance = np.linalg.inv(all_x.T @ all_x / 0.2 + np.eye(4) / 0.5)
        np.testing.assert_allclose(covariance, weights.covariance[user], atol=1e-10)
        np.testing.assert_allclose(covariance @ (all_x.T @ all_y / 0.2 + centre / 0.5), weights.mean[user], atol=1e-10)


def test_the_upper_end_is_mean_and_width() -> None:
    """Of weights 1 and 2 with variances 4 and 9, the item (1, 1) may earn 3 and twice the root of 13."""
    weights = Weights(Prior(np.array([1.0, 2.0]), np.diag([4.0, 9.0]), 1.0), 1)
    np.testing.assert_allclose([[3 + 2 * 13**0.5]], weights.upper(np.ones((1, 1, 2)), 2.0))


def test_a_fitted_prior_is_the_law_that_weights_were_drawn_by() -> None:
    """From 2,000 users of 40 answers each, mean, covariance and noise come back."""
    rng = np.random.default_rng(1)
    mean, root = np.array([0.5, -1.0]), np.array([[0.8, 0.0], [0.3, 0.4]])
    own = mean + rng.standard_normal((2_000, 2)) @ root.T
    features = rng.standard_normal((500, 2))
    slate = rng.integers(500, size=(2_000, 20, 2))
    clean = (features[slate] * own[:, None, None]).sum(3)
    found = fit(features, Answers(slate, clean + 0.5 * rng.standard_normal(clean.shape), np.ones((2_000, 20), bool)))
    np.testing.assert_allclose(mean, found.mean, atol=0.06)
    np.testing.assert_allclose(root @ root.T, found.covariance, atol=0.06)
    np.testing.assert_allclose(0.25, found.noise, rtol=0.02)


def test_practice_leaves_the_world_as_it_was() -> None:
    """Users met after practice are those met without it, and practice users are others."""
    world, twin = InterestExploration(20), InterestExploration(20)
    first = run(twin, Quality(), 3)
    answers = practise(world, Quality(), 3)
    np.testing.assert_array_equal(first, run(world, Quality(), 3))
    assert (answers.earned.sum(2) != first).any()


def test_linucb_earns_what_is_known_of_it() -> None:
    """Over 400 users its rates are near .68 in interest exploration and .231 in drifting taste, far above random."""
    rates = [run(world(400), LinUCB(), 31).mean() for world in (InterestExploration, DriftingTaste)]
    np.testing.assert_allclose([0.680, 0.231], rates, atol=0.015)
    assert run(DriftingTaste(400), Random(), 31).mean() < 0.8 * rates[1]
