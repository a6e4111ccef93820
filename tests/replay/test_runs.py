"""Estimators of slates and sequences: expectations over all slates of tiny worlds, loops, and a tabulated chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from meta.errors import InputError
from replay.contributions import Contributions
from replay.estimators.cascade_dr import cascade_dr
from replay.estimators.fqe import fitted, fqe
from replay.estimators.iips import iips
from replay.estimators.magic import magic, simplex_minimum
from replay.estimators.per_decision_is import per_decision_is
from replay.estimators.position_based import position_based, with_examinations
from replay.estimators.pseudo_inverse import general, pseudo_inverse
from replay.estimators.rips import rips
from replay.estimators.weighted_dr import weighted_dr
from replay.logged import Predicted, Runs
from tests.replay import tiny_worlds as tiny

Estimator = Callable[[Runs], Contributions]


@pytest.mark.parametrize(
    ("estimator", "second", "chances"),
    [
        (rips, tiny.SECOND, tiny.cascade),
        (cascade_dr, tiny.SECOND, tiny.cascade),
        (per_decision_is, tiny.SECOND, tiny.cascade),
        (iips, tiny.SECOND, tiny.alone),
        (with_examinations(tiny.EXAMINED), tiny.SECOND, tiny.examined),
        (pseudo_inverse, tiny.ALIKE, tiny.alone),
    ],
    ids=["rips", "cascade_dr", "per_decision_is", "iips", "position_based", "pseudo_inverse"],
)
def test_unbiased_where_its_assumption_holds(
    estimator: Estimator, second: dict[str, np.ndarray], chances: tiny.Chances
) -> None:
    """The mean over all slates that can be logged is what the judged policy earns."""
    found = sum(likely * estimator(slate).value for likely, slate in tiny.slates(second, chances))
    assert np.isclose(tiny.slate_value(second, chances), found)


@pytest.mark.parametrize("estimator", [iips, pseudo_inverse], ids=["iips", "pseudo_inverse"])
def test_biased_where_positions_interact(estimator: Estimator) -> None:
    """In the cascade what stands above matters, which these do not see."""
    found = sum(likely * estimator(slate).value for likely, slate in tiny.slates(tiny.SECOND, tiny.cascade))
    assert abs(tiny.slate_value(tiny.SECOND, tiny.cascade) - found) > 0.01


def test_the_general_pseudo_inverse_is_the_simple_one_where_places_are_independent() -> None:
    """Moments of (place, item) indicators of two independent places with two items each, written out."""
    logging, target = np.array([0.7, 0.3, 0.65, 0.35]), np.array([0.2, 0.8, 0.4, 0.6])
    moments = np.outer(logging, logging)
    moments[:2, :2], moments[2:, 2:] = np.diag(logging[:2]), np.diag(logging[2:])
    for a, b in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        shown = np.zeros(4)
        shown[[a, 2 + b]] = 1
        simple = 1 + (target[a] / logging[a] - 1) + (target[2 + b] / logging[2 + b] - 1)
        np.testing.assert_allclose([simple], general(moments[None], target[None], shown[None]))


def test_the_general_pseudo_inverse_is_unbiased_without_repetition() -> None:
    """Three items, two places, never one twice; rewards add up over (place, item); the target is one slate."""
    worth = np.array([0.1, 0.5, 0.9, 0.3, 0.2, 0.8])
    slates = [(a, b) for a in range(3) for b in range(3) if a != b]
    likely = np.array([0.3, 0.1, 0.2, 0.15, 0.05, 0.2])
    shown = np.zeros((6, 6))
    for row, (a, b) in zip(shown, slates, strict=True):
        row[[a, 3 + b]] = 1
    moments = (likely[:, None, None] * shown[:, :, None] * shown[:, None]).sum(0)
    target = shown[3]
    weights = general(np.stack([moments] * 6), np.stack([target] * 6), shown)
    np.testing.assert_allclose(worth @ target, likely @ (weights * (shown @ worth)))


def test_missing_places_are_an_error_that_names_the_way_out() -> None:
    """A log of propensities given the positions above does not tell marginal ones."""
    one = next(iter(tiny.slates(tiny.SECOND, tiny.alone)))[1]
    with pytest.raises(InputError, match="use rips or cascade_dr"):
        iips(replace(one, places_logging=None))
    with pytest.raises(InputError, match="examinations must be 2 numbers above 0"):
        position_based(one, np.array([1.0, 0.0]))


# A chain of two states and two actions over four steps: action 1 moves on to state 1, which pays.
STEPS, DISCOUNT = 4, 0.9
MOVE = np.array([[0.1, 0.7], [0.4, 0.9]])
"""Probability of state 1 next, by state and action."""
PAY = np.array([[0.0, 0.2], [1.0, 0.5]])
LOGGING = np.array([[0.6, 0.4], [0.5, 0.5]])
TARGET = np.array([[0.2, 0.8], [0.7, 0.3]])


def chain(rng: np.random.Generator, runs: int) -> tuple[Runs, np.ndarray, np.ndarray]:
    """Runs of the chain with their states and actions [n, STEPS]."""
    state, action = np.zeros((runs, STEPS), int), np.zeros((runs, STEPS), int)
    for t in range(STEPS):
        action[:, t] = rng.random(runs) < LOGGING[state[:, t], 1]
        if t + 1 < STEPS:
            state[:, t + 1] = rng.random(runs) < MOVE[state[:, t], action[:, t]]
    reward = PAY[state, action] + 0.1 * rng.standard_normal(state.shape)
    return (
        Runs(np.arange(runs), reward, LOGGING[state, action], TARGET[state, action], DISCOUNT),
        state,
        action,
    )


def exact() -> tuple[np.ndarray, np.ndarray]:
    """Q [STEPS, state, action] and V [STEPS, state] of the target, backwards from the end."""
    q, v = np.zeros((STEPS, 2, 2)), np.zeros((STEPS + 1, 2))
    for t in reversed(range(STEPS)):
        q[t] = PAY + DISCOUNT * (MOVE * v[t + 1, 1] + (1 - MOVE) * v[t + 1, 0])
        v[t] = (TARGET * q[t]).sum(1)
    return q, v[:STEPS]


def table(state: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One feature for each step, state and action: of what was chosen, and its mean under the target."""
    steps = np.arange(STEPS)
    names = np.eye(STEPS * 4)
    row = steps * 4 + state * 2
    chosen = names[row + action]
    expected = TARGET[state, 0, None] * names[row] + TARGET[state, 1, None] * names[row + 1]
    return chosen, expected


