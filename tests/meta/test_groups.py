"""Popularity by attribute against counts worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from meta import groups
from meta.spec import Spec

S = groups.SHRINK
PEOPLE = np.float32([[1, 0, 0.5], [1, 0, 2.0], [0, 1, -0.5], [0, 0, -3.0]])
"""Two of plan a, one of plan b, one of no known plan; ages around the mean."""


def test_groups_are_the_sides_of_features() -> None:
    """A feature that is never below 0 makes one group; the largest come first, those of too few users not at all."""
    many = np.repeat(PEOPLE, 4, axis=0)
    assert [1, 3, -3] == groups.sides(many, 9).tolist()
    assert [1, 3] == groups.sides(many, 2).tolist()
    assert [] == groups.sides(PEOPLE, 9).tolist()


def test_membership_ends_at_one_deviation() -> None:
    """Half a deviation is half a member, more than one is no more than a member."""
    expected = [[1, 0.5, 0], [1, 1, 0], [0, 0, 0.5], [0, 0, 1]]
    assert expected == groups.members(np.array([1, 3, -3]), PEOPLE).tolist()


def test_a_ratio_is_likes_over_expected_likes() -> None:
    """Plan a likes item 0 three times of four, everybody four times of eight: log((3 + s) / (2 + s))."""
    user, item = np.array([0, 0, 1, 1, 2, 2, 2, 3]), np.array([0, 0, 0, 1, 1, 1, 1, 0])
    ratio = groups.fit(np.array([1, 2]), PEOPLE, user, item, 3)
    by_hand = [[(3 + S) / (2 + S), (0 + S) / (1.5 + S)], [(1 + S) / (2 + S), (3 + S) / (1.5 + S)], [1, 1]]
    np.testing.assert_allclose(np.exp(ratio), by_hand, rtol=1e-6)


def params(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Three groups with drawn ratios, a gain of 2 that is halved after four events."""
    drawn = rng.standard_normal((6, 3)).astype(np.float32)
    return {groups.OF: np.array([1, 3, -3]), groups.RATIO: drawn, groups.GAIN: np.float32([2.0, np.log(4)])}


def test_the_term_sums_a_users_groups_and_fades() -> None:
    """Nothing known is 0; after four events the term is half of what it was."""
    known = np.concatenate([PEOPLE[:2], np.zeros((1, 3), np.float32)])
    told = params(np.random.default_rng(0))
    ratio = told[groups.RATIO]
    cold = groups.scores(told, known, np.zeros(3), None)
    warm = groups.scores(told, known, np.full(3, 4.0), None)
    by_hand = [2 * (ratio[:, 0] + 0.5 * ratio[:, 1]), 2 * (ratio[:, 0] + ratio[:, 1]), 0 * ratio[:, 0]]
    np.testing.assert_allclose(cold, by_hand, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(warm, 0.5 * cold, rtol=1e-5)


def test_candidates_get_what_the_catalogue_gets() -> None:
    """Asking for some rows gives the same numbers."""
    told, rows = params(np.random.default_rng(1)), np.array([[5, 0], [2, 2], [1, 4], [3, 3]])
    whole = groups.scores(told, PEOPLE, np.arange(4.0), None)
    some = groups.scores(told, PEOPLE, np.arange(4.0), rows)
    np.testing.assert_allclose(np.take_along_axis(whole, rows, 1), some, rtol=1e-6, atol=1e-7)


def test_numpy_equals_torch() -> None:
    """The fade, which training learns, agrees on both backends."""
    torch = pytest.importorskip("torch", reason="needs the extra `train`")
    told = params(np.random.default_rng(2))
    theirs = groups.fade({groups.GAIN: torch.from_numpy(told[groups.GAIN])}, torch.arange(5.0))
    np.testing.assert_allclose(groups.fade(told, np.arange(5.0)), theirs.numpy(), rtol=1e-6)


def test_fresh_parameters_say_nothing() -> None:
    """Before anything is counted the term is 0 for everybody."""
    fresh = groups.init(Spec(items=4, features=0, attributes=3, groups=2))
    assert not groups.scores(fresh, PEOPLE, np.zeros(4), None).any()
