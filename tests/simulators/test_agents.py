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
from simulators.drifting_taste import DriftingTaste
from simulators.interest_exploration import InterestExploration
from simulators.run import run

ALL: list[type[Any]] = [Random, Quality, BetaThompson, Oracle]
MET = {world.name: world for world in (InterestExploration, DriftingTaste)}
LISTED = [(name, place) for name, world in MET.items() for place in range(len(beside(world(1))))]
everyone = pytest.mark.parametrize(("name", "place"), LISTED)


def test_knowing_more_earns_more() -> None:
    """Over 400 users random, quality, Thompson sampling and oracle come in this order, near their known rates."""
    agents: list[Agent] = [make() for make in ALL]
    earned = [run(InterestExploration(400), agent, 11).mean() for agent in agents]
    np.testing.assert_allclose([0.296, 0.345, 0.605, 0.740], earned, atol=0.025)
    assert sorted(earned) == earned


@everyone
def test_agents_show_distinct_candidates(name: str, place: int) -> None:
    """Every slate holds different positions of the offer, at the first step and at the next."""
    world = MET[name](30)
    agent = beside(world)[place]
    agent.begin(world, 0)
    observation, _ = world.reset(seed=0)
    for _ in range(2):
        rows = observation["candidates"]
        slate = agent.act(rows)
        assert (30, world.slate_size) == slate.shape
        assert [world.slate_size] * 30 == [len(set(shown)) for shown in slate.tolist()]
        assert 0 <= slate.min() <= slate.max() < world.candidates
        observation, reward, _, _, info = world.step(slate)
        agent.see(np.take_along_axis(rows, slate, 1), info["choice"], reward)


@everyone
def test_twin_seeds_give_twin_runs(name: str, place: int) -> None:
    """An agent used twice forgets its first users and repeats itself."""
    world = MET[name](20, steps=12)
    agent = beside(world)[place]
    first = run(world, agent, 2)
    np.testing.assert_array_equal(first, run(world, agent, 2))


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
    """Thompson sampling over topics is met where features are topics and quality, planners where choices cost later."""
    names = {name: [agent.name for agent in beside(world(3))] for name, world in OWN.items()}
    assert all(listed[0] == "random" and "oracle" in listed for listed in names.values())
    assert ["interest_exploration"] == [name for name, listed in names.items() if "beta thompson" in listed]
    assert "planning oracle" in names["drifting_taste"]
    assert "planning oracle" not in names["interest_exploration"]
