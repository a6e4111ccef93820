"""What every world of users promises, and gymnasium checks."""

import pickle
from functools import partial
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from simulators import WORLDS as NAMED
from simulators.drifting_taste import DriftingTaste
from simulators.fitted import Fitted
from simulators.interest_exploration import InterestExploration
from simulators.offers import Offers
from simulators.slates import OneUser, Slates
from tests.simulators import populations
from tests.simulators.packages import needs

WORLDS = NAMED | {Fitted.name: partial(Fitted, population=populations.population())}
every_world = pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in WORLDS])


def episode(name: str, seed: int) -> list[Any]:
    """Everything that one episode of a fixed way to act shows."""
    world = WORLDS[name](5)
    seen: list[Any] = [world.reset(seed=seed)[0]["candidates"]]
    actions = np.tile(np.arange(world.slate_size), (5, 1))
    for _ in range(world.steps):
        observation, reward, terminated, _, info = world.step(actions)
        seen += [observation["candidates"], reward, terminated, info["choice"]]
    return seen


@pytest.mark.parametrize("items", [20, 200, 10_000])
def test_offers_are_distinct(items: int) -> None:
    """No item is offered twice at a step, in a crowded catalogue and in a wide one."""
    rows = Offers(items, 20, np.random.default_rng(0)).draw(300, np.random.default_rng(1))
    assert [20] * 300 == [len(set(row)) for row in rows.tolist()]
    assert 0 <= rows.min() <= rows.max() < items


@pytest.mark.parametrize("items", [40, 3_000])
def test_offers_are_uniform_in_every_place(items: int) -> None:
    """Over 400 steps of 200 users each tenth of the catalogue fills a tenth of each place, in four standard errors."""
    offers, rng = Offers(items, 20, np.random.default_rng(0)), np.random.default_rng(1)
    tenth = np.stack([offers.draw(200, rng) for _ in range(400)]) * 10 // items
    share = np.stack([(tenth == part).mean((0, 1)) for part in range(10)])
    np.testing.assert_allclose(np.full((10, 20), 0.1), share, atol=4 * 0.3 / 400**0.5)


def test_one_user_sees_the_features_of_what_is_offered() -> None:
    """The features of an observation are those of its rows in the catalogue."""
    observation, _ = OneUser(InterestExploration, num_items=50).reset(seed=0)
    features = InterestExploration(1, num_items=50).catalogue().features
    np.testing.assert_array_equal(features[observation["candidates"]], observation["features"])


@every_world
def test_episodes_terminate_after_the_stated_steps(name: str) -> None:
    """The last of three steps terminates without truncation, and a fourth is refused."""
    world = WORLDS[name](2, steps=3)
    actions = np.tile(np.arange(world.slate_size), (2, 1))
    world.reset(seed=0)
    ends = [world.step(actions)[2:4] for _ in range(3)]
    assert [[False] * 2, [False] * 2, [True] * 2] == [terminated.tolist() for terminated, _ in ends]
    assert [[False] * 2] * 3 == [truncated.tolist() for _, truncated in ends]
    with pytest.raises(RuntimeError, match="call reset"):
        world.step(actions)


@pytest.mark.parametrize("kind", [InterestExploration, DriftingTaste])
def test_a_bored_user_leaves_after_so_many_steps_without_a_choice(kind: type[Slates]) -> None:
    """All goes as without boredom until a user found nothing three times in a row; then nothing is chosen or earned."""
    endless, bored = kind(200, steps=12), kind(200, steps=12, patience=3)  # type: ignore[call-arg]  # both worlds take it
    actions = np.tile(np.arange(endless.slate_size), (200, 1))
    endless.reset(seed=1)
    bored.reset(seed=1)
    waited, there = np.zeros(200, int), np.ones(200, bool)
    for step in range(12):
        _, reward, _, _, info = endless.step(actions)
        _, found, terminated, _, told = bored.step(actions)
        np.testing.assert_array_equal(there, told["active"])
        np.testing.assert_array_equal(np.where(there, info["choice"], -1), told["choice"])
        np.testing.assert_array_equal(np.where(there, reward, 0.0), found)
        waited = np.where(info["choice"] < 0, waited + 1, 0)
        there &= waited < 3
        np.testing.assert_array_equal(~there | (step == 11), terminated)
    assert 0 < there.sum() < 200


@every_world
def test_twin_seeds_give_twin_episodes(name: str) -> None:
    """The same seed repeats an episode exactly, another seed does not, nor does global randomness matter."""
    first = episode(name, 7)
    np.random.seed(1)  # noqa: NPY002  # global state is what must not matter
    second = episode(name, 7)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], episode(name, 8)[0])


@every_world
def test_two_worlds_do_not_share_randomness(name: str) -> None:
    """An episode is the same whether or not another world is played between its steps."""
    alone, mine, other = WORLDS[name](4), WORLDS[name](4), WORLDS[name](4)
    actions = np.tile(np.arange(mine.slate_size), (4, 1))
    alone.reset(seed=5)
    mine.reset(seed=5)
    other.reset(seed=6)
    for _ in range(5):
        expected = alone.step(actions)
        found = mine.step(actions)
        other.step(actions)
        np.testing.assert_array_equal(expected[0]["candidates"], found[0]["candidates"])
        np.testing.assert_array_equal(expected[1], found[1])


@every_world
def test_a_pickled_world_goes_on_as_the_original(name: str) -> None:
    """A copy made in the middle of an episode sees the same choices and offers."""
    world = WORLDS[name](4)
    world.reset(seed=5)
    actions = np.tile(np.arange(world.slate_size), (4, 1))
    world.step(actions)
    twin = pickle.loads(pickle.dumps(world))  # noqa: S301  # made on the line itself
    mine, theirs = world.step(actions), twin.step(actions)
    np.testing.assert_array_equal(mine[0]["candidates"], theirs[0]["candidates"])
    np.testing.assert_array_equal(mine[4]["choice"], theirs[4]["choice"])


@every_world
def test_one_user_passes_gymnasiums_own_checks(name: str) -> None:
    """`check_env` finds nothing wrong, warnings included."""
    check_env(OneUser(WORLDS[name]), skip_render_check=True)


@every_world
def test_observations_and_actions_of_a_batch_fit_their_spaces(name: str) -> None:
    """A sampled action is taken, and every observation is inside the stated space."""
    world = WORLDS[name](3)
    world.action_space.seed(0)
    assert world.observation_space.contains(world.reset(seed=0)[0])
    assert world.observation_space.contains(world.step(world.action_space.sample())[0])


@every_world
def test_actions_outside_the_offer_are_refused(name: str) -> None:
    """A position past the candidates and a slate of another size are named."""
    world = WORLDS[name](2)
    world.reset(seed=0)
    size, candidates = world.slate_size, world.candidates
    with pytest.raises(ValueError, match=rf"actions must be in 0\.\.{candidates - 1}, got 0\.\.{candidates}"):
        world.step(np.array([range(size), [*range(size - 1), candidates]]))
    with pytest.raises(ValueError, match=rf"actions must have shape \(2, {size}\), got \(1, {size + 1}\)"):
        world.step(np.arange(size + 1)[None])
