"""The best ranking that is the same for everyone."""

import numpy as np

from simulators.agents.best_constant import BestConstant, item_scores
from simulators.agents.practice import Answers
from simulators.agents.quality import Quality
from simulators.drifting_taste import DriftingTaste
from simulators.interest_exploration import InterestExploration
from simulators.run import run


def test_scores_are_expectations_corrected_by_a_shrunk_surprise() -> None:
    """Item 0 earns 1 and item 1 earns 0 in four showings, expected 1/2: spread 3/16, noise 1/4, so 3/4 of it."""
    slate = np.tile([[0, 1]], (1, 4, 1))
    answers = Answers(slate, np.tile([[1.0, 0.0]], (1, 4, 1)), np.ones((1, 4), bool))
    np.testing.assert_allclose([0.875, 0.125, 0.5], item_scores(np.full(3, 0.5), answers))


def test_who_had_left_says_nothing() -> None:
    """Showings to users who are gone are not counted: without any surprise scores are as expected."""
    slate = np.tile([[0, 1]], (1, 4, 1))
    active = np.array([[True, True, False, False]])
    answers = Answers(slate, np.where(active[..., None], 0.5, 0.0) * np.ones((1, 4, 2)), active)
    earned = answers.earned + np.array([0.1, -0.1, 0.0, 0.0])[None, :, None]
    found = item_scores(np.full(2, 0.5), Answers(slate, earned, active))
    np.testing.assert_allclose([0.5, 0.5], found)


def test_it_is_not_below_quality() -> None:
    """Over 400 users of both worlds it earns what ranking by quality earns, to .012, without being told of quality."""
    for world in (InterestExploration, DriftingTaste):
        expected = run(world(400), Quality(), 51).mean()
        np.testing.assert_allclose(expected, run(world(400), BestConstant(), 51).mean(), atol=0.012)
