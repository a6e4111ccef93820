"""What agents may know of a world's law, against what the world does."""

import numpy as np
import pytest

from simulators import OWN
from simulators.drifting_taste import DriftingTaste
from simulators.interest_exploration import InterestExploration
from simulators.law import KnownLaw, draw


@pytest.mark.parametrize("name", [name for name, world in OWN.items() if isinstance(world(1), KnownLaw)])
def test_whoever_sees_choices_knows_how_weary_users_are(name: str) -> None:
    """Differences of appeal after ten steps are those of a fresh twin, less what the law takes off for the choices."""
    world, fresh = OWN[name](30), OWN[name](30)
    world.reset(seed=2)
    fresh.reset(seed=2)
    slate = np.tile(np.arange(world.slate_size), (30, 1))
    weariness = world.rested(30)
    for _ in range(10):
        shown = np.take_along_axis(world._offer, slate, 1)
        choice = world.step(slate)[4]["choice"]
        weariness = world.tire(weariness, np.where(choice < 0, -1, shown[np.arange(30), choice]))
    rows = np.tile(np.arange(100), (30, 1))
    expected = fresh.appeal(rows) + world.offset(weariness, rows) - world.offset(world.rested(30), rows)
    np.testing.assert_allclose(expected, world.appeal(rows), atol=1e-9)


def test_chances_of_change_make_the_day_uniform() -> None:
    """Nobody changes before step 16; each of the days 16..24 is as likely as any other; nobody is left for day 25."""
    world, steady = DriftingTaste(1), DriftingTaste(1, change=None)
    chances = [world.change(step) for step in range(40)]
    waiting = np.cumprod([1.0, *(1.0 - np.array(chances))])[:-1]
    np.testing.assert_allclose([0.0] * 16 + [1 / 9] * 9 + [0.0] * 15, waiting * chances)
    assert [0.0] * 40 == [steady.change(step) for step in range(40)]


def test_fatigue_costs_what_it_takes_off_later_appeals() -> None:
    """An item of sweetness z costs 5 * .3 z in the next step, .9 of it in the one after, and nothing in the end."""
    world = DriftingTaste(1)
    rows = np.array([[3, 8]])
    z = world.sweetness[[3, 8]]
    np.testing.assert_allclose([1.5 * z], world.aftermath(rows, 1))
    np.testing.assert_allclose([1.5 * z * (1 + 0.9 + 0.81)], world.aftermath(rows, 3))
    np.testing.assert_allclose([0.0 * z], world.aftermath(rows, 0))


def test_watched_shares_tell_taste() -> None:
    """Log odds of the share watched are normal: two tastes differ in density as two normal laws of spread .5 do."""
    world = DriftingTaste(1)
    pull = np.array([[1.0, 3.0]])
    means = 0.35 * pull[0] + 0.3 * world.quality[4] - 0.5
    first, second = -0.5 * ((np.log(0.7 / 0.3) - means) / 0.5) ** 2
    found = world.outcome(pull, np.array([4]), np.array([0.7]))[0]
    np.testing.assert_allclose(first - second, found[0] - found[1])


def test_kinds_come_equally_often_and_numbers_are_normal() -> None:
    """Of 80,000 users an eighth is of each type, and the numbers have mean 0 and spread 1, in four standard errors."""
    kind, noise = draw(InterestExploration(1), (80_000,), np.random.default_rng(0))
    np.testing.assert_allclose(np.full(8, 0.125), np.bincount(kind) / 80_000, atol=4 * (0.11 / 80_000) ** 0.5)
    np.testing.assert_allclose([np.zeros(8), np.ones(8)], [noise.mean(0), noise.std(0)], atol=4 / 80_000**0.5)
