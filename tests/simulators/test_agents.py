"""The agents that policies are compared with."""

from typing import Any

import numpy as np
import pytest

from simulators import OWN
from simulators.agents import beside
from simulators.agents.beta_thompson import BetaThompson
from simulators.agents.oracle import Oracle
from simulators.agents.port import Agent
from simulators.agents.quality import Quality
from simulators.agents.random import Random
from simulators.interest_exploration import InterestExploration
from simulators.run import run

ALL: list[type[Any]] = [Random, Quality, BetaThompson, Oracle]


def test_knowing_more_earns_more() -> None:
    """Over 400 users random, quality, Thompson sampling and oracle come in this order, near their known rates."""
    agents: list[Agent] = [make() for make in ALL]
    earned = [run(InterestExploration(400), agent, 11).mean() for agent in agents]
    np.testing.assert_allclose([0.296, 0.345, 0.605, 0.740], earned, atol=0.025)
    assert sorted(earned) == earned


@pytest.mark.parametrize("make", ALL)
def test_agents_show_distinct_candidates(make: type[Any]) -> None:
    """Every slate holds two different positions of the offer."""
    world, agent = InterestExploration(50), make()
    agent.begin(world, 0)
    observation, _ = world.reset(seed=0)
    slate = agent.act(observation["candidates"])
    assert (50, 2) == slate.shape
    assert (slate[:, 0] != slate[:, 1]).all()
    assert 0 <= slate.min() <= slate.max() < 20


@pytest.mark.parametrize("make", ALL)
def test_twin_seeds_give_twin_runs(make: type[Any]) -> None:
    """An agent used twice forgets its first users and repeats itself."""
    agent = make()
    first = run(InterestExploration(20), agent, 2)
    np.testing.assert_array_equal(first, run(InterestExploration(20), agent, 2))


def test_quality_shows_the_best_quality() -> None:
    """Of three documents it shows the two of the best quality, best first."""
    world, agent = InterestExploration(1), Quality()
    agent.begin(world, 0)
    rows = np.argsort(world.documents[:, -1])[[10, 5000, 9000]]
    assert [[2, 1]] == agent.act(rows[None]).tolist()


def test_thompson_sampling_learns_the_clicked_topic() -> None:
    """After 200 clicks on one topic, and none on the other beside it, only that topic is shown."""
    world, agent = InterestExploration(1), BetaThompson()
    agent.begin(world, 0)
    topic = world.documents[:, :-1].argmax(1)
    liked, other = np.flatnonzero(topic == 2), np.flatnonzero(topic == 5)
    for _ in range(200):
        agent.see(np.array([[liked[0], other[0]]]), np.array([0]), np.ones(1))
    rows = np.concatenate([other[:18], liked[:2]])[None]
    assert {18, 19} == set(agent.act(rows)[0].tolist())


def test_a_world_lists_who_can_be_met_in_it() -> None:
    """Thompson sampling over topics is met where features are topics and quality; all our worlds have both ends."""
    names = {name: [agent.name for agent in beside(world(3))] for name, world in OWN.items()}
    assert "beta thompson" in names["interest_exploration"]
    assert "beta thompson" not in names["drifting_taste"]
    assert {("random", "oracle")} == {(listed[0], listed[-1]) for listed in names.values()}
