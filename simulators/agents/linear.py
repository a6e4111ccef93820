"""Bayesian linear regression of rewards on item features: a posterior a user, and the prior that users share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.catalogue import Catalogue
from meta.types import FloatArray
from simulators.agents.practice import Answers

ROUNDS = 50
"""Of expectation maximisation; the prior no longer moves to speak of."""
START = 0.1
"""Variance of weights and of noise that the first round supposes."""

JITTER = 1e-9
"""Added to variances before a root is taken of them, against rounding."""


@dataclass(frozen=True, slots=True)
class Prior:
    """Weights of a user are normal around what the population has.

    Args:
        mean: float [F].
        covariance: float [F, F].
        noise: variance of a reward about its linear prediction.
    """

    mean: FloatArray
    covariance: FloatArray
    noise: float


class Weights:
    """Each user's posterior of the weights of the features.

    Args:
        prior: of all users.
        users: B.
    """

    def __init__(self, prior: Prior, users: int) -> None:
        self._noise = prior.noise
        self.mean: FloatArray = np.tile(prior.mean, (users, 1))
        """Float [B, F]."""
        self.covariance: FloatArray = np.tile(prior.covariance, (users, 1, 1))
        """Float [B, F, F]."""

    def see(self, features: FloatArray, reward: FloatArray) -> None:
        """Learn the rewards [B, K] of items of these features [B, K, F], exactly (a Kalman update of all K at once)."""
        moved = self.covariance @ features.swapaxes(1, 2)
        spread = features @ moved + self._noise * np.eye(features.shape[1])
        gain = np.linalg.solve(spread, moved.swapaxes(1, 2)).swapaxes(1, 2)
        surprise = reward - (features @ self.mean[..., None])[..., 0]
        self.mean = self.mean + (gain @ surprise[..., None])[..., 0]
        self.covariance = self.covariance - gain @ moved.swapaxes(1, 2)

    def upper(self, features: FloatArray, width: float) -> FloatArray:
        """Predicted rewards [B, n] of items of these features [B, n, F], and so many standard deviations more."""
        variance = ((features @ self.covariance) * features).sum(2)
        upper: FloatArray = (features @ self.mean[..., None])[..., 0] + width * np.sqrt(np.maximum(variance, 0.0))
        return upper

    def draw(self, scale: float, rng: np.random.Generator) -> FloatArray:
        """Weights [B, F] drawn about the mean, their spread that of the posterior times `scale`."""
        root = np.linalg.cholesky(self.covariance + JITTER * np.eye(self.mean.shape[1]))
        drawn: FloatArray = self.mean + scale * (root @ rng.standard_normal((*self.mean.shape, 1)))[..., 0]
        return drawn


def described(catalogue: Catalogue) -> FloatArray:
    """Features of every item, with a constant as the last: float [N, F + 1]."""
    features = catalogue.features.astype(np.float64)
    return np.concatenate([features, np.ones((len(features), 1))], 1)


def fit(features: FloatArray, answers: Answers) -> Prior:
    """The prior under which practice users are likeliest (expectation maximisation, Laird & Ware 1982).

    Args:
        features: float [N, F] of all items.
        answers: of practice users.
    """
    gram, moment = _sums(features, answers)
    count, square = answers.active.sum() * answers.slate.shape[2], float((answers.earned**2).sum())
    width = features.shape[1]
    prior = Prior(np.zeros(width), START * np.eye(width), START)
    for _ in range(ROUNDS):
        precision = np.linalg.inv(prior.covariance)
        covariance = np.linalg.inv(precision + gram / prior.noise)
        mean = (covariance @ (precision @ prior.mean + moment / prior.noise)[..., None])[..., 0]
        centre = mean.mean(0)
        away = mean - centre
        second = covariance + mean[:, :, None] * mean[:, None]
        noise = (square - 2.0 * (mean * moment).sum() + (second * gram).sum()) / count
        prior = Prior(centre, covariance.mean(0) + away.T @ away / len(away), float(noise))
    return prior


def _sums(features: FloatArray, answers: Answers) -> tuple[FloatArray, FloatArray]:
    """Sums over what each user was shown of x x' [B, F, F] and x y [B, F]."""
    users, steps, _ = answers.slate.shape
    gram = np.zeros((users, features.shape[1], features.shape[1]))
    moment = np.zeros(gram.shape[:2])
    for step in range(steps):
        x = features[answers.slate[:, step]] * answers.active[:, step, None, None]
        gram += x.swapaxes(1, 2) @ x
        moment += (answers.earned[:, step, None] @ x)[:, 0]
    return gram, moment
