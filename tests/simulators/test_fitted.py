"""The world of a log against its law."""

from dataclasses import replace

import numpy as np
import pytest

from meta.errors import InputError
from simulators.fitted import Fitted
from tests.simulators import populations


def test_chances_follow_the_law() -> None:
    """Of two items, the second half a logit lower for its place; nothing has the logit 1 + log 2."""
    known = populations.population()
    world = Fitted(1, population=known, slate_size=2, position_weight=0.5)
    world.reset(seed=3)
    a = [float(world.taste[0] @ known.item[i] + known.bias[i] - 0.5 * k) for k, i in enumerate((7, 11))]
    total = 2 * np.e + sum(np.exp(a))
    np.testing.assert_allclose([np.exp(a) / total], world.chances(np.array([[7, 11]])))


def test_choices_come_as_often_as_their_chances() -> None:
    """The rates of 20,000 users equal the mean chances within four standard errors, at every position."""
    world = Fitted(20_000, population=populations.population())
    observation, _ = world.reset(seed=1)
    expected = world.chances(observation["candidates"][:, :5]).mean(0)
    choice = world.step(np.tile(np.arange(5), (20_000, 1)))[4]["choice"]
    np.testing.assert_allclose(expected, [(choice == k).mean() for k in range(5)], atol=4 * 0.5 / 20_000**0.5)


def test_an_item_is_chosen_as_often_as_the_log_liked_it() -> None:
    """In 40 random slates of 4,000 users choices by item go with likes in the log: a correlation above .85."""
    world = Fitted(4_000, population=populations.population(), steps=40)
    observation, _ = world.reset(seed=1)
    chosen = np.zeros(len(world.catalogue()))
    for _ in range(40):
        slate = observation["candidates"][:, :5]
        observation, _, _, _, info = world.step(np.tile(np.arange(5), (4_000, 1)))
        there = info["choice"] >= 0
        np.add.at(chosen, slate[there, info["choice"][there]], 1)
    log = populations.log()
    liked = np.bincount(log.item[log.reward > 0], minlength=len(chosen))
    assert np.corrcoef(chosen, liked)[0, 1] > 0.85


def test_rewards_are_what_likes_of_the_chosen_item_earned() -> None:
    """The item's own worth, and 0 where nothing was chosen."""
    known = replace(populations.population(), worth=np.linspace(0.1, 1.0, populations.ITEMS))
    world = Fitted(500, population=known)
    observation, _ = world.reset(seed=2)
    slate = observation["candidates"][:, :5]
    _, reward, _, _, info = world.step(np.tile(np.arange(5), (500, 1)))
    choice = info["choice"]
    expected = [known.worth[slate[u, k]] if k >= 0 else 0.0 for u, k in enumerate(choice)]
    assert {-1, 0, 4} < set(choice.tolist())
    np.testing.assert_allclose(expected, reward)


def test_whoever_is_held_out_is_never_met() -> None:
    """A fifth of the users is held out, and the two parts make up the population."""
    known = populations.population()
    met, held = (Fitted(1, population=known, part=part).tastes for part in ("met", "held_out"))
    assert (320, 80) == (len(met), len(held))
    both = np.concatenate([met, held])
    np.testing.assert_array_equal(np.sort(known.taste[:, 0]), np.sort(both[:, 0]))


def test_items_that_few_liked_are_never_on_offer() -> None:
    """The last three items of the catalogue stay away."""
    world = Fitted(2_000, population=populations.population())
    assert list(range(40)) == np.unique(world.reset(seed=0)[0]["candidates"]).tolist()


def test_a_log_of_likes_only_needs_to_be_told_how_often_nothing_is_chosen() -> None:
    """Without events that are no likes there is no rate of likes; the constant takes its place."""
    known = replace(populations.population(), no_choice=None)
    with pytest.raises(InputError, match=r"every event of the log is a like, .*: give no_choice"):
        Fitted(1, population=known)
    assert 2.5 == Fitted(1, population=known, no_choice=2.5).no_choice


def test_parts_that_are_none_are_named() -> None:
    """An unknown part, and one that holds nobody."""
    known = populations.population()
    with pytest.raises(InputError, match="part must be one of all, met, held_out, got 'test'"):
        Fitted(1, population=known, part="test")
    with pytest.raises(InputError, match=r"part held_out must have at least one of 400 users, got none: .* \(0.0\)"):
        Fitted(1, population=known, part="held_out", held_out=0.0)
