"""The conditional logit of simulated users, by hand."""

import math

import numpy as np

from simulators.choice import choose, first_showings, probabilities


def test_chances_are_shares_of_odds_with_no_choice_among_them() -> None:
    """Odds 2 and 3 against no choice of odds 5 give .2 and .3."""
    appeal = np.log([[2.0, 3.0]])
    expected = [[0.2, 0.3]]
    np.testing.assert_allclose(expected, probabilities(appeal, math.log(5.0), np.ones((1, 2), bool)))


def test_an_item_shown_twice_counts_once() -> None:
    """The second showing has no chance, and the first the chance it has alone."""
    shown = first_showings(np.array([[7, 7, 8]]))
    assert [[True, False, True]] == shown.tolist()
    chances = probabilities(np.log([[2.0, 2.0, 3.0]]), math.log(5.0), shown)
    np.testing.assert_allclose([[0.2, 0.0, 0.3]], chances)


def test_logits_of_any_size_keep_chances_finite() -> None:
    """A logit of 1000 takes everything, one of -1000 nothing."""
    chances = probabilities(np.array([[1000.0, 0.0], [-1000.0, -1000.0]]), 0.0, np.ones((2, 2), bool))
    assert [[1.0, 0.0], [0.0, 0.0]] == chances.tolist()


def test_choices_come_as_often_as_their_chances() -> None:
    """Of 100,000 users .2 pick the first, .3 the second and .5 nothing, within four standard errors."""
    users = 100_000
    choice = choose(np.tile([[0.2, 0.3]], (users, 1)), np.random.default_rng(0))
    rates = [(choice == position).mean() for position in (0, 1, -1)]
    np.testing.assert_allclose([0.2, 0.3, 0.5], rates, atol=4 * (0.25 / users) ** 0.5)


def test_a_position_without_chance_is_never_picked() -> None:
    """A chance of 0 in front of, between and behind others draws nothing."""
    choice = choose(np.tile([[0.0, 0.5, 0.0, 0.5, 0.0]], (10_000, 1)), np.random.default_rng(0))
    assert {1, 3} == set(choice.tolist())
