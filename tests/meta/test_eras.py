"""Popularity by era against counts worked out by hand."""

from __future__ import annotations

import numpy as np
import torch

from meta import eras
from meta.spec import Spec

SPEC = Spec(items=2, features=0, eras=3)
HALF_LIFE = 0.05 * 2000
"""Of the log below, ms."""


def learnt() -> dict[str, np.ndarray]:
    """Item 0 liked at 1000 and 1100 ms, item 1 at 1100 and 3000; gains 1, 2 and 4."""
    item, time = np.asarray([1, 0, 1, 0]), np.asarray([3000, 1100, 1100, 1000])
    return eras.init(SPEC) | eras.fit(item, time, 2, 3) | {eras.GAIN: np.asarray([1.0, 2.0, 4.0], np.float32)}


def test_an_era_knows_only_what_came_before_it() -> None:
    """Nothing at 1000; at 1100 one like of item 0 and not the two of that moment; after the log all four."""
    params = learnt()
    assert [1000, 1100, 3001] == params[eras.START].tolist()
    level = params[eras.LEVEL]
    assert [[0.0, 0.0]] * 2 == level[0].tolist()
    np.testing.assert_allclose(level[1], np.log1p([[2.0, 0.0], [2.0, 0.0]]), rtol=1e-6)
    np.testing.assert_allclose(level[2, 1], np.log1p([1.0, 1.0]), rtol=1e-6)
    np.testing.assert_allclose(params[eras.EVER], np.log1p([1.0, 1.0]), rtol=1e-6)


def test_likes_fade_by_half_in_a_half_life() -> None:
    """Likes 1901 and 2001 ms old count 2^-19.01 and 2^-20.01 of the one that has just happened, nearly."""
    count = 0.5 ** (np.asarray([[2001.0, 1901.0], [1901.0, 1.0]]) / HALF_LIFE)
    expected = np.log1p(2 * count.sum(1) / count.sum())
    np.testing.assert_allclose(learnt()[eras.LEVEL][2, 0], expected, rtol=1e-5)


def test_levels_do_not_depend_on_traffic() -> None:
    """A thousand times the counts is the same level, and no counts are level 0."""
    counts = np.asarray([[3.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(np.log1p([[1.5, 0.5], [0.0, 0.0]]), eras.level(counts), rtol=1e-6)
    np.testing.assert_allclose(eras.level(1000 * counts), eras.level(counts), rtol=1e-6)


def test_times_outside_the_log_belong_to_its_ends() -> None:
    """Before the log, or without a time, is the first era; long after it the last."""
    assert [0, 0, 1, 1, 2, 2] == eras.place(learnt(), np.asarray([0, 1000, 1100, 3000, 3001, 10**12])).tolist()


def test_the_term_weighs_the_levels() -> None:
    """At 1100: (1 + 2) log 3 + 4 log 2 of item 0, 4 log 2 of item 1; before the log nothing, not even what was ever."""
    scores = eras.scores(learnt(), np.asarray([0, 1100]), None)
    assert [0.0, 0.0] == scores[0].tolist()
    np.testing.assert_allclose(scores[1], [3 * np.log(3) + 4 * np.log(2), 4 * np.log(2)], rtol=1e-6)


def test_candidates_get_what_the_catalogue_gets() -> None:
    """Asking for some rows gives the same numbers."""
    now, rows = np.asarray([1100, 4000, 5]), np.asarray([[1, 0, 1], [0, 1, 1], [0, 0, 1]])
    whole = eras.scores(learnt(), now, None)
    np.testing.assert_allclose(np.take_along_axis(whole, rows, 1), eras.scores(learnt(), now, rows), rtol=1e-6)


def test_numpy_equals_torch() -> None:
    """Era and term agree on both backends."""
    params, now = learnt(), np.asarray([0, 1100, 4000])
    tensors = {name: torch.from_numpy(value) for name, value in params.items()}
    era = torch.from_numpy(eras.place(tensors, now))
    theirs = eras.term(tensors, tensors[eras.LEVEL][era], tensors[eras.EVER], era > 0)
    np.testing.assert_allclose(eras.scores(params, now, None), theirs.numpy(), rtol=1e-6)


def test_the_log_is_continued_by_live_likes() -> None:
    """A half-life after the log, two live likes of item 0 join what is left of the log: a level by hand."""
    params = learnt() | {eras.COUNT: np.asarray([3000.0, 4000.0])}
    shares = np.expm1(params[eras.LEVEL][-1]) / 2
    counts = np.asarray([[2.0, 0.0], [2.0, 0.0]])
    joint = shares * [[1500.0], [4000.0]] + counts
    level = np.log1p(2 * joint / joint.sum(1, keepdims=True))
    expected = level[0] + 2 * level[1] + 4 * np.log1p([1.0, 1.0])
    now_ms = 3001 + round(HALF_LIFE)
    np.testing.assert_allclose(eras.live(params, counts, now_ms), expected, rtol=1e-5)


def test_without_live_likes_now_is_the_end_of_the_log() -> None:
    """Shares do not fade: the term long after the log is that of its last era."""
    params = learnt()
    np.testing.assert_allclose(
        eras.live(params, np.zeros((2, 2)), 10**13), eras.scores(params, np.asarray([10**13]), None)[0], rtol=1e-5
    )


def test_the_first_live_like_is_no_revolution() -> None:
    """However long ago the log of three thousand likes ended, it still weighs as much as a hundred."""
    params = learnt() | {eras.COUNT: np.asarray([3000.0, 3000.0]), eras.GAIN: np.float32([1, 0, 0])}
    even = params | {eras.LEVEL: np.log1p(np.ones((3, 2, 2), np.float32))}
    one = np.asarray([[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(np.expm1(eras.live(even, one, 10**13)), [102 / 101, 100 / 101], rtol=1e-5)


def test_half_lives_in_milliseconds() -> None:
    """A twentieth of the log's two seconds, and none."""
    assert (100.0, np.inf) == eras.half_lives(learnt())
