"""The world `interest_exploration` against its law."""

import math

import numpy as np
import pytest

from simulators.interest_exploration import InterestExploration


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
