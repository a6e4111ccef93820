"""Windows of a log, and what was known in each of their places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from meta.logbook import Logbook


def book(**changed: object) -> Logbook:
    """Two users: the first decides thrice, with two events after each decision; the second once, with none."""
    n, m = 4, 6
    made = Logbook(
        user=np.array([0, 0, 0, 1]),
        time_ms=np.array([10, 20, 30, 15]),
        offer=np.tile(np.arange(3, dtype=np.int32), (n, 1)),
        slate=np.array([[0, 1], [2, 1], [1, 0], [2, 0]], np.int32),
        log_propensity=np.log(np.full(n, 0.25, np.float32)),
        reward=np.array([[1, 0], [0, 0], [0, 1], [0, 0]], np.float32),
        begin=np.array([0, 0, 0, 6]),
        seen=np.array([0, 2, 4, 0]),
        end=np.array([6, 6, 6, 6]),
        context=np.zeros((n, 0), np.float32),
        item=np.array([0, 1, 2, 1, 1, 0], np.int32),
        event_reward=np.array([1, 0, 0, 0, 0, 1], np.float32),
        event_time_ms=np.array([11, 11, 21, 21, 31, 31]),
        tag=np.array([7, 7, 9, 9, 9, 9], np.uint8),
    )
    assert len(made.item) == m
    return replace(made, **changed)  # type: ignore[arg-type]  # test shorthand


def test_windows_stay_with_their_user() -> None:
    """From the second decision of the first user there are two left; the second user has one, which stands for all."""
    at, there = book().window(np.array([1, 3]), 4)
    assert [[1, 2, 2, 2], [3, 3, 3, 3]] == at.tolist()
    assert [[True, True, False, False], [True, False, False, False]] == there.tolist()
    drawn = book().starts(200, 2, np.random.default_rng(0))
    assert {0, 1, 3} == set(drawn.tolist())


def test_each_place_knows_what_was_recorded_before_it() -> None:
    """No slate before the first decision, then one more each time; after the last decision all three."""
    at = np.array([[0, 1, 2, 2], [3, 3, 3, 3]])
    over = np.array([[False, False, False, True], [False, True, True, True]])
    events, prefix = book().histories(at, over, 64)
    assert [[0, 1, 2, 3], [0, 0, 0, 0]] == prefix.tolist()
    assert [0, 1, 2, 1, 1, 0] == events.item[0].tolist()
    assert [0, 0, 1, 1, 2, 2] == events.group[
        0
    ].tolist()  # two slates of one tag are two, as every slate left two events
    assert 2 == events.slate
    assert not events.mask[1].any()
    assert [3, 0] == events.length.tolist()


def test_a_slate_recorded_in_part_is_not_known_yet() -> None:
    """The third decision was answered when only three events had come: the second slate is out, no click leaks in."""
    events, prefix = book(seen=np.array([0, 2, 3, 0])).histories(np.array([[0, 1, 2]]), np.zeros((1, 3), bool), 64)
    assert [[0, 1, 1]] == prefix.tolist()
    assert 4 == events.item.shape[1]


def test_slates_of_other_lengths_are_told_apart_by_their_tags() -> None:
    """An event of no decision stands alone, and so an unknown item hides from adaptation but keeps its place."""
    events, prefix = book(tag=np.array([7, 7, 0, 9, 9, 4]), item=np.array([0, 1, -1, 1, 1, 0], np.int32)).histories(
        np.array([[2, 2]]), np.array([[False, True]]), 64
    )
    assert [[0, 0, 1, 2, 2, 3]] == events.group.tolist()
    assert [[2, 4]] == prefix.tolist()  # of the third slate one of two events was known
    assert [True, True, False, True, True, True] == events.mask[0].tolist()
    assert 0 == events.slate


@pytest.mark.parametrize(("cap", "kept"), [(1, 4), (2, 4), (3, 6), (64, 6)])
def test_a_history_begins_with_a_whole_slate_of_those_that_count(cap: int, kept: int) -> None:
    """Before the second decision the newest event counts, and with it all of its slate."""
    events, prefix = book().histories(np.array([[2, 2]]), np.array([[False, True]]), cap)
    assert kept == events.item.shape[1]
    assert [[kept // 2 - 1, kept // 2]] == prefix.tolist()


def test_nobody_did_anything() -> None:
    """A log without events has empty histories."""
    nothing = np.zeros(0)
    empty = book(
        item=nothing.astype(np.int32), event_reward=nothing, event_time_ms=nothing, tag=nothing.astype(np.uint8),
        begin=np.zeros(4, int), seen=np.zeros(4, int), end=np.zeros(4, int),
    )  # fmt: skip
    events, prefix = empty.histories(np.array([[0, 1]]), np.zeros((1, 2), bool), 64)
    assert ((1, 0), 0, 1.0) == (events.item.shape, prefix.sum(), empty.events_by_slate)
