"""The co-occurrence memory: weights by hand, and the sum over a history."""

import numpy as np
import pytest

from meta.neighbours import FADE, INDEX, WEIGHT, fade, init, recall, regress, scores
from meta.spec import Spec
from meta.types import Events


def test_regression_by_hand() -> None:
    """Users like {0, 1} and {0}: [[3, 1], [1, 2]]^-1 = [[2, -1], [-1, 3]] / 5, so B = [[0, 1/3], [1/2, 0]]."""
    index, weight = regress(np.array([0, 0, 1]), np.array([0, 1, 0]), 3, keep=2, penalty=1.0)
    assert [[1, -1], [0, -1], [-1, -1]] == index.tolist()
    assert [1 / 3, 1 / 2, 0.0] == pytest.approx(weight[:, 0].tolist())


def test_both_sides_of_the_regression_agree() -> None:
    """Solved over users or over items, padded with silent users, it is the same; repeats count once."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 20, 200), rng.integers(0, 30, 200)
    by_users = regress(user, item, 30, keep=29)
    by_items = regress(np.append(np.tile(user, 2), 40), np.append(np.tile(item, 2), item[0]), 30, keep=29)
    by_items_again = regress(np.append(user, 40), np.append(item, item[0]), 30, keep=29)
    assert by_items[0].tolist() == by_items_again[0].tolist()
    x = np.zeros((20, 30))
    x[user, item] = 1
    inverse = np.linalg.inv(x.T @ x + 400 * np.eye(30))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0.0)
    dense = np.zeros((30, 31))
    np.put_along_axis(dense, by_users[0], by_users[1], 1)
    assert np.allclose(expected, dense[:, :30], atol=1e-7)


def test_no_likes_no_neighbours() -> None:
    """An empty log is an empty memory."""
    index, weight = regress(np.zeros(0, int), np.zeros(0, int), 3, keep=2)
    assert (-6, 0.0) == (index.sum(), weight.sum())


def test_recall_sums_weighted_neighbourhoods() -> None:
    """Two events that share a neighbour add up; padding and weight 0 add nothing; users do not mix."""
    index = np.array([[1, 2], [2, -1], [-1, -1]])
    near = np.array([[0.5, 0.25], [1.0, 0.0], [0.0, 0.0]], np.float32)
    rows, weight = np.array([[0, 1, 2], [0, 0, 0]]), np.array([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    assert [[0.0, 0.5, 2.25], [0.0, 0.0, 0.0]] == recall(index, near, rows, weight, 3).tolist()


def test_the_memory_is_silent_without_positives() -> None:
    """Nothing liked inside the prefix, no term; one like, 10 gain / (1 + half) / sqrt(2) of its neighbourhood."""
    spec = Spec(items=3, features=0, neighbours=1)
    params = init(spec) | {INDEX: np.array([[1], [0], [-1]], np.int32), WEIGHT: np.full((3, 1), 0.5, np.float32)}
    params[FADE] = np.log(np.expm1(np.array([3.0, 2.0]))).astype(np.float32)
    events = Events(
        np.array([[0, 1], [0, -1]]), np.array([[1.0, 1.0], [0.0, 0.0]]), None, np.array([[1, 1], [1, 0]]), None, None
    )
    out = scores(params, spec, events, np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert [[0.0, pytest.approx(10 * 0.5 * 3 / 3 / 2**0.5), 0.0], [0.0, 0.0, 0.0]] == out.tolist()
    assert 0.0 == float(fade(params, np.float32(0)))