def test_fitted_q_evaluation_finds_the_tabulated_q() -> None:
    """A table over 40,000 runs comes within .03 of Q worked out backwards, at every step."""
    runs, state, action = chain(np.random.default_rng(0), 40_000)
    modelled = fitted(runs, *table(state, action), np.ones(state.shape, bool))
    q, v = exact()
    assert modelled.predicted is not None
    np.testing.assert_allclose(q[np.arange(STEPS), state, action], modelled.predicted.chosen, atol=0.03)
    assert np.isclose(v[0, 0], fqe(modelled).value, atol=0.01)


def test_runs_that_end_early_expect_nothing_after() -> None:
    """Runs of one step: Q is the mean reward, however large the discount."""
    runs, state, action = chain(np.random.default_rng(1), 400)
    inside = np.arange(STEPS)[None].repeat(400, 0) == 0
    short = replace(
        runs,
        reward=runs.reward * inside,
        logging=np.where(inside, runs.logging, 1.0),
        target=np.where(inside, runs.target, 1.0),
    )
    modelled = fitted(short, *table(state, action), inside)
    assert modelled.predicted is not None
    assert (modelled.predicted.expected[:, 1:] == 0).all()
    assert np.isclose(TARGET[0] @ PAY[0], fqe(modelled).value, atol=0.02)


def test_the_model_of_a_run_has_not_seen_it() -> None:
    """A reward of a million moves the model of the other fold's users only."""
    runs, state, action = chain(np.random.default_rng(2), 100)
    changed = runs.reward.copy()
    changed[0, 0] = 1e6
    inside = np.ones(state.shape, bool)
    before = fitted(runs, *table(state, action), inside).predicted
    after = fitted(replace(runs, reward=changed), *table(state, action), inside).predicted
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(before.expected[::2], after.expected[::2])
    assert after.expected[1, 0] > 1_000


@pytest.mark.parametrize(
    ("estimator", "tolerance"),
    [(per_decision_is, 0.08), (cascade_dr, 0.05), (weighted_dr, 0.05), (magic, 0.05)],
    ids=["per_decision_is", "dr", "weighted_dr", "magic"],
)
def test_sequences_come_close_to_the_truth(estimator: Estimator, tolerance: float) -> None:
    """On 20,000 runs of the chain."""
    runs, state, action = chain(np.random.default_rng(3), 20_000)
    modelled = fitted(runs, *table(state, action), np.ones(state.shape, bool))
    assert abs(exact()[1][0, 0] - estimator(modelled).value) < tolerance
    assert abs(exact()[1][0, 0] - (runs.reward * runs.discounts).sum(1).mean()) > 0.1


def test_loops_over_runs_agree() -> None:
    """Per-decision IS and weighted DR, summed step by step and run by run."""
    rng = np.random.default_rng(4)
    runs, _, _ = chain(rng, 30)
    q, v = rng.random((2, 30, STEPS))
    modelled = replace(runs, predicted=Predicted(q, v))
    weight = np.ones((30, STEPS + 1))
    for i in range(30):
        for t in range(STEPS):
            weight[i, t + 1] = weight[i, t] * runs.target[i, t] / runs.logging[i, t]
    is_, wdr = 0.0, 0.0
    for t in range(STEPS):
        for i in range(30):
            is_ += DISCOUNT**t * weight[i, t + 1] * runs.reward[i, t] / 30
            now, before = weight[i, t + 1] / weight[:, t + 1].sum(), weight[i, t] / weight[:, t].sum()
            wdr += DISCOUNT**t * (now * (runs.reward[i, t] - q[i, t]) + before * v[i, t])
    assert np.isclose(is_, per_decision_is(runs).value)
    assert np.isclose(wdr, weighted_dr(modelled).value)


def test_magic_trusts_a_perfect_model() -> None:
    """With the true Q the model alone is as right as weighted DR and varies less, so it gets most of the weight."""
    runs, state, action = chain(np.random.default_rng(5), 300)
    q, v = exact()
    steps = np.arange(STEPS)
    modelled = replace(runs, predicted=Predicted(q[steps, state, action], v[steps, state]))
    truth = v[0, 0]
    assert abs(magic(modelled).value - truth) < 0.02
    misled = replace(runs, predicted=Predicted(q[steps, state, action] + 5, v[steps, state] + 5))
    assert abs(magic(misled).value - truth) < 0.5  # the model alone is 5 off


def test_the_minimum_on_the_simplex() -> None:
    """Two independent errors share by their inverse variances; one that is dominated gets nothing."""
    np.testing.assert_allclose([0.8, 0.2], simplex_minimum(np.diag([1.0, 4.0])), atol=1e-6)
    np.testing.assert_allclose([1.0, 0.0], simplex_minimum(np.array([[1.0, 2.0], [2.0, 9.0]])), atol=1e-6)
