"""The replay memory and the histories of episodes."""

import numpy as np
import pytest

from meta.experience import Episodes, ReplayMemory, Transitions, history


def episodes(rewards: list[float]) -> Episodes:
    """One episode of one step a reward."""
    n = len(rewards)
    return Episodes(
        offer=np.zeros((n, 2, 3), np.int32),
        context=np.zeros((n, 2, 0), np.float32),
        slate=np.zeros((n, 1, 2), np.int32),
        choice=np.zeros((n, 1), np.int8),
        reward=np.asarray(rewards, np.float32)[:, None],
        elapsed=np.ones((n, 1), np.float32),
        terminated=np.ones(n, bool),
        active=np.ones((n, 1), bool),
    )


def contents(memory: ReplayMemory[Episodes]) -> set[float]:
    """What many draws find."""
    return set(memory.sample(1000, np.random.default_rng(0)).rows.reward[:, 0].tolist())


def test_the_memory_keeps_the_newest_and_never_grows() -> None:
    """Of episodes 1 to 7 added in threes, a memory of 4 holds the last 4."""
    memory: ReplayMemory[Episodes] = ReplayMemory(4)
    for rewards in ([1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0]):
        memory.add(episodes(rewards))
    assert 4 == len(memory)
    assert {4.0, 5.0, 6.0, 7.0} == contents(memory)


