"""Summing up what agents earned."""

from pathlib import Path

import numpy as np

from simulators import picture
from simulators.agents.oracle import Oracle
from simulators.agents.port import Agent
from simulators.agents.random import Random
from simulators.interest_exploration import InterestExploration
from simulators.run import printable, run, summarise


def test_everybody_meets_the_same_users() -> None:
    """The same seed gives the same users, so that agents are compared on them."""
    worlds = [InterestExploration(30) for _ in range(2)]
    agents: tuple[Agent, ...] = (Random(), Oracle())
    for world, agent in zip(worlds, agents, strict=True):
        run(world, agent, 4)
    rows = np.tile(np.arange(100), (30, 1))
    np.testing.assert_array_equal(worlds[0].appeal(rows), worlds[1].appeal(rows))


def test_means_and_intervals_by_hand() -> None:
    """Two users who earn 0 and 1 at each step: mean .5, half an interval 1.96 sqrt(.5 / 2)."""
    row = summarise("x", np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]), steps=(0, 2, 5))
    assert (0, 2) == row.steps
    assert 0.5 == row.overall.value == row.late.value == row.by_step[1].value
    np.testing.assert_allclose(0.98, row.overall.high - row.overall.value)
    np.testing.assert_allclose(0.98, row.overall.value - row.overall.low)


def test_late_reward_counts_from_step_forty() -> None:
    """Nothing before step 40 and everything after: late 1, overall a third."""
    rewards = np.zeros((2, 60))
    rewards[:, 40:] = 1.0
    row = summarise("x", rewards)
    assert 1.0 == row.late.value
    np.testing.assert_allclose(1 / 3, row.overall.value)
    assert "1.000\n±.000" == printable(row)["40 on"]
    assert ".333\n±.000" == printable(row)["all"]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    """The file begins with PNG's signature."""
    path = tmp_path / "new" / "curve.png"
    picture.draw({"a": np.random.default_rng(0).random((5, 12)), "b": np.ones((5, 12))}, path)
    assert b"\x89PNG\r\n\x1a\n" == path.read_bytes()[:8]
