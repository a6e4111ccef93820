"""The world `interest_exploration` against its law."""

import math
import pickle
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from simulators.interest_exploration import InterestExploration, InterestExplorationEnv


def episode(world: InterestExploration, seed: int) -> list[Any]:
    """Everything that one episode of a fixed way to act shows."""
    seen: list[Any] = [world.reset(seed=seed)[0]["candidates"]]
    actions = np.tile(np.arange(world.slate_size), (world.num_envs, 1))
    for _ in range(world.steps):
        observation, reward, terminated, _, info = world.step(actions)
        seen += [observation["candidates"], reward, terminated, info["choice"]]
    return seen


def test_chances_follow_the_law_for_a_given_user_and_slate() -> None:
    """Without spread, an own topic scores e^1.4 + e^.5, another e^.1 + e^.5, and no click e^5 in odds."""
    world = InterestExploration(1, affinity_std=0.0, quality_std=0.0)
    world.reset(seed=3)
    topic = world.documents[:, :-1].argmax(1)
    one_of_each = np.array([[np.flatnonzero(topic == j)[0] for j in range(8)]])
    own = int(world.appeal(one_of_each)[0].argmax())
    slate = one_of_each[:, [own, (own + 1) % 8]]
    liked, other = math.exp(math.exp(1.4) + math.exp(0.5)), math.exp(math.exp(0.1) + math.exp(0.5))
    expected = [[liked / (liked + other + math.exp(5)), other / (liked + other + math.exp(5))]]
    np.testing.assert_allclose(expected, world.chances(slate), rtol=1e-6)


def test_affinities_and_qualities_are_lognormal_as_stated() -> None:
    """Over 20,000 users log affinity has mean 1.4 for one topic in eight and .1 else, log quality .5; spreads .1."""
    world = InterestExploration(20_000)
    world.reset(seed=0)
    topic = world.documents[:, :-1].argmax(1)
    first = np.array([np.flatnonzero(topic == j)[0] for j in range(8)])
    affinity = world.appeal(np.tile(first, (20_000, 1))) - world.documents[first, -1]
    log = np.log(affinity)
    own = log > 0.75
    assert np.ones(20_000).tolist() == own.sum(1).tolist()
    np.testing.assert_allclose(
        [1.4, 0.1, 0.1, 0.1], [log[own].mean(), log[~own].mean(), log[own].std(), log[~own].std()], atol=0.004
    )
    np.testing.assert_allclose(np.full(8, 1 / 8), own.mean(0), atol=0.01)
    quality = np.log(world.documents[:, -1])
    np.testing.assert_allclose([0.5, 0.1], [quality.mean(), quality.std()], atol=0.004)


def test_clicks_come_as_often_as_their_chances() -> None:
    """The click rate of 20,000 users equals the mean chance within four standard errors."""
    world = InterestExploration(20_000)
    observation, _ = world.reset(seed=1)
    actions = np.tile([4, 9], (20_000, 1))
    expected = world.chances(np.take_along_axis(observation["candidates"], actions, 1)).mean(0)
    choice = world.step(actions)[4]["choice"]
    np.testing.assert_allclose(expected, [(choice == 0).mean(), (choice == 1).mean()], atol=4 * 0.5 / 20_000**0.5)


@pytest.mark.parametrize("items", [20, 200, 10_000])
def test_candidates_are_distinct_and_known_to_the_catalogue(items: int) -> None:
    """No document is offered twice at a step, and features are the catalogue's rows."""
    world = InterestExploration(300, num_items=items)
    observation, _ = world.reset(seed=0)
    rows = observation["candidates"]
    assert [20] * 300 == [len(set(row)) for row in rows.tolist()]
    catalogue = world.catalogue()
    np.testing.assert_array_equal(catalogue.features[rows], observation["features"])
    assert f"doc-{items - 1:06d}" == catalogue.ids[-1]


def test_episodes_terminate_after_the_stated_steps() -> None:
    """The last of three steps terminates without truncation, and a fourth is refused."""
    world = InterestExploration(2, steps=3)
    world.reset(seed=0)
    ends = [world.step(np.array([[0, 1], [2, 3]]))[2:4] for _ in range(3)]
    assert [[False] * 2, [False] * 2, [True] * 2] == [terminated.tolist() for terminated, _ in ends]
    assert [[False] * 2] * 3 == [truncated.tolist() for _, truncated in ends]
    with pytest.raises(RuntimeError, match="call reset"):
        world.step(np.array([[0, 1], [2, 3]]))


def test_twin_seeds_give_twin_episodes() -> None:
    """The same seed repeats an episode exactly, another seed does not, nor does global randomness matter."""
    first = episode(InterestExploration(5), 7)
    np.random.seed(1)  # noqa: NPY002  # global state is what must not matter
    second = episode(InterestExploration(5), 7)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], episode(InterestExploration(5), 8)[0])


def test_a_pickled_world_goes_on_as_the_original() -> None:
    """A copy made in the middle of an episode sees the same clicks and offers."""
    world = InterestExploration(4)
    world.reset(seed=5)
    actions = np.tile([0, 1], (4, 1))
    world.step(actions)
    twin = pickle.loads(pickle.dumps(world))  # noqa: S301  # made on the line itself
    mine, theirs = world.step(actions), twin.step(actions)
    np.testing.assert_array_equal(mine[0]["candidates"], theirs[0]["candidates"])
    np.testing.assert_array_equal(mine[4]["choice"], theirs[4]["choice"])


def test_one_user_passes_gymnasiums_own_checks() -> None:
    """`check_env` finds nothing wrong, warnings included."""
    environment: gymnasium.Env[Any, Any] = InterestExplorationEnv()
    check_env(environment, skip_render_check=True)


def test_observations_and_actions_of_a_batch_fit_their_spaces() -> None:
    """A sampled action is taken, and every observation is inside the stated space."""
    world = InterestExploration(3)
    world.action_space.seed(0)
    assert world.observation_space.contains(world.reset(seed=0)[0])
    assert world.observation_space.contains(world.step(world.action_space.sample())[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"users": 0}, "users must be at least 1, got 0"),
        ({"slate_size": 21}, "1 <= slate_size <= candidates <= num_items, got 21, 20, 10000"),
        ({"num_items": 10}, "1 <= slate_size <= candidates <= num_items, got 2, 20, 10"),
    ],
)
def test_impossible_worlds_are_refused(arguments: dict[str, int], words: str) -> None:
    """The error names the violated condition and the values."""
    with pytest.raises(ValueError, match=words):
        InterestExploration(**arguments)


def test_actions_outside_the_offer_are_refused() -> None:
    """A position past the candidates and a slate of another size are named."""
    world = InterestExploration(1)
    world.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must be in 0\.\.19, got 0\.\.20"):
        world.step(np.array([[0, 20]]))
    with pytest.raises(ValueError, match=r"actions must have shape \(1, 2\), got \(1, 3\)"):
        world.step(np.array([[0, 1, 2]]))
