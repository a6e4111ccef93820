"""Slates against brute force, propensities against the definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from meta.ranking import gumbel_noise, log_propensities, plackett_luce, slate_scores, slate_value


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_best_slate_is_exact(size: int) -> None:
    """Among all slates of that size none is worth more, with negative advantages and strong 'no choice' alike."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        v, advantage = rng.normal(0, 2, 7), rng.normal(0, 1, 7)
        scores = slate_scores(v[None], advantage[None], np.ones((1, 7), bool), size)[0]
        ours = np.argsort(-scores)[:size]
        values = {c: slate_value(v[list(c)], advantage[list(c)]) for c in itertools.combinations(range(7), size)}
        assert max(values.values()) == pytest.approx(values[tuple(sorted(ours.tolist()))], abs=1e-9)


@pytest.mark.parametrize(("spread", "shift"), [(0.3, 0.0), (1.0, -5.0), (3.0, 1.0)])
def test_the_best_slate_of_many_is_exact(spread: float, shift: float) -> None:
    """Among 10,000 items the shares of the best slate add up to its value, as they do of no other (Dinkelbach 1967)."""
    v, advantage = np.random.default_rng(2).normal(size=(2, 1, 10_000)) * spread + [[[0.0]], [[shift]]]
    scores = slate_scores(v, advantage, np.ones((1, 10_000), bool), 7)[0]
    best = np.argsort(-scores)[:7]
    value = slate_value(v[0, best], advantage[0, best])
    assert np.sort(np.exp(v[0]) * (advantage[0] - value))[-7:].sum() == pytest.approx(value, abs=1e-9)


def test_invalid_candidates_are_never_best() -> None:
    """An item that may not be shown scores below every other."""
    scores = slate_scores(
        np.asarray([[5.0, 0.0, 0.0]]), np.asarray([[9.0, -1.0, -2.0]]), np.asarray([[False, True, True]]), 2
    )
    assert scores[0, 0] < scores[0, 1:].min()


def test_temperature_zero_takes_the_best_with_certainty() -> None:
    """The order is that of the scores and log propensities are 0."""
    position, propensity = plackett_luce(
        np.asarray([[0.1, 0.9, 0.5]]), np.ones((1, 3), bool), np.zeros(1), np.zeros((1, 3)), 2
    )
    assert position.tolist() == [[1, 2]]
    assert propensity.tolist() == [[0.0, 0.0]]


def test_propensities_are_those_of_plackett_luce() -> None:
    """Each position's probability is its weight over the weights that were left."""
    scores = np.asarray([[0.0, 1.0, 2.0, -1.0]])
    noise = gumbel_noise(np.asarray([7], np.uint64), np.arange(4)[None])
    position, propensity = plackett_luce(scores, np.ones((1, 4), bool), np.asarray([0.5]), noise, 3)
    left, expected = np.exp(scores[0] / 0.5), []
    for p in position[0]:
        expected.append(np.log(left[p] / left.sum()))
        left[p] = 0.0
    np.testing.assert_allclose(propensity[0], expected, rtol=1e-12)


def test_propensities_survive_scores_far_apart() -> None:
    """A drawn item that outweighs the rest by e^900 leaves the others exact propensities."""
    scores = np.asarray([[900.0, 0.0, 0.0]])
    _, propensity = plackett_luce(scores, np.ones((1, 3), bool), np.ones(1), np.zeros((1, 3)), 3)
    np.testing.assert_allclose(propensity[0], [0.0, np.log(0.5), 0.0], atol=1e-12)


def test_draws_follow_their_propensities() -> None:
    """Over 20,000 seeds the share of each first item is its softmax weight within 4 standard errors."""
    n = 20_000
    scores = np.broadcast_to(np.asarray([0.0, 0.5, 1.5]), (n, 3))
    noise = gumbel_noise(np.arange(n).astype(np.uint64), np.broadcast_to(np.arange(3), (n, 3)))
    position, _ = plackett_luce(scores, np.ones((n, 3), bool), np.ones(n), noise, 1)
    share = np.bincount(position[:, 0], minlength=3) / n
    p = np.exp([0.0, 0.5, 1.5]) / np.exp([0.0, 0.5, 1.5]).sum()
    assert (np.abs(share - p) < 4 * np.sqrt(p * (1 - p) / n)).all()


def test_a_draw_does_not_depend_on_the_order_of_candidates() -> None:
    """Noise belongs to (seed, item), so shuffled candidates give the same items."""
    rng = np.random.default_rng(1)
    rows, scores, seed = np.arange(30)[None], rng.normal(size=(1, 30)), np.asarray([3], np.uint64)
    shuffle = rng.permutation(30)
    first, _ = plackett_luce(scores, np.ones((1, 30), bool), np.ones(1), gumbel_noise(seed, rows), 5)
    other, _ = plackett_luce(
        scores[:, shuffle], np.ones((1, 30), bool), np.ones(1), gumbel_noise(seed, rows[:, shuffle]), 5
    )
    assert first[0].tolist() == rows[0, shuffle][other[0]].tolist()


def test_fewer_candidates_than_positions_leave_the_rest_empty() -> None:
    """Positions past the last valid candidate hold -1 with propensity 0."""
    valid = np.asarray([[True, False, False]])
    position, propensity = plackett_luce(np.zeros((1, 3)), valid, np.ones(1), np.zeros((1, 3)), 3)
    assert position.tolist() == [[0, -1, -1]]
    assert propensity.tolist() == [[0.0, 0.0, 0.0]]


def test_propensities_of_a_slate_are_those_of_its_draw() -> None:
    """Whoever draws a slate and whoever asks for its propensity afterwards agree, also where candidates are few."""
    rng = np.random.default_rng(5)
    scores, valid = rng.normal(size=(40, 6)), rng.random((40, 6)) < 0.7
    valid[:, 0] = True
    warmth = np.where(np.arange(40) % 4, 0.6, 0.0)
    drawn, propensity = plackett_luce(scores, valid, warmth, rng.gumbel(size=(40, 6)), 4)
    found = log_propensities(scores, valid, warmth, drawn, (drawn >= 0).sum(1))
    np.testing.assert_allclose(found, propensity, atol=1e-12)


def test_a_slate_that_could_not_be_drawn_has_no_probability() -> None:
    """What is no candidate or may not be shown, and at temperature 0 whatever is not the best slate."""
    scores, valid = np.asarray([[3.0, 2.0, 1.0]] * 4), np.asarray([[True, True, False]] * 4)
    shown = np.asarray([[2, 0], [-1, 0], [1, 0], [0, 1]])
    found = log_propensities(scores, valid, np.asarray([1.0, 1.0, 0.0, 0.0]), shown, np.asarray([2, 2, 2, 2]))
    assert [-np.inf, -np.inf, -np.inf, 0.0] == found[:, 0].tolist()
    # Below what is impossible a place still has the propensity that it has among the rest.
    assert np.log(1 / (1 + np.exp(-1.0))) == pytest.approx(found[0, 1])
