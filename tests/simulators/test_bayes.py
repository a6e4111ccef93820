"""Agents who know the law: their posterior, their slates and what they earn."""

import numpy as np
import pytest

from meta.errors import InputError
from simulators.agents.bayes_greedy import BayesGreedy
from simulators.agents.oracle import Oracle
from simulators.agents.particles import Particles, systematic
from simulators.agents.plan import Plan
from simulators.agents.planning_oracle import PlanningOracle
from simulators.agents.port import Agent
from simulators.agents.posterior_thompson import PosteriorThompson
from simulators.agents.slate import best_slate
from simulators.drifting_taste import DriftingTaste
from simulators.interest_exploration import InterestExploration
from simulators.law import told
from simulators.run import run


def chance(world: InterestExploration, affinity: float, row: int) -> float:
    """Of a click on a document that is shown alone."""
    odds = np.exp(affinity + world.documents[row, -1] - 5.0)
    return float(odds / (1 + odds))


def test_a_click_weighs_two_types_by_bayes_rule() -> None:
    """Two types without spread: a click on topic 0, then none on topic 1, by hand (too little to be resampled)."""
    world = InterestExploration(1, topics=2, affinity_std=0.0, slate_size=1)
    own, other = np.exp([1.4, 0.1])
    particles = Particles(world, 1, 60, 2_000, np.random.default_rng(0))
    first = particles.minds[0, :, 0] > particles.minds[0, :, 1]
    liked, left = (int(np.flatnonzero(world.documents[:, j] == 1)[0]) for j in (0, 1))
    particles.see(np.array([[left]]), np.array([-1]), np.zeros(1))
    odds = first.sum() / (~first).sum() * (1 - chance(world, other, left)) / (1 - chance(world, own, left))
    np.testing.assert_allclose(odds / (1 + odds), particles.weight[0, first].sum(), rtol=1e-5)
    odds *= chance(world, own, liked) / chance(world, other, liked)
    particles.see(np.array([[liked]]), np.array([0]), np.ones(1))
    likes = particles.minds[0, :, 0] > particles.minds[0, :, 1]
    np.testing.assert_allclose(odds / (1 + odds), particles.weight[0, likes].sum(), atol=0.02)


def test_moves_keep_the_posterior() -> None:
    """After 40 steps that resample and move, types of 300 users have the posterior that their likelihoods give."""
    users = 300
    world = InterestExploration(users, topics=4, affinity_std=0.0)
    particles = Particles(world, users, 60, 400, np.random.default_rng(1))
    observation, _ = world.reset(seed=3)
    minds = world.minds(np.tile(np.arange(4), (users, 1)), np.zeros((users, 4, 4)))
    log = np.zeros((users, 4))
    for _ in range(12):
        slate = observation["candidates"][:, :2]
        observation, reward, _, _, info = world.step(np.tile([0, 1], (users, 1)))
        choice = info["choice"]
        particles.see(slate, choice, reward)
        score = world.pull(minds, slate) + world.documents[slate, -1][:, None] - 5.0
        odds = np.concatenate([np.exp(score), np.ones((users, 4, 1))], 2)
        log += np.log(np.take_along_axis(odds / odds.sum(2, keepdims=True), (choice % 3)[:, None, None], 2)[..., 0])
    expected = np.exp(log) / np.exp(log).sum(1, keepdims=True)
    kinds = particles.minds.argmax(2)
    found = np.stack([(particles.weight * (kinds == kind)).sum(1) for kind in range(4)], 1)
    np.testing.assert_allclose(np.zeros(4), (found - expected).mean(0), atol=0.006)
    np.testing.assert_allclose(expected, found, atol=0.2)


def test_resampling_gives_each_mind_its_share() -> None:
    """Weights 1/2, 1/4, 1/4, 0 make two, one, one and no copies, whatever the draw; users do not mix."""
    weight = np.array([[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 0.0, 1.0]])
    for seed in range(20):
        assert [[0, 0, 1, 2], [3, 3, 3, 3]] == systematic(weight, np.random.default_rng(seed)).tolist()


def test_with_one_possible_mind_it_acts_as_the_oracle() -> None:
    """Where all users have the one taste of their one cluster, planning on the posterior is the planning oracle."""
    arguments = {"clusters": 1, "cluster_share": 1e9}
    expected = run(DriftingTaste(50, **arguments), PlanningOracle(), 5)
    np.testing.assert_array_equal(expected, run(DriftingTaste(50, **arguments), BayesGreedy(3, planning=True), 5))


def test_nothing_is_charged_at_the_last_step() -> None:
    """With one step left the plan shows the greedy slate."""
    world = DriftingTaste(30)
    observation, _ = world.reset(seed=1)
    rows = observation["candidates"]
    weight, odds, worth = np.ones((30, 1)), np.exp(world.appeal(rows))[:, None], world.worth(rows)[:, None]
    expected, _ = best_slate(weight, odds, worth, world.position_cost)
    np.testing.assert_array_equal(expected, Plan(world, 30, 1).slate(weight, odds, worth, rows))
    assert (expected != Plan(world, 30, 40).slate(weight, odds, worth, rows)).any()


def test_knowing_and_planning_pay() -> None:
    """Over 200 users of the drifting world these come in this order, near their known rates."""
    agents: list[Agent] = [PosteriorThompson(80), BayesGreedy(80), Oracle(), BayesGreedy(80, planning=True)]
    earned = [run(DriftingTaste(200), agent, 21).mean() for agent in [*agents, PlanningOracle()]]
    np.testing.assert_allclose([0.244, 0.264, 0.302, 0.331, 0.363], earned, atol=0.015)
    assert sorted(earned) == earned


def test_a_world_without_a_law_is_refused() -> None:
    """The error names the world."""

    class Secret:
        name = "secret"

    with pytest.raises(InputError, match="the world secret does not tell its law"):
        told(Secret())  # type: ignore[arg-type]
