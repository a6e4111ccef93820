"""Intervals over users and trainings, against figures worked out by hand."""

import numpy as np

from simulators.intervals import half_width, mean, paired, ratio


def test_one_training_has_the_interval_of_its_users() -> None:
    """Two users who earn 0 and 1: mean .5, half an interval 1.96 sqrt(.5 / 2)."""
    found = mean(np.array([[0.0, 1.0]]))
    assert 0.5 == found.value
    np.testing.assert_allclose([0.98, -0.48, 1.48], [found.half, found.low, found.high])


def test_users_who_are_alike_leave_the_interval_of_the_trainings() -> None:
    """Three trainings that earn 1, 2 and 3 of everybody: standard error 1 / sqrt(3), and t is 4.303."""
    values = np.repeat([[1.0], [2.0], [3.0]], 50, 1)
    np.testing.assert_allclose(4.303 / 3**0.5, half_width(values))


def test_users_and_trainings_add_their_squares() -> None:
    """Two trainings a unit apart with two users a unit apart: 1.96^2 / 4 of users and 12.706^2 / 4 of trainings."""
    values = np.array([[0.0, 1.0], [1.0, 2.0]])
    np.testing.assert_allclose(np.hypot(1.96 / 2, 12.706 / 2), half_width(values))


def test_a_lone_user_has_no_interval() -> None:
    """Nothing is known of others, and nothing is made up."""
    assert (3.0, 3.0, 3.0) == (lambda x: (x.value, x.low, x.high))(mean(np.array([[3.0]])))


def test_steps_have_intervals_of_their_own() -> None:
    """Users who agree at the first step and not at the second."""
    np.testing.assert_allclose([0.0, 0.98], half_width(np.array([[[5.0, 0.0], [5.0, 1.0]]])))


def test_a_ratio_of_pairs_that_keep_it_is_certain() -> None:
    """Everybody earns half of what they earned, however much that was: .5 without a doubt."""
    below = np.array([[1.0, 2.0, 9.0]])
    found = ratio(below / 2, below)
    assert (0.5, 0.0) == (found.value, found.half)


def test_a_ratio_by_the_delta_method() -> None:
    """1 and 3 over 2 and 2: the ratio is 1, the residuals -1 and 1, so 1.96 sqrt(2 / 2) / 2."""
    found = ratio(np.array([[1.0, 3.0]]), np.array([[2.0, 2.0]]))
    np.testing.assert_allclose([1.0, 0.98], [found.value, found.half])


def test_differences_are_by_user_and_by_training_where_both_have_some() -> None:
    """Three trainings lose their third beside two, and meet one agent without trainings each."""
    three, two = np.array([[5.0], [6.0], [7.0]]), np.array([[1.0], [2.0]])
    assert [[4.0], [4.0]] == paired(three, two).tolist()
    assert [[4.0], [5.0], [6.0]] == paired(three, two[:1]).tolist()
