"""The worlds of RecoGym's own package."""

import numpy as np

from simulators.agents.oracle import Oracle
from simulators.agents.port import Agent
from simulators.agents.random import Random
from simulators.recogym import FLIPS, RecoGym
from tests.simulators.packages import needs

pytestmark = needs("recogym")


def meet(world: RecoGym, agent: Agent, seed: int) -> tuple[float, float]:
    """Click rate of the advertisements that one episode shows, and its standard error over users."""
    agent.begin(world, seed)
    observation, _ = world.reset(seed=seed)
    clicks, shown = np.zeros(world.num_envs), np.zeros(world.num_envs)
    for _ in range(world.steps):
        shown += ~world.browsing
        observation, reward, *_ = world.step(agent.act(observation["candidates"]))
        clicks += reward.round()
    rate = clicks.sum() / shown.sum()
    return rate, float((clicks - rate * shown).std() / len(clicks) ** 0.5 / shown.mean())


def test_click_rates_are_those_known() -> None:
    """Over 200 users random .0108 and oracle .0237, as measured elsewhere, within three standard errors."""
    for agent, expected in ((Random(), 0.0108), (Oracle(), 0.0237)):
        rate, error = meet(RecoGym(200), agent, 1)
        np.testing.assert_allclose(expected, rate, atol=3 * error)


def test_users_begin_in_the_shop_and_a_page_is_shown_whatever_is_done() -> None:
    """At first a page is all that is on offer; it is chosen at any position, and earns 1e-6."""
    world = RecoGym(40)
    rows = world.reset(seed=0)[0]["candidates"]
    assert world.browsing.all()
    assert 50 <= rows.min() <= rows.max() < 100
    assert [1] * 40 == [len(set(offer)) for offer in rows.tolist()]
    _, reward, _, _, info = world.step(np.arange(40)[:, None])
    assert ([0] * 40, [1e-6] * 40) == (info["choice"].tolist(), reward.tolist())


def test_elsewhere_every_advertisement_is_on_offer_and_a_click_leads_back() -> None:
    """The offer is rows 0..49, a choice earns 1 and only a choice does, and whoever clicked looks at a page next."""
    world = RecoGym(300)
    observation, _ = world.reset(seed=1)
    for _ in range(30):
        elsewhere = ~world.browsing
        offers = observation["candidates"][elsewhere]
        np.testing.assert_array_equal(np.tile(np.arange(50), (len(offers), 1)), offers)
        observation, reward, _, _, info = world.step(np.full((300, 1), 34))
        clicked = elsewhere & (info["choice"] == 0)
        np.testing.assert_array_equal(np.where(elsewhere, clicked, 1e-6), reward)
        assert world.browsing[clicked].all()


def test_clicks_come_as_often_as_their_chances() -> None:
    """Over 15,000 steps clicks are as many as the sum of their chances, in four standard errors."""
    world = RecoGym(200)
    observation, _ = world.reset(seed=2)
    expected = clicks = 0.0
    for step in range(75):
        actions = np.full((200, 1), step % 50)
        appeal = world.appeal(np.take_along_axis(observation["candidates"], actions, 1))[:, 0]
        expected += (~world.browsing / (1.0 + np.exp(-appeal))).sum()
        observation, reward, *_ = world.step(actions)
        clicks += reward.round().sum()
    np.testing.assert_allclose(expected, clicks, atol=4 * expected**0.5)


def test_users_leave_as_often_as_the_package_says() -> None:
    """With a chance of .05 after each event, .358 of 600 users are there after 20, in four standard errors."""
    world = RecoGym(600, steps=21, prob_leave=0.05)
    world.reset(seed=4)
    found = [world.step(np.zeros((600, 1), int))[4]["active"].mean() for _ in range(21)]
    np.testing.assert_allclose(0.95**20, found[-1], atol=4 * (0.23 / 600) ** 0.5)


def test_flips_swap_advertisements_and_leave_pages() -> None:
    """With 25 flips the fifty advertisements of one user have the same rates as without, most at another's place."""
    plain, flipped = RecoGym(1), FLIPS(1)
    rows = np.arange(50)[None]
    first, second = plain.reset(seed=3)[0]["candidates"], flipped.reset(seed=3)[0]["candidates"]
    np.testing.assert_array_equal(first, second)
    before, after = plain.appeal(rows)[0], flipped.appeal(rows)[0]
    np.testing.assert_allclose(np.sort(before), np.sort(after))
    assert (before != after).mean() > 0.9
