"""MAGIC: weighted DR for the first steps of a run and the model for the rest, blended over where to change over."""

from __future__ import annotations

import numpy as np

from meta.types import FloatArray
from replay.contributions import Contributions
from replay.estimators.cascade_dr import model_of
from replay.logged import Runs

NORMAL = 1.96
ITERATIONS = 2_000


def magic(runs: Runs) -> Contributions:
    """sum_j x_j g_j, g_j: weighted DR up to step j and the model from there on; x on the simplex minimises the error.

    g_0 is the model alone, g_K `weighted_dr`. The error is x^T (covariance + bias bias^T) x, the bias of g_j its
    distance from the interval of g_K. Assumes that either weights or the model are good at each length. Fails where
    both are bad: the bias it subtracts from is itself estimated by `weighted_dr`.

    Thomas & Brunskill 2016, "Data-efficient off-policy policy evaluation for reinforcement learning"; the
    interval here is normal and clustered by user instead of a percentile bootstrap.
    """
    parts = _parts(runs)
    users = np.stack([_influence(each) for each in parts], 1)
    values = np.array([each.value for each in parts])
    half = NORMAL * float(np.sqrt((users[:, -1] ** 2).sum()))
    bias = values - np.clip(values, values[-1] - half, values[-1] + half)
    blend = simplex_minimum(users.T @ users + np.outer(bias, bias))
    return Contributions(
        runs.user,
        np.concatenate([x * each.above for x, each in zip(blend, parts, strict=True)]),
        np.concatenate([each.below for each in parts]),
    )


def _parts(runs: Runs) -> list[Contributions]:
    """g_0, ..., g_K."""
    model, scale, weight, before = model_of(runs), runs.discounts[:, None], runs.weight.T, runs.before.T
    corrected = scale * weight * (runs.reward - model.chosen).T
    expected = scale * before * model.expected.T
    found = []
    for steps in range(len(weight) + 1):
        # g_j adds corrections of the first j steps to the expectations of the first j + 1
        known = min(steps + 1, len(weight))
        found.append(
            Contributions(
                runs.user,
                np.concatenate([corrected[:steps], expected[:known]]),
                np.concatenate([weight[:steps], before[:known]]),
            )
        )
    return found


def _influence(found: Contributions) -> FloatArray:
    """What each user adds to the error of an estimate, to first order: [B]."""
    sums = found.by_user()
    half = sums.shape[1] // 2
    below = sums[:, half:].sum(0)
    each = sums[:, :half].sum(0) / below
    return np.asarray(sums @ np.concatenate([1 / below, -each / below]))


def simplex_minimum(matrix: FloatArray) -> FloatArray:
    """The x >= 0 with sum 1 that minimises x^T M x, by pairwise Frank-Wolfe (Lacoste-Julien & Jaggi 2015).

    Args:
        matrix: float [J, J], positive semi-definite.
    """
    x = np.full(len(matrix), 1 / len(matrix))
    for _ in range(ITERATIONS):
        slope = matrix @ x
        toward, away = int(slope.argmin()), int(np.where(x > 0, slope, -np.inf).argmax())
        direction = -1.0 * (np.arange(len(x)) == away)
        direction[toward] += 1.0
        gain, curve = -slope @ direction, direction @ matrix @ direction
        if gain <= 1e-12 * max(np.trace(matrix), 1e-300):
            break
        step = min(x[away], gain / curve if curve > 0 else np.inf)
        x = x + step * direction
        x[away] = max(x[away], 0.0)
    return x
