"""Diagnostics and verdict: what a log can answer, and the reason where it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from replay.diagnostics import Diagnostics, calibration, diagnose, overlap
from replay.estimators import on_policy
from replay.estimators.snips import snips
from replay.intervals import Estimate
from replay.logged import Candidates, Logged
from replay.verdict import Limits, Outcome, decide, judge
from tests.replay import tiny_worlds as tiny

SOUND = Diagnostics(
    users=500,
    decisions=5_000,
    effective=2_000.0,
    effective_users=300.0,
    largest_weight=4.0,
    largest_share=0.01,
    weight_mean=1.01,
    weight_error=0.01,
    overlap=1.0,
    calibration=1.5,
    matched=None,
)


def test_effective_numbers_by_hand() -> None:
    """Weights 1, 1, 2 of two users: 16 / 6 decisions, 8 / 4 users, mean 4 / 3, half of it the last user's."""
    log = Logged(np.array([0, 0, 1]), np.zeros(3), np.array([0.5, 0.5, 0.25]), np.full(3, 0.5))
    found = diagnose(log)
    np.testing.assert_allclose([16 / 6, 2.0, 2.0, 0.5, 4 / 3], [found.effective, found.effective_users,
        found.largest_weight, found.largest_share, found.weight_mean])  # fmt: skip
    assert (2, 3, None, None) == (found.users, found.decisions, found.overlap, found.matched)


def test_the_error_of_the_mean_weight_is_clustered() -> None:
    """Users with weights (1, 1) and (2, 2): residuals -1 and 1 around 1.5, sqrt(2) / 4."""
    log = Logged(np.array([0, 0, 1, 1]), np.zeros(4), np.full(4, 0.25), np.array([0.25, 0.25, 0.5, 0.5]))
    assert np.isclose(2**0.5 / 4, diagnose(log).weight_error)


def test_overlap_is_the_share_that_logging_could_do() -> None:
    """Of .5 + .3 + .2 the last was impossible."""
    known = Candidates(np.array([0]), np.array([[0.5, 0.3, 0.2]]), np.array([[0.9, 0.1, 0.0]]))
    assert np.isclose(0.8, overlap(known))  # type: ignore[arg-type]
    assert overlap(replace(known, logging=None)) is None


def test_true_propensities_are_calibrated_and_wrong_ones_are_not() -> None:
    """5,000 decisions of the tiny world, logged as they were drawn, and as if they had been drawn uniformly."""
    log = tiny.drawn(np.random.default_rng(0), 5_000)
    assert log.candidates is not None
    true = calibration(log.candidates)
    assert true is not None
    assert true < 3.5
    lied = replace(log.candidates, logging=log.candidates.logging[:, ::-1])  # type: ignore[index]
    wrong = calibration(lied)
    assert wrong is not None
    assert wrong > 20


def test_what_was_impossible_and_happened_is_never_calibrated() -> None:
    """A candidate of propensity 0 was chosen."""
    known = Candidates(np.array([1, 0]), np.full((2, 2), 0.5), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert np.inf == calibration(known)


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [(0.1, 0.3, Outcome.BETTER), (-0.3, -0.1, Outcome.WORSE), (-0.1, 0.3, Outcome.CANNOT_TELL)],
)
def test_a_sound_log_is_judged_by_its_interval(low: float, high: float, outcome: Outcome) -> None:
    """Above 0, below 0, or around it, which is the only reason then."""
    verdict = decide(Estimate((low + high) / 2, low, high, 0.05), SOUND, Limits())
    assert outcome == verdict.outcome
    assert (outcome is Outcome.CANNOT_TELL) == (verdict.reasons == ("the interval of the difference contains 0",))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"users": 12}, "12 users, fewer than 30"),
        ({"effective": 20.0}, "20 effective decisions of 5000, fewer than 100"),
        ({"effective_users": 7.0}, "7 effective users of 500, fewer than 30"),
        ({"weight_mean": 0.7, "weight_error": 0.2}, "the mean weight is 0.7, not 1"),
        ({"weight_mean": 1.06}, "the mean weight is 1.06, not 1"),
        ({"overlap": 0.6}, "only 60% of what the policy does"),
        ({"calibration": 9.0}, "9.0 standard errors from what was chosen"),
    ],
)
def test_a_log_that_cannot_answer_says_why(fault: dict[str, float], reason: str) -> None:
    """Whatever its interval says."""
    verdict = decide(Estimate(0.2, 0.1, 0.3, 0.05), replace(SOUND, **fault), Limits())  # type: ignore[arg-type]
    assert Outcome.CANNOT_TELL == verdict.outcome
    assert len(verdict.reasons) == 1
    assert reason in verdict.reasons[0]
    assert str(verdict).startswith("CANNOT TELL: +0.2 [+0.1, +0.3]; ")


def test_from_log_to_verdict() -> None:
    """In the tiny world the target earns .205 more than the logger; 20,000 decisions of 500 users tell."""
    log = tiny.drawn(np.random.default_rng(1), 20_000, users=500)
    verdict = judge(snips(log), on_policy(log), diagnose(log), np.random.default_rng(0))
    truth = tiny.value() - tiny.value(policy=tiny.LOGGING)
    assert Outcome.BETTER == verdict.outcome, verdict
    assert verdict.difference.low < truth < verdict.difference.high


def test_a_policy_beside_itself_cannot_be_told_apart() -> None:
    """The difference is exactly 0."""
    log = tiny.drawn(np.random.default_rng(2), 20_000, users=500)
    verdict = judge(snips(log), snips(log), diagnose(log), np.random.default_rng(0))
    assert Outcome.CANNOT_TELL == verdict.outcome
    np.testing.assert_allclose([0, 0], [verdict.difference.low, verdict.difference.high], atol=1e-12)
