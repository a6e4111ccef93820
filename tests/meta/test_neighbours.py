"""The co-occurrence memory: weights by hand, and the sum over a history."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from meta.neighbours import (
    FADE,
    INDEX,
    LOOSE,
    SHRINK,
    WEIGHT,
    Neighbourhoods,
    correlate,
    fade,
    init,
    recall,
    recalled,
    regress,
    strengths,
    terms,
)
from meta.spec import Spec
from meta.types import Events


def test_regression_by_hand() -> None:
    """Users like {0, 1} and {0}: [[3, 1], [1, 2]]^-1 = [[2, -1], [-1, 3]] / 5, so B = [[0, 1/3], [1/2, 0]]."""
    user, item, liked = np.array([0, 0, 1]), np.array([0, 1, 0]), np.ones(3, bool)
    index, weight = regress(user, item, liked, 3, keep=2, penalty=1.0, met=0.5)
    assert [[1, -1], [0, -1], [-1, -1]] == index.tolist()
    assert [1 / 3, 1 / 2, 0.0] == pytest.approx(weight[:, 0].tolist())


@pytest.mark.parametrize("silent", [0, 40])
def test_regression_solves_each_item_alone(silent: int) -> None:
    """Column j of B is the ridge regression of who liked j on all other items, from users' or from items' side."""
    rng = np.random.default_rng(0)
    x = rng.choice([0.0, 0.5, 1.0], (20, 30), p=[0.6, 0.2, 0.2])
    user, item = np.nonzero(x)
    user, item, liked = np.append(user, 20 + silent), np.append(item, 0), np.append(x[user, item] == 1, [False])
    index, weight = regress(user, item, liked, 30, keep=29, penalty=2.0, met=0.5)
    x = np.vstack([x, np.zeros(30)])
    x[20, 0] = 0.5
    dense = np.zeros((30, 30))
    np.put_along_axis(dense, index, weight, 1)
    others = np.delete(np.arange(30), 4)
    left = x[:, others]
    expected = np.linalg.solve(left.T @ left + 2 * np.eye(29), left.T @ (x[:, 4] == 1))
    assert np.allclose(expected, dense[others, 4], atol=1e-6)


def test_rare_items_have_a_cosine_and_no_regression() -> None:
    """Of three items the two most liked are regressed on each other; the third keeps its share of the cosine alone."""
    user, item = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 0, 1])
    arguments = {"items": 3, "keep": 2, "penalty": 1.0, "met": 0.5, "cosine": 0.2}
    index, weight = regress(user, item, np.ones(5, bool), most=2, **arguments)  # type: ignore[arg-type]  # mixed values
    both, one = 0.2 * 2 / (2 + SHRINK), 0.2 * 1 / (2**0.5 + SHRINK)
    assert [[1, 2], [0, 2]] == index[:2].tolist()
    np.testing.assert_allclose(weight, [[2 / 3 + both, one], [2 / 3 + both, one], [one, one]], rtol=1e-5)


def test_correlation_by_hand() -> None:
    """Of four users two like 0 and 1, one 0 and 2, one 2: together 2, 1, 0 against 3 * 2 / 4, 3 * 2 / 4, 2 * 2 / 4."""
    user, item = np.array([0, 0, 1, 1, 2, 2, 3]), np.array([0, 1, 0, 1, 0, 2, 2])
    index, weight = correlate(user, item, np.ones(7, bool), 3, keep=2, met=0.5)
    dense = np.zeros((3, 3))
    np.put_along_axis(dense, index, weight, 1)
    zero_one, zero_two = 0.5 * 0.5 / (6**0.5 + LOOSE), 0.5 * -0.5 / (6**0.5 + LOOSE)
    one_two = 0.5 * -1.0 / (2 + LOOSE)
    expected = [[0, zero_one, zero_two], [zero_one, 0, one_two], [zero_two, one_two, 0]]
    np.testing.assert_allclose(dense, expected, rtol=1e-5)


@pytest.mark.parametrize("of", [partial(regress, penalty=1.0), correlate])
def test_no_events_no_neighbours(of: Callable[..., tuple[Any, Any]]) -> None:
    """An empty log is an empty memory."""
    nothing = np.zeros(0, int)
    index, weight = of(nothing, nothing, nothing > 0, 3, keep=2, met=0.5)
    assert (-6, 0.0) == (index.sum(), weight.sum())


def test_recall_sums_weighted_neighbourhoods() -> None:
    """Two events that share a neighbour add up; padding and weight 0 add nothing; users do not mix."""
    index = np.array([[1, 2], [2, -1], [-1, -1]])
    near = np.array([[0.5, 0.25], [1.0, 0.0], [0.0, 0.0]], np.float32)
    rows, weight = np.array([[0, 1, 2], [0, 0, 0]]), np.array([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    assert [[0.0, 0.5, 2.25], [0.0, 0.0, 0.0]] == recall(index, near, rows, weight, 3).tolist()


def test_the_memory_is_silent_without_evidence() -> None:
    """Nothing inside the prefix, no term; one like gives 10 gain / (1 + half) / sqrt(2) of its neighbourhood."""
    spec = Spec(items=3, features=0, neighbours=1)
    params = init(spec, met=0.5) | {INDEX: np.array([[1], [0], [-1]]), WEIGHT: np.full((3, 1), 0.5, np.float32)}
    params[FADE] = np.log(np.expm1(np.array([3.0, 2.0]))).astype(np.float32)
    events = Events(
        np.array([[0, 1], [0, -1]]), np.array([[1.0, 1.0], [0.0, 0.0]]), None, np.array([[1, 1], [1, 0]]), None, None
    )
    every = np.tile(np.arange(3), (2, 1))
    out = terms(recalled(params, Neighbourhoods.pack(params), events, np.array([[1.0, 0.0], [0.0, 0.0]])), every, 3)
    assert [[0.0, pytest.approx(10 * 0.5 * 3 / 3 / 2**0.5), 0.0], [0.0, 0.0, 0.0]] == out.tolist()
    assert 0.0 == float(fade(params, np.float32(0)))


def test_what_several_events_recall_adds_up() -> None:
    """Three likes recall item 2 twice, .25 + 1, and the next user's term begins at 0 again."""
    near = np.array([[0.5, 0.25], [1.0, 0.0], [0.0, 0.0]], np.float32)
    params = init(Spec(items=3, features=0, neighbours=2)) | {
        INDEX: np.array([[1, 2], [2, -1], [-1, -1]]),
        WEIGHT: near,
    }
    item, inside = np.array([[0, 1, 2], [1, 0, 0]]), np.array([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    events = Events(item, np.ones((2, 3)), None, None, None, None)
    out = terms(
        recalled(params, Neighbourhoods.pack(params), events, inside), np.array([[2, 1, 0, 2], [2, 1, 0, 2]]), 3
    )
    three, one = (float(fade(params, np.float64(n))) for n in (3.0, 1.0))
    np.testing.assert_allclose(out, [[1.25 * three, 0.5 * three, 0.0, 1.25 * three], [one, 0.0, 0.0, one]], rtol=1e-6)


def test_an_event_that_was_not_liked_counts_less_and_less() -> None:
    """Strength is 1 where chosen, 0 outside, and `met` * 8 / (8 + events) where not chosen: .5 * 8 / 10 of two."""
    params = init(Spec(items=3, features=0, neighbours=1), met=0.5)
    assert [1.0, 0.4, 0.0] == strengths(params, np.array([0.2, 0.0, 1.0]), np.array([1.0, 1.0, 0.0])).tolist()
