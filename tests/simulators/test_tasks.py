"""What every family of tasks must do."""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from simulators import TASKS
from simulators.control import CartPoleEnv
from simulators.grid import GridEnv
from simulators.tasks import Tasks

FAMILIES = sorted(TASKS)


def play(family: Tasks, seed: int, steps: int = 30) -> list[Any]:
    """Everything that two episodes of a fixed way to act show."""
    seen: list[Any] = [family.reset(seed=seed)[0]]
    actions = np.random.default_rng(0).integers(family.actions, size=(2, steps, family.num_envs))
    for episode in actions:
        for step in episode:
            observation, reward, terminated, truncated, info = family.step(step)
            seen += [observation, reward, terminated, truncated, info["active"]]
            if (terminated | truncated).all():
                break
        seen.append(family.reset_episode()[0])
    return seen


@pytest.mark.parametrize("environment", [CartPoleEnv, GridEnv])
def test_one_task_passes_gymnasiums_own_checks(environment: type[gymnasium.Env[Any, Any]]) -> None:
    """`check_env` finds nothing wrong, warnings included."""
    check_env(environment(), skip_render_check=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_twin_seeds_give_twin_tasks(name: str) -> None:
    """The same seed repeats two episodes exactly, another seed does not, nor does global randomness matter."""
    first = play(TASKS[name](6), 7)
    np.random.seed(1)  # noqa: NPY002  # global state is what must not matter
    second = play(TASKS[name](6), 7)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], TASKS[name](6).reset(seed=8)[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_two_families_do_not_share_randomness(name: str) -> None:
    """An episode, and where the next one begins, is the same whether or not another family plays meanwhile."""
    alone, mine, other = (TASKS[name](4) for _ in range(3))
    for family, seed in ((alone, 5), (mine, 5), (other, 6)):
        family.reset(seed=seed)
    actions = np.zeros(4, int)
    for _ in range(3):
        expected, found = alone.step(actions), mine.step(actions)
        other.step(actions)
        np.testing.assert_array_equal(expected[0], found[0])
    other.reset_episode()
    np.testing.assert_array_equal(alone.reset_episode()[0], mine.reset_episode()[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_pickled_family_goes_on_as_the_original(name: str) -> None:
    """A copy made in the middle of an episode sees the same, the next episode's beginning included."""
    family = TASKS[name](4)
    family.reset(seed=5)
    actions = np.zeros(4, int)
    family.step(actions)
    twin = pickle.loads(pickle.dumps(family))  # noqa: S301  # made on the line itself
    for mine, theirs in zip(family.step(actions)[:4], twin.step(actions)[:4], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(family.reset_episode()[0], twin.reset_episode()[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_one_task_is_the_batch_of_one(name: str) -> None:
    """The plain environment and a batch of one task show the same, through two episodes of one task."""
    environment, batch = {"cartpole": CartPoleEnv, "grid": GridEnv}[name](), TASKS[name](1)
    np.testing.assert_array_equal(environment.reset(seed=3)[0], batch.reset(seed=3)[0][0])
    alone, together = environment.step(np.int64(1)), batch.step(np.array([1]))
    np.testing.assert_array_equal(alone[0], together[0][0])
    assert list(alone[1:4]) == [x[0] for x in together[1:4]]
    again = environment.reset(options={"same_task": True})[0]
    np.testing.assert_array_equal(again, batch.reset_episode()[0][0])


@pytest.mark.parametrize("name", FAMILIES)
def test_whoever_has_ended_waits_for_the_others(name: str) -> None:
    """After its end a task earns nothing, does not move and keeps its flags; nobody plays past the last step."""
    family = TASKS[name](40)
    before, _ = family.reset(seed=0)
    ended = np.zeros(40, bool)
    rng = np.random.default_rng(0)
    taken = 0
    while not ended.all():
        observation, reward, terminated, truncated, info = family.step(rng.integers(family.actions, size=40))
        assert (~ended).tolist() == info["active"].tolist()
        assert 0.0 == reward[ended].sum()
        np.testing.assert_array_equal(before[ended], observation[ended])
        assert not (terminated & truncated).any()
        before, ended, taken = observation, terminated | truncated, taken + 1
    assert taken <= family.steps
    with pytest.raises(RuntimeError, match="call reset or reset_episode"):
        family.step(np.zeros(40, int))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_of_some_tasks_plays_those(name: str) -> None:
    """`only` keeps the laws of the tasks it names through every reset."""
    family = TASKS[name](5)
    family.reset(seed=1)
    some = family.only([3, 3, 0])
    some.reset(seed=2)
    laws = {"cartpole": lambda x: x.bodies.force, "grid": lambda x: x.mazes.walls}[name]
    np.testing.assert_array_equal(laws(family)[[3, 3, 0]], laws(some))


@pytest.mark.parametrize("name", FAMILIES)
def test_observations_and_actions_fit_their_spaces(name: str) -> None:
    """A sampled action is taken, every observation is inside the stated space, and scale has its width."""
    family = TASKS[name](3)
    family.action_space.seed(0)
    assert family.observation_space.contains(family.reset(seed=0)[0])
    assert family.observation_space.contains(family.step(family.action_space.sample())[0])
    assert family.single_observation_space.shape == family.scale.shape


@pytest.mark.parametrize("name", FAMILIES)
def test_impossible_actions_are_refused(name: str) -> None:
    """The error names the rule and the values."""
    family = TASKS[name](2)
    family.reset(seed=0)
    with pytest.raises(ValueError, match=rf"actions must be in 0\.\.{family.actions - 1}, got 0\.\.9"):
        family.step(np.array([0, 9]))
    with pytest.raises(ValueError, match=r"actions must have shape \(2,\), got \(1,\)"):
        family.step(np.array([0]))
    with pytest.raises(ValueError, match="tasks must be at least 1, got 0"):
        TASKS[name](0)