def test_more_than_the_capacity_at_once_keeps_the_last() -> None:
    """Adding five to a memory of two leaves the last two."""
    memory: ReplayMemory[Episodes] = ReplayMemory(2)
    memory.add(episodes([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert 2 == len(memory)
    assert {4.0, 5.0} == contents(memory)


def test_a_memory_that_is_not_full_draws_only_what_it_has() -> None:
    """The empty places are never drawn."""
    memory: ReplayMemory[Episodes] = ReplayMemory(100)
    memory.add(episodes([1.0, 2.0]))
    assert 2 == len(memory)
    assert {1.0, 2.0} == contents(memory)


def test_twin_seeds_draw_twins() -> None:
    """The generator that is passed in decides the draw."""
    memory: ReplayMemory[Episodes] = ReplayMemory(8)
    memory.add(episodes([float(i) for i in range(8)]))
    first = memory.sample(20, np.random.default_rng(3)).rows.reward
    np.testing.assert_array_equal(first, memory.sample(20, np.random.default_rng(3)).rows.reward)


def test_bad_use_is_refused_in_words() -> None:
    """A capacity of 0, a draw from nothing, and episodes of another length."""
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        ReplayMemory(0)
    with pytest.raises(ValueError, match="cannot sample from an empty memory"):
        ReplayMemory(1).sample(1, np.random.default_rng(0))
    memory: ReplayMemory[Episodes] = ReplayMemory(2)
    memory.add(episodes([1.0]))
    longer = Episodes(
        np.zeros((1, 3, 3), np.int32), np.zeros((1, 3, 0), np.float32), np.zeros((1, 2, 2), np.int32),
        np.zeros((1, 2), np.int8), np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32), np.ones(1, bool),
        np.ones((1, 2), bool),
    )  # fmt: skip
    with pytest.raises(ValueError, match="offer must have shape"):
        memory.add(longer)


def test_a_history_has_one_event_an_item_and_one_group_a_slate() -> None:
    """The chosen event carries the reward, everything else in the slate 0."""
    events = history(np.array([[[5, 6], [7, 8]]]), np.array([[1, -1]]), np.array([[0.5, 0.0]]))
    assert [[5, 7, 6, 8]] == events.item.tolist()
    assert [[0.0, 0.0, 0.5, 0.0]] == events.reward.tolist()
    assert [[0, 1, 0, 1]] == events.group.tolist()
    one_by_one = events.apart()
    assert [[5, 6, 7, 8]] == one_by_one.item.tolist()
    assert [[0, 0, 1, 1]] == one_by_one.group.tolist()
    assert [2] == events.length.tolist()
    assert events.mask.all()


def test_an_empty_history_has_no_events() -> None:
    """No step yet means length 0 for every user."""
    events = history(np.zeros((3, 0, 2), np.int32), np.zeros((3, 0), np.int8), np.zeros((3, 0), np.float32))
    assert (3, 0) == events.item.shape
    assert [0, 0, 0] == events.length.tolist()


def test_a_history_ends_where_its_user_left() -> None:
    """Of two slates the second did not happen: one decision, and padding after it."""
    shown, chosen, earned = np.array([[[5, 6], [7, 8]]]), np.array([[0, 1]]), np.array([[0.5, 9.0]])
    events = history(shown, chosen, earned, active=np.array([[True, False]]))
    assert [[5, -1, 6, -1]] == events.item.tolist()
    assert [[0.5, 0.0, 0.0, 0.0]] == events.reward.tolist()
    assert [[0, 0, 0, 0]] == events.group.tolist()
    assert [[True, False, True, False]] == events.mask.tolist()
    assert [1] == events.length.tolist()


def share(memory: ReplayMemory[Episodes], reward: float, draws: int = 4000) -> float:
    """How often an episode of this reward is drawn."""
    return float((memory.sample(draws, np.random.default_rng(0)).rows.reward[:, 0] == reward).mean())


def test_a_user_is_replayed_in_proportion_to_the_surprise() -> None:
    """Surprises 1 and 3 at alpha 1 are drawn one to three, at alpha 1/2 one to the root of three."""
    for alpha, expected in ((1.0, 0.75), (0.5, 3**0.5 / (1 + 3**0.5))):
        memory: ReplayMemory[Episodes] = ReplayMemory(4, alpha)
        memory.add(episodes([1.0, 2.0]))
        memory.learn(np.array([0, 1]), np.array([1.0, 3.0]))
        np.testing.assert_allclose(expected, share(memory, 2.0), atol=1e-3)


def test_alpha_0_is_uniform_whatever_surprised() -> None:
    """Priorities play no part, and every weight is 1."""
    memory: ReplayMemory[Episodes] = ReplayMemory(4)
    memory.add(episodes([1.0, 2.0]))
    memory.learn(np.array([0, 1]), np.array([1.0, 1000.0]))
    np.testing.assert_allclose(0.5, share(memory, 2.0), atol=0.03)
    np.testing.assert_array_equal(np.ones(9), memory.sample(9, np.random.default_rng(0)).weight)


@pytest.mark.parametrize(("beta", "expected"), [(0.0, 1.0), (0.5, 3**-0.5), (1.0, 1 / 3)])
def test_weights_undo_the_bias_of_the_draw(beta: float, expected: float) -> None:
    """An episode that is drawn three times as often counts 3 ^ -beta as much; the rarest counts 1."""
    memory: ReplayMemory[Episodes] = ReplayMemory(2, 1.0)
    memory.add(episodes([1.0, 2.0]))
    memory.learn(np.array([0, 1]), np.array([1.0, 3.0]) - 0.001)
    drawn = memory.sample(100, np.random.default_rng(0), beta)
    np.testing.assert_allclose(np.where(drawn.rows.reward[:, 0] == 1.0, 1.0, expected), drawn.weight, rtol=1e-6)


def test_newcomers_come_first() -> None:
    """A new episode has the largest priority so far: 9 times that of one which surprised by 1."""
    memory: ReplayMemory[Episodes] = ReplayMemory(3, 1.0)
    memory.add(episodes([1.0, 2.0]))
    memory.learn(np.array([0, 1]), np.array([1.0, 9.0]))
    memory.add(episodes([3.0]))
    np.testing.assert_allclose([1 / 19, 9 / 19, 9 / 19], [share(memory, x) for x in (1.0, 2.0, 3.0)], atol=1e-3)


def test_a_newcomer_does_not_inherit_the_surprise_of_its_place() -> None:
    """The episode that takes the place of a dull one is as likely as the other."""
    memory: ReplayMemory[Episodes] = ReplayMemory(2, 1.0)
    memory.add(episodes([1.0, 2.0]))
    memory.learn(np.array([0, 1]), np.array([0.0, 1.0]))
    memory.add(episodes([3.0]))
    np.testing.assert_allclose(0.5, share(memory, 3.0), atol=1e-3)


def test_what_cannot_surprise_is_refused() -> None:
    """A surprise that is not a number, one below 0, and an alpha below 0."""
    memory: ReplayMemory[Episodes] = ReplayMemory(2, 1.0)
    for bad in (np.nan, -1.0):
        with pytest.raises(ValueError, match="surprise must be finite and at least 0, got"):
            memory.learn(np.array([0]), np.array([bad]))
    with pytest.raises(ValueError, match="alpha must be at least 0, got -1"):
        ReplayMemory(1, -1.0)


def test_transitions_are_remembered_by_task() -> None:
    """A task's steps stay together and in order, with what was available and whether they ended or were cut."""
    steps = np.arange(2 * 3, dtype=np.float32).reshape(2, 3)
    flags = steps > 4
    tasks = Transitions(
        steps[..., None], steps.astype(np.int32), steps, steps[..., None] + 1, np.ones((2, 3, 2), bool), flags, ~flags,
        np.ones_like(steps), np.ones_like(flags),
    )  # fmt: skip
    memory: ReplayMemory[Transitions] = ReplayMemory(5)
    memory.add(tasks)
    drawn = memory.sample(7, np.random.default_rng(0))
    assert drawn.place.max() <= 1
    np.testing.assert_array_equal(steps[drawn.place], drawn.rows.reward)
    np.testing.assert_array_equal(steps[drawn.place] + 1, drawn.rows.next_observation[..., 0])
    np.testing.assert_array_equal(flags[drawn.place], drawn.rows.terminated)
