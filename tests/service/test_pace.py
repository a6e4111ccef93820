"""The cost model: what finished batches say of those to come."""

from __future__ import annotations

import pytest

from service.pace import Pace


def test_a_line_is_found() -> None:
    """Batches of 2 ms + 10 us a candidate predict what three of them with 600 candidates in all take: 12 ms."""
    pace = Pace()
    for candidates in (100, 400, 200, 100, 1_000):
        pace.finished(candidates, 0.002 + 1e-5 * candidates)
    assert pytest.approx(0.012) == pace.seconds(3, 600)


def test_batches_of_one_size_give_their_mean() -> None:
    """Without a spread of sizes nothing is known of the price of a candidate."""
    pace = Pace()
    for _ in range(3):
        pace.finished(100, 0.004)
    assert pytest.approx(0.008) == pace.seconds(2, 5_000)


def test_what_was_fades() -> None:
    """After many fast batches the slow ones of the past hardly count: 1 s and then 500 of 1 ms."""
    pace = Pace()
    pace.finished(100, 1.0)
    for _ in range(500):
        pace.finished(100, 0.001)
    assert pytest.approx(0.001, rel=0.01) == pace.seconds(1, 100)


def test_no_term_is_negative() -> None:
    """Where small batches happened to take longest, more candidates do not promise less time."""
    pace = Pace()
    pace.finished(100, 0.01)
    pace.finished(1_000, 0.001)
    assert pace.seconds(1, 1_000) == pace.seconds(1, 100) > 0


def test_before_anything_is_known_nothing_is_predicted() -> None:
    """A fresh service refuses nobody."""
    assert 0.0 == Pace().seconds(10, 1_000)
