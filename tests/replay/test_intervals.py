"""Intervals: figures worked out by hand, what clusters change, and how often the truth is inside."""

from __future__ import annotations

import numpy as np
import pytest

from meta.errors import InputError
from replay.contributions import Contributions, mean, ratio
from replay.intervals import bootstrap, empirical_bernstein, resamples


def both(user: np.ndarray, values: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Value, low and high of a mean."""
    found = bootstrap({"": mean(user, values)}, np.random.default_rng(seed))[""]
    return found.value, found.low, found.high


def test_the_error_of_a_mean_is_the_textbook_one() -> None:
    """Four users with 0, 0, 1, 1: sqrt(sum (x - .5)^2) / 4 = .25."""
    found = bootstrap({"": mean(np.arange(4), np.array([0.0, 0, 1, 1]))}, np.random.default_rng(0))[""]
    assert (0.5, 0.25) == (found.value, found.error)


def test_the_error_of_a_ratio_is_by_the_delta_method() -> None:
    """1 and 3 over 2 and 2: the ratio is 1, residuals -1 and 1, sqrt(2) / 4."""
    found = bootstrap({"": ratio(np.arange(2), np.array([1.0, 3]), np.array([2.0, 2]))}, np.random.default_rng(0))[""]
    np.testing.assert_allclose([1.0, 2**0.5 / 4], [found.value, found.error])


def test_copies_of_a_decision_teach_nothing() -> None:
    """Each decision ten times under its user's name leaves the interval as it was; as new users it shrinks."""
    values = np.random.default_rng(1).exponential(size=200)
    once = both(np.arange(200), values)
    np.testing.assert_allclose(once, both(np.repeat(np.arange(200), 10), np.repeat(values, 10)))
    alone = both(np.arange(2_000), np.repeat(values, 10))
    assert alone[2] - alone[1] < 0.4 * (once[2] - once[1])


def test_all_resamples_are_one_product() -> None:
    """A loop that draws the same users one by one gets the same resampled sums."""
    counts = resamples(7, 50, np.random.default_rng(2))
    assert (counts.sum(1) == 7).all()
    sums = np.arange(7.0)
    for row in counts:
        users = [user for user in range(7) for _ in range(int(row[user]))]
        assert sum(sums[user] for user in users) == row @ sums


def test_intervals_of_skewed_rewards_hold_the_truth() -> None:
    """Exponential rewards of 30 users of uneven size: at least 92% of 400 intervals; the mean is 1."""
    rng, held = np.random.default_rng(3), 0
    for i in range(400):
        user = np.repeat(np.arange(30), rng.integers(1, 6, 30))
        values = rng.exponential(size=30)[user] * rng.uniform(0.5, 1.5, len(user))
        _, low, high = both(user, values, i)
        held += low <= 1 <= high
    assert held >= 0.92 * 400


def test_more_users_than_are_drawn_are_drawn_in_groups() -> None:
    """30,000 users in 10,000 groups have the standard error of 30,000 users, to 3%."""
    values = np.random.default_rng(4).standard_normal(30_000)
    found = bootstrap({"": mean(np.arange(30_000), values)}, np.random.default_rng(0), rounds=50)[""]
    np.testing.assert_allclose(values.std() / 30_000**0.5, found.error, rtol=0.03)


def test_the_same_seed_gives_the_same_interval() -> None:
    """And another one another."""
    values = np.random.default_rng(5).standard_normal(50)
    assert both(np.arange(50), values, 1) == both(np.arange(50), values, 1)
    assert both(np.arange(50), values, 1) != both(np.arange(50), values, 2)


def test_users_who_agree_leave_no_doubt() -> None:
    """Everybody earns .5."""
    assert (0.5, 0.5, 0.5) == both(np.arange(10), np.full(10, 0.5))


def test_a_weight_that_one_user_holds_leaves_all_open() -> None:
    """In a third of the resamples that user is missing and there is no ratio: the interval is unbounded."""
    weight = np.zeros(10)
    weight[3] = 1.0
    found = bootstrap({"": ratio(np.arange(10), weight, weight)}, np.random.default_rng(0))[""]
    assert (1.0, -np.inf, np.inf) == (found.value, found.low, found.high)


def test_paired_differences_cancel_what_is_shared() -> None:
    """Two policies whose estimates differ by .1 everywhere: the difference is certain, though each alone is not."""
    user, values = np.arange(100), np.random.default_rng(6).standard_normal(100)
    apart = mean(user, values + 0.1).minus(mean(user, values))
    found = bootstrap({"a": apart, "b": mean(user, values)}, np.random.default_rng(0))
    np.testing.assert_allclose([0.1, 0.1], [found["a"].low, found["a"].high], atol=1e-9)
    assert found["b"].high - found["b"].low > 0.3


def test_one_user_has_no_interval() -> None:
    """An error says why."""
    with pytest.raises(InputError, match="at least 2 of them, got 1"):
        both(np.zeros(5, int), np.arange(5.0))


def test_the_bernstein_bound_by_hand() -> None:
    """Users 0 and 1, range 1: sqrt(2 V l / B) + 7 l / 3 with V = .5, B = 2, l = log 80."""
    log = np.log(80)
    found = empirical_bernstein(mean(np.arange(2), np.array([0.0, 1])), 1.0)
    half = np.sqrt(2 * 0.5 * log / 2) + 7 * log / 3
    np.testing.assert_allclose([0.5, 0.5 - half, 0.5 + half], [found.value, found.low, found.high])


def test_the_bernstein_bound_refuses_what_it_does_not_cover() -> None:
    """Ratios, and users beyond the range."""
    with pytest.raises(InputError, match="not for ratios"):
        empirical_bernstein(ratio(np.arange(2), np.ones(2), np.array([1.0, 2])), 1.0)
    with pytest.raises(InputError, match="differ by at most 1, got 5"):
        empirical_bernstein(mean(np.arange(2), np.array([0.0, 5])), 1.0)


def test_sums_of_ratios_have_the_residuals_of_both() -> None:
    """The error of a sum of two means is that of the mean of the sums."""
    user, rng = np.arange(40), np.random.default_rng(7)
    a, b = rng.standard_normal((2, 40))
    split = Contributions(user, np.stack([a, b]), np.ones((2, 40)))
    found = bootstrap({"split": split, "whole": mean(user, a + b)}, np.random.default_rng(0))
    np.testing.assert_allclose([found["whole"].low, found["whole"].error], [found["split"].low, found["split"].error])
