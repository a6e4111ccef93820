"""The session summary against sums worked out by hand."""

from __future__ import annotations

import numpy as np

from meta.state import SUMS, prefix_ages, summarise, summary_width
from meta.types import Events


def history() -> Events:
    """One user: item A chosen with reward .5, then item B shown and not chosen."""
    return Events(
        item=np.asarray([[0, 1]]),
        reward=np.asarray([[0.5, 0.0]]),
        group=np.asarray([[0, 1]]),
        mask=np.ones((1, 2), bool),
        length=np.asarray([2]),
        time_ms=np.zeros((1, 2), int),
    )


def test_ages_count_decisions_back_from_the_newest() -> None:
    """In the whole history A is 1 decision old and B 0; in the prefix of 1 only A is in, of age 0."""
    inside, age = prefix_ages(history(), np.asarray([[2, 1, 0]]), 64)
    assert [[1, 1], [1, 0], [0, 0]] == inside[0].tolist()
    assert [[1, 0], [0, 0], [0, 0]] == age[0].tolist()


def test_only_the_newest_decisions_count() -> None:
    """With a history of 1 the older decision is out."""
    inside, _ = prefix_ages(history(), np.asarray([[2]]), 1)
    assert [[0, 1]] == inside[0].tolist()


def test_summary_holds_decayed_shrunk_means() -> None:
    """With feature 10 for A and 20 for B: chosen at .8 is .8*10/1.8, shown at .9 is (9 + 20)/2.9, reward 5/1.5."""
    inside, age = prefix_ages(history(), np.asarray([[2]]), 64)
    summary = summarise(np.asarray([[[10.0], [20.0]]]), history(), inside, age)
    assert summary.shape == (1, 1, summary_width(1))
    expected = {("chosen", 0.8): 8 / 1.8, ("shown", 0.9): 29 / 2.9, ("reward", 1.0): 5 / 1.5}
    for kind, value in expected.items():
        np.testing.assert_allclose(summary[0, 0, SUMS.index(kind)], value)


def test_nobody_known_has_a_summary_of_zeros() -> None:
    """An empty prefix leaves nothing in any sum."""
    inside, age = prefix_ages(history(), np.asarray([[0]]), 64)
    assert not summarise(np.asarray([[[10.0], [20.0]]]), history(), inside, age).any()
