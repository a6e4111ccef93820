"""The world `drifting_taste` against its law."""

import math
from itertools import pairwise

import numpy as np

from simulators.drifting_taste import DriftingTaste


def answered(world: DriftingTaste, slate: list[int], steps: int = 1) -> int:
    """Shows these candidate positions until the first user chooses, at most so many steps; the chosen row."""
    for _ in range(steps):
        observation = world._offer
        choice = world.step(np.tile(slate, (world.num_envs, 1)))[4]["choice"]
        if choice[0] >= 0:
            return int(observation[0, slate[choice[0]]])
    raise AssertionError("nobody chose")


def test_chances_follow_the_law_for_a_fresh_user() -> None:
    """Of two items, the second a quarter of a logit lower for its place, and no choice."""
    world = DriftingTaste(1, slate_size=2)
    world.reset(seed=3)
    slate = np.array([[7, 11]])
    taste = world.taste[0]
    a = [
        float(taste @ world.vector[i] + 0.4 * world.quality[i] + 2 * world.sweetness[i] - 4.5 - 0.25 * k)
        for k, i in enumerate(slate[0])
    ]
    total = 1 + sum(map(math.exp, a))
    np.testing.assert_allclose([[math.exp(x) / total for x in a]], world.chances(slate), rtol=1e-9)


def test_tastes_have_the_stated_length_and_change_once_in_the_stated_days() -> None:
    """All tastes are 7 long; nobody's changes before step 16, everybody's has by step 24, and then it stays."""
    world = DriftingTaste(2_000)
    world.reset(seed=0)
    np.testing.assert_allclose(np.full(2_000, 7.0), np.linalg.norm(world.taste, axis=1))
    actions = np.tile(np.arange(5), (2_000, 1))
    tastes = []
    for _ in range(world.steps):
        tastes.append(world.taste)
        world.step(actions)
    changes = np.array([(a != b).any(1) for a, b in pairwise(tastes)])
    assert [1] * 2_000 == changes.sum(0).tolist()
    day = changes.argmax(0) + 1
    np.testing.assert_array_equal(np.arange(16, 25), np.unique(day))
    np.testing.assert_allclose(20.0, day.mean(), atol=4 * 2.58 / 2_000**0.5)


def test_a_choice_satiates_its_topic_and_tires_of_everything() -> None:
    """One step later the topic has lost .8 * .5 logits and all items 5 * .3 z; another step later .8 and .9 of it."""
    world = DriftingTaste(1, change=None, no_choice=-20.0)  # something is always chosen
    world.reset(seed=1)
    every = np.arange(len(world.quality))[None]
    before = world.appeal(every)
    item = answered(world, [0, 1, 2, 3, 4])
    same = world.topic == world.topic[item]
    lost = 0.8 * 0.5 * same + 5.0 * 0.3 * world.sweetness[item]
    np.testing.assert_allclose(before[0] - lost, world.appeal(every)[0])
    second = answered(world, [0, 1, 2, 3, 4])
    same_again = world.topic == world.topic[second]
    lost = 0.8 * 0.5 * (0.8 * same + same_again) + 5.0 * 0.3 * (0.9 * world.sweetness[item] + world.sweetness[second])
    np.testing.assert_allclose(before[0] - lost, world.appeal(every)[0])


def test_rewards_are_the_share_watched_of_what_was_chosen() -> None:
    """Without noise the reward is the stated sigmoid, and 0 where nothing was chosen."""
    world = DriftingTaste(500, watch_noise=0.0)
    observation, _ = world.reset(seed=2)
    expected = world.worth(observation["candidates"][:, :5])
    _, reward, _, _, info = world.step(np.tile(np.arange(5), (500, 1)))
    choice = info["choice"]
    chosen = np.take_along_axis(expected, np.maximum(choice, 0)[:, None], 1)[:, 0]
    np.testing.assert_allclose(np.where(choice >= 0, chosen, 0.0), reward)


def test_choices_come_as_often_as_their_chances() -> None:
    """The rates of 20,000 users equal the mean chances within four standard errors, at every position."""
    world = DriftingTaste(20_000)
    observation, _ = world.reset(seed=1)
    expected = world.chances(observation["candidates"][:, :5]).mean(0)
    choice = world.step(np.tile(np.arange(5), (20_000, 1)))[4]["choice"]
    found = [(choice == k).mean() for k in range(5)]
    np.testing.assert_allclose(expected, found, atol=4 * 0.5 / 20_000**0.5)


def test_what_is_seen_is_the_truth_with_the_stated_noise() -> None:
    """Over the catalogue features differ from 2 l, q and 2 z - 1 by standard deviations of .1, .3 and 0."""
    world = DriftingTaste(1)
    features = world.catalogue().features
    vector = features[:, :6] - 2 * world.vector
    quality = features[:, 6] - world.quality
    np.testing.assert_allclose([0.1, 0.3], [vector.std(), quality.std()], rtol=0.08)
    np.testing.assert_allclose(2 * world.sweetness - 1, features[:, 7], atol=1e-6)
    np.testing.assert_array_equal(world.topic, features[:, 8:].argmax(1))
