"""The verdict on a policy, from rewards made by hand."""

import numpy as np
import pytest

from meta.errors import InputError
from simulators.earnings import Earnings
from simulators.verdict import Bars, judge

USERS = np.repeat([[[0.0], [0.5], [1.0]]], 10, 2)
"""Three users who earn 0, .5 and 1 at every step."""


def test_as_good_as_everybody_else_passes() -> None:
    """Equal rewards are no worse, and the sentence says what was held against whom."""
    others = {name: Earnings(name, USERS) for name in ("quality", "frozen", "random")}
    verdict = judge(Earnings("maml", USERS), others, Bars())
    assert verdict.passed
    assert (
        "PASS: maml is not worse than quality (0.000 ±0.000 a step more, by user), "
        "not worse than frozen (0.000 ±0.000 a step more, by user)"
    ) == str(verdict)


def test_below_frozen_beyond_the_interval_fails_and_says_so() -> None:
    """.1 less of every user leaves no doubt; the bar that holds is not in the sentence."""
    others = {"frozen": Earnings("frozen", USERS + 0.1), "quality": Earnings("quality", USERS)}
    verdict = judge(Earnings("maml", USERS), others, Bars())
    assert not verdict.passed
    assert "FAIL: maml is worse than frozen (-0.100 ±0.000 a step more, by user)" == str(verdict)


def test_below_within_the_interval_passes() -> None:
    """Users lose .3, gain .2 and are as before: -.03 on average, which may be chance."""
    other = USERS + np.array([[[0.3], [-0.2], [0.0]]])
    verdict = judge(Earnings("maml", USERS), {"quality": Earnings("quality", other)}, Bars())
    assert verdict.bars[0].found.value < 0.0
    assert verdict.passed


def test_no_knowledge_of_random_or_oracle_fails_a_policy() -> None:
    """Only those that show everybody the same are floors."""
    assert () == judge(Earnings("maml", USERS), {"oracle": Earnings("oracle", USERS + 1)}, Bars()).bars


@pytest.mark.parametrize(("bar", "passed"), [(0.5, True), (0.51, False)])
def test_levels_are_compared_with_means(bar: float, passed: bool) -> None:
    """.5 reaches .5 and not .51."""
    verdict = judge(Earnings("maml", USERS), {}, Bars(at_least=bar))
    assert passed == verdict.passed
    assert f"below {bar:g} (0.500 ±0.566 a step)" in str(verdict)


def test_recovery_is_a_bar_where_tastes_change() -> None:
    """Half of the level is back: .5 is reached, .6 is not, and both figures are told."""
    reward = np.concatenate([np.ones((1, 2, 6)), np.full((1, 2, 14), 0.5)], 2)
    earned = Earnings("maml", reward, np.array([6, 6]))
    assert judge(earned, {}, Bars(recovery=0.5)).passed
    assert ("FAIL: maml is below 0.6 of its level 5 steps after a change of taste (0.500 ±0.000 back)") == str(
        judge(earned, {}, Bars(recovery=0.6))
    )


def test_recovery_where_no_taste_changes_is_refused() -> None:
    """The sentence says what to do."""
    with pytest.raises(InputError, match="leave it out"):
        judge(Earnings("maml", USERS), {}, Bars(recovery=0.5))
