"""The co-occurrence memory: similarities by hand, and the sum over a history."""

import numpy as np
import pytest

from meta.neighbours import FADE, INDEX, SIMILARITY, fade, init, nearest, recall, scores
from meta.spec import Spec
from meta.types import Events


def test_similarities_by_hand() -> None:
    """Users like {0, 1}, {0, 1}, {0, 2}: 0 and 1 meet twice, so 2 / (sqrt(3 * 2) + 1)."""
    index, similarity = nearest(np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 2]), 4, keep=2, shrink=1.0)
    assert [[1, 2], [0, -1], [0, -1], [-1, -1]] == index.tolist()
    assert [2 / (6**0.5 + 1), 1 / (3**0.5 + 1)] == pytest.approx(similarity[0].tolist())
    assert 0.0 == similarity[3].sum()


def test_blocks_and_repeats_change_nothing() -> None:
    """Work is split into blocks of items, and a user who likes an item twice counts once."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 20, 200), rng.integers(0, 30, 200)
    whole = nearest(user, item, 30, keep=5)
    pieces = nearest(np.tile(user, 2), np.tile(item, 2), 30, keep=5, block=7)
    assert whole[0].tolist() == pieces[0].tolist()
    assert whole[1].tolist() == pieces[1].tolist()


def test_no_likes_no_neighbours() -> None:
    """An empty log is an empty memory."""
    index, similarity = nearest(np.zeros(0, int), np.zeros(0, int), 3, keep=2)
    assert (-6, 0.0) == (index.sum(), similarity.sum())


def test_recall_sums_weighted_neighbourhoods() -> None:
    """Two events that share a neighbour add up; padding and weight 0 add nothing; users do not mix."""
    index = np.array([[1, 2], [2, -1], [-1, -1]])
    similarity = np.array([[0.5, 0.25], [1.0, 0.0], [0.0, 0.0]], np.float32)
    rows, weight = np.array([[0, 1, 2], [0, 0, 0]]), np.array([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0]])
    assert [[0.0, 0.5, 2.25], [0.0, 0.0, 0.0]] == recall(index, similarity, rows, weight).tolist()


def test_the_memory_is_silent_without_positives() -> None:
    """Nothing liked inside the prefix, no term; one like, gain / (1 + half) / sqrt(2) of its neighbourhood."""
    spec = Spec(items=3, features=0, neighbours=1)
    params = init(spec) | {INDEX: np.array([[1], [0], [-1]], np.int32), SIMILARITY: np.full((3, 1), 0.5, np.float32)}
    params[FADE] = np.log(np.expm1(np.array([3.0, 2.0, 1.0]))).astype(np.float32)
    events = Events(
        np.array([[0, 1], [0, -1]]), np.array([[1.0, 1.0], [0.0, 0.0]]), None, np.array([[1, 1], [1, 0]]), None, None
    )
    out = scores(params, spec, events, np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert [[0.0, pytest.approx(0.5 * 3 / 3 / 2**0.5), 0.0], [0.0, 0.0, 0.0]] == out.tolist()
    assert 0.0 == float(fade(params, np.float32(0)))
