"""Meeting users, and the table and picture of what was earned."""

from pathlib import Path

import numpy as np

from simulators import picture
from simulators.agents.oracle import Oracle
from simulators.agents.port import Agent
from simulators.agents.random import Random
from simulators.drifting_taste import DriftingTaste
from simulators.earnings import Earnings
from simulators.interest_exploration import InterestExploration
from simulators.run import meet, run
from simulators.summary import printable, summarise


def test_everybody_meets_the_same_users() -> None:
    """The same seed gives the same users, so that agents are compared on them."""
    worlds = [InterestExploration(30) for _ in range(2)]
    agents: tuple[Agent, ...] = (Random(), Oracle())
    for world, agent in zip(worlds, agents, strict=True):
        run(world, agent, 4)
    rows = np.tile(np.arange(100), (30, 1))
    np.testing.assert_array_equal(worlds[0].appeal(rows), worlds[1].appeal(rows))


def test_users_of_several_seeds_follow_each_other() -> None:
    """Two trainings meet the users of seeds 4 and 5, who are those that each seed brings alone."""
    together = meet(DriftingTaste(6), [Random(), Random()], [4, 5])
    alone = [meet(DriftingTaste(6), [Random()], [seed]) for seed in (4, 5)]
    np.testing.assert_array_equal(together.reward[1], np.concatenate([each.reward[0] for each in alone]))
    assert together.change is not None
    np.testing.assert_array_equal(
        together.change, np.concatenate([each.change for each in alone if each.change is not None])
    )


def test_a_row_leaves_out_steps_past_the_end() -> None:
    """Of steps 0, 2 and 5 an episode of three has two."""
    row = summarise(Earnings("x", np.array([[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]])), steps=(0, 2, 5))
    assert ((0, 2), 2, 1, None, None) == (row.steps, row.users, row.trainings, row.regret, row.recovery)
    assert [0.5, 0.5] == [mean.value for mean in row.by_step]


def test_cells_are_means_above_half_their_intervals() -> None:
    """Nothing before step 40 and 1 from there on, beside an oracle that earns .25 more at every step."""
    rewards = np.zeros((1, 2, 60))
    rewards[:, :, 40:] = 1.0
    cells = printable(summarise(Earnings("x", rewards), Earnings("oracle", rewards + 0.25)))
    expected = {"agent": "x", "0": ".00\n±.00", "40 on": "1.000\n±.000", "all": ".333\n±.000", "regret": ".250\n±.000"}
    assert expected == {name: cells[name] for name in expected}
    assert "-.250\n±.000" == printable(summarise(Earnings("x", rewards), Earnings("o", rewards - 0.25)))["regret"]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    """Four panels of two agents: the file begins with PNG's signature."""
    path = tmp_path / "new" / "curve.png"
    agents = [Earnings("a", np.random.default_rng(0).random((3, 5, 12))), Earnings("b", np.ones((1, 5, 12)))]
    picture.draw({str(panel): agents for panel in range(4)}, path)
    assert b"\x89PNG\r\n\x1a\n" == path.read_bytes()[:8]
