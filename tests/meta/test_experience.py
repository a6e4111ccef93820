"""The replay memory and the histories of episodes."""

import numpy as np
import pytest

from meta.experience import Episodes, ReplayMemory, history


def episodes(rewards: list[float]) -> Episodes:
    """One episode of one step a reward."""
    n = len(rewards)
    return Episodes(
        offer=np.zeros((n, 2, 3), np.int32),
        slate=np.zeros((n, 1, 2), np.int32),
        choice=np.zeros((n, 1), np.int8),
        reward=np.asarray(rewards, np.float32)[:, None],
        terminated=np.ones(n, bool),
    )


def contents(memory: ReplayMemory) -> set[float]:
    """What many draws find."""
    return set(memory.sample(1000, np.random.default_rng(0)).reward[:, 0].tolist())


def test_the_memory_keeps_the_newest_and_never_grows() -> None:
    """Of episodes 1 to 7 added in threes, a memory of 4 holds the last 4."""
    memory = ReplayMemory(4)
    for rewards in ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0]):
        memory.add(episodes(rewards))
    assert 4 == len(memory)
    assert {4.0, 5.0, 6.0, 7.0} == contents(memory)


def test_more_than_the_capacity_at_once_keeps_the_last() -> None:
    """Adding five to a memory of two leaves the last two."""
    memory = ReplayMemory(2)
    memory.add(episodes([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert 2 == len(memory)
    assert {4.0, 5.0} == contents(memory)


def test_a_memory_that_is_not_full_draws_only_what_it_has() -> None:
    """The empty places are never drawn."""
    memory = ReplayMemory(100)
    memory.add(episodes([1.0, 2.0]))
    assert 2 == len(memory)
    assert {1.0, 2.0} == contents(memory)


def test_twin_seeds_draw_twins() -> None:
    """The generator that is passed in decides the draw."""
    memory = ReplayMemory(8)
    memory.add(episodes([float(i) for i in range(8)]))
    first = memory.sample(20, np.random.default_rng(3)).reward
    np.testing.assert_array_equal(first, memory.sample(20, np.random.default_rng(3)).reward)


def test_bad_use_is_refused_in_words() -> None:
    """A capacity of 0, a draw from nothing, and episodes of another length."""
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        ReplayMemory(0)
    with pytest.raises(ValueError, match="cannot sample from an empty memory"):
        ReplayMemory(1).sample(1, np.random.default_rng(0))
    memory = ReplayMemory(2)
    memory.add(episodes([1.0]))
    longer = Episodes(
        np.zeros((1, 3, 3), np.int32), np.zeros((1, 2, 2), np.int32), np.zeros((1, 2), np.int8),
        np.zeros((1, 2), np.float32), np.ones(1, bool),
    )  # fmt: skip
    with pytest.raises(ValueError, match="offer must have shape"):
        memory.add(longer)


def test_a_history_has_one_event_an_item_and_one_group_a_slate() -> None:
    """The chosen event carries the reward, everything else in the slate 0."""
    events = history(np.array([[[5, 6], [7, 8]]]), np.array([[1, -1]]), np.array([[0.5, 0.0]]))
    assert [[5, 6, 7, 8]] == events.item.tolist()
    assert [[0.0, 0.5, 0.0, 0.0]] == events.reward.tolist()
    assert [[0, 0, 1, 1]] == events.group.tolist()
    assert [2] == events.length.tolist()
    assert events.mask.all()


def test_an_empty_history_has_no_events() -> None:
    """No step yet means length 0 for every user."""
    events = history(np.zeros((3, 0, 2), np.int32), np.zeros((3, 0), np.int8), np.zeros((3, 0), np.float32))
    assert (3, 0) == events.item.shape
    assert [0, 0, 0] == events.length.tolist()
