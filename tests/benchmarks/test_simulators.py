"""The report of all worlds, from earnings made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import simulator_claims, simulators
from benchmarks.simulator_findings import Findings, Part, printable, told
from benchmarks.simulator_questions import QUESTIONS, Question, Recipe
from meta.errors import InputError
from simulators.earnings import Earnings

USERS = np.repeat([[[0.1], [0.3], [0.5], [0.7]]], 40, 2)
"""Four users who earn .4 on average, the same at each of 40 steps."""
CHANGE = np.full(4, 20)


def earned(agent: str, more: float, trainings: int = 1) -> Earnings:
    """What an agent earns who gets so much more of every user at every step."""
    return Earnings(agent, np.repeat(USERS + more, trainings, 0), CHANGE)


def claim(name: str, **found: object) -> tuple[float | None, bool]:
    """Value and standing of the one claim whose name begins so."""
    known = {"earned": {}, "served": {}, "speed": None, "cpu": None, **found}
    (one,) = [each for each in simulator_claims.of(**known) if each.name.startswith(name)]  # type: ignore[arg-type]
    return one.value, one.holds


def test_what_was_not_measured_does_not_hold() -> None:
    """Every claim is there without any finding, with no value, and none holds."""
    claims = simulator_claims.of({}, {}, None, None)
    assert {None} == {each.value for each in claims}
    assert not any(each.holds for each in claims)


def test_levels_are_means() -> None:
    """.4 of everybody is above .29."""
    worlds = {"drifting_taste": {"maml": earned("maml", 0.0)}}
    claims = simulator_claims.of(worlds, {}, None, None)
    (level,) = [each for each in claims if each.name == "drifting_taste: reward a step"]
    np.testing.assert_allclose(0.4, level.value)
    assert level.holds


def test_overlapping_intervals_do_not_count_as_above() -> None:
    """Users differ so much that .1 more a step leaves the intervals one over the other, and 2 more apart."""
    name = "drifting_taste: lower end of reward a step above the upper end of linucb's"
    for more, apart in ((0.1, False), (2.0, True)):
        worlds = {"drifting_taste": {"maml": earned("maml", more), "linucb": earned("linucb", 0.0)}}
        assert apart == claim(name, earned=worlds)[1]


def test_below_session_is_judged_by_user() -> None:
    """.001 less of every user is below beyond doubt, though users differ by far more; before the change too."""
    for more, holds in ((-0.001, False), (0.0, True)):
        worlds = {"drifting_taste": {"maml": earned("maml", more, 3), "session": earned("session", 0.0)}}
        for when in ("by user", "in the 5 steps before"):
            assert holds == claim(f"drifting_taste: reward a step above session {when}", earned=worlds)[1]


def test_the_service_is_held_against_the_same_policy_in_process() -> None:
    """The same rewards are not apart; .2 less of everybody are, by .2."""
    name = "drifting_taste: reward a step through gRPC"
    same, less = earned("served", 0.0), earned("served", -0.2)
    assert (0.0, True) == claim(name, served={"drifting_taste": (same, earned("maml", 0.0), 500.0)})
    value, holds = claim(name, served={"drifting_taste": (less, earned("maml", 0.0), 500.0)})
    np.testing.assert_allclose(0.2, value)
    assert not holds


def test_trainings_of_one_recipe_are_one_row_by_seed() -> None:
    """Parts that ended out of order are put into the order of their seeds, recipes before the others."""
    question = Question("drifting_taste", 4, (Recipe("maml", "maml", 1.0, (0, 1)),))
    parts = [Part("drifting_taste", earned("random", 9.0))]
    parts += [Part("drifting_taste", earned("maml", float(seed)), 60.0, 100, seed) for seed in (1, 0)]
    found = Findings([question], parts).earned(question)
    assert ["maml", "random"] == list(found)
    np.testing.assert_allclose([0.4, 1.4], found["maml"].reward.mean((1, 2)))


def test_the_document_says_what_is_missing_and_what_a_training_took() -> None:
    """Rows carry seeds, CPU seconds and iterations; what failed is listed."""
    question = Question("drifting_taste", 4, (Recipe("maml", "maml", 1.0),))
    part = Part("drifting_taste", earned("maml", 0.0), 60.0, 100, 0)
    found = Findings([question], [part], [{"what": "x", "why": "y"}])
    result = told(found, 1.0, 7)
    (row,) = result["rows"]
    assert ([0], [60.0], [100], "drifting_taste") == (
        row["seeds"], row["training_cpu_seconds"], row["iterations"], row["world"],
    )  # fmt: skip
    assert ([{"what": "x", "why": "y"}], 7) == (result["missing"], result["test_seed"])
    (cells,) = printable(result)["drifting_taste"]
    assert ("maml", "1", "4", "0.400 ±0.253", "-") == tuple(
        cells[name] for name in ("agent", "seeds", "users", "overall", "regret")
    )


def test_policies_meet_the_world_that_they_stand_in_for_after_their_training() -> None:
    """Everyone who is trained in interest_exploration is met in the package's world too; each world has its others."""
    jobs = simulators.plan(QUESTIONS, Path("policies"), 0)
    names = [job.name for job in jobs]
    assert {f"{question.world}, the others" for question in QUESTIONS} <= set(names)
    follow = {job.name: [other.name for other in job.then] for job in jobs}
    assert ["recsim_interest_exploration, maml 2"] == follow["interest_exploration, maml 2"]
    assert [] == follow["drifting_taste, maml 2"]


def test_users_of_a_log_need_one() -> None:
    """Without a log the world is not built, so its rows are missing with this reason."""
    with pytest.raises(InputError, match="give --movielens"):
        Question("fitted", 4).among(4)
