"""The worlds of RecSim's own package."""

import numpy as np

from simulators import foreign
from simulators.agents.oracle import Oracle
from simulators.agents.quality import Quality
from simulators.agents.random import Random
from simulators.choice import probabilities
from simulators.recsim_evolution import RecSimInterestEvolution
from simulators.recsim_exploration import DEFAULTS, RecSimInterestExploration
from simulators.run import run
from tests.simulators.packages import needs

pytestmark = needs("recsim_interest_exploration")


def test_the_defaults_are_the_packages_own() -> None:
    """Two topics in shares .2 and .8, with log qualities about .8 and .2, and two user types."""
    world = DEFAULTS(1)
    assert isinstance(world, RecSimInterestExploration)
    world.reset(seed=0)
    means = [np.log(world.quality[world.topic == topic]).mean() for topic in (0, 1)]
    np.testing.assert_allclose([0.2, 0.8], np.bincount(world.topic) / 10_000, atol=0.016)
    np.testing.assert_allclose([0.8, 0.2], means, atol=0.01)
    assert (2,) == world.users[0].topic_affinity.shape


def test_there_is_no_headroom_by_default() -> None:
    """Over 400 users random, quality and oracle earn their known rates: who knows users gains less than .01."""
    earned = [run(DEFAULTS(400), agent, 6).mean() for agent in (Random(), Quality(), Oracle())]
    np.testing.assert_allclose([0.230, 0.394, 0.396], earned, atol=0.02)
    np.testing.assert_allclose(earned[1], earned[2], atol=0.01)


def test_a_document_shown_twice_draws_no_more_clicks_than_once() -> None:
    """Over 3,000 users the click rate is that of a slate of one, in four standard errors, always in the first place."""
    world = RecSimInterestExploration(3_000)
    rows = world.reset(seed=1)[0]["candidates"][:, :1]
    expected = probabilities(world.appeal(rows), 5.0, np.ones_like(rows, bool)).mean()
    choice = world.step(np.tile([0, 0], (3_000, 1)))[4]["choice"]
    np.testing.assert_allclose(expected, (choice == 0).mean(), atol=4 * 0.5 / 3_000**0.5)
    assert {-1, 0} == set(choice.tolist())


def test_clicks_on_videos_come_as_often_as_their_chances() -> None:
    """Over 3,000 users and both positions, from interests that five steps have moved, in four standard errors."""
    world = RecSimInterestEvolution(3_000)
    rows = world.reset(seed=2)[0]["candidates"]
    actions = np.tile([3, 7], (3_000, 1))
    for _ in range(5):
        rows = world.step(actions)[0]["candidates"]
    slate = np.take_along_axis(rows, actions, 1)
    expected = probabilities(world.appeal(slate), world.no_choice, np.ones_like(slate, bool)).mean(0)
    choice = world.step(actions)[4]["choice"]
    np.testing.assert_allclose(expected, [(choice == 0).mean(), (choice == 1).mean()], atol=4 * 0.5 / 3_000**0.5)


def test_interests_move_only_in_the_topic_that_was_watched() -> None:
    """After one step whoever watched nothing is as before, and the others differ in the watched video's topic."""
    world = RecSimInterestEvolution(50)
    rows = world.reset(seed=3)[0]["candidates"]
    before = np.stack([user.user_interests for user in world.users])
    choice = world.step(np.tile([0, 1], (50, 1)))[4]["choice"]
    moved = np.stack([user.user_interests for user in world.users]) != before
    expected = np.zeros((50, 20), bool)
    watched = np.flatnonzero(choice >= 0)
    expected[watched, world.topic[rows[watched, choice[watched]]]] = True
    np.testing.assert_array_equal(expected, moved)


def test_whoever_has_no_time_left_watches_nothing() -> None:
    """Who has used up 200 minutes has left and earns nothing more; a video watched long before that is worth 1."""
    world = RecSimInterestEvolution(20, steps=200)
    actions = np.tile([0, 1], (20, 1))
    world.reset(seed=4)
    steps = [world.step(actions) for _ in range(200)]
    rewards, ended = np.stack([step[1] for step in steps]), np.stack([step[2] for step in steps])
    assert {0.0, 1.0} == set(rewards[:30].ravel().tolist())
    assert not ended[:30].any()
    assert ended[-2].all()
    assert all(user.time_budget <= 0 for user in world.users)
    assert 0.0 == rewards[1:][ended[:-1]].sum()


def test_random_users_watch_as_long_as_in_the_packages_own_environment() -> None:
    """With fresh videos at every step, as the package makes them, random slates earn the same, in the 95% interval."""
    make = RecSimInterestEvolution.load().create_environment
    config = {"num_candidates": 10, "slate_size": 2, "resample_documents": True}
    theirs = np.zeros((300, 40))
    with foreign.Luck(8):
        for user in range(300):
            environment = make(config | {"seed": user})
            environment.reset()
            theirs[user] = [environment.step([0, 1])[1] for _ in range(40)]
    ours = run(RecSimInterestEvolution(300), Random(), 5).mean(1)
    error = np.sqrt((ours.var(ddof=1) + (theirs / 4.0).mean(1).var(ddof=1)) / 300)
    np.testing.assert_allclose((theirs / 4.0).mean(), ours.mean(), atol=1.96 * error)


def test_who_sees_interests_earns_more() -> None:
    """In minutes a step, four a video, the greedy oracle earns about the 2.49 that were measured elsewhere."""
    np.testing.assert_allclose(2.49, 4.0 * run(RecSimInterestEvolution(400), Oracle(), 5).mean(), atol=0.06)
