"""What earnings come to: levels, regret and recovery of rewards made by hand."""

import numpy as np

from simulators.earnings import Earnings


def test_late_reward_counts_from_step_forty() -> None:
    """Nothing before step 40 and everything after: late 1, overall a third."""
    rewards = np.zeros((1, 2, 60))
    rewards[:, :, 40:] = 1.0
    earned = Earnings("x", rewards)
    assert 1.0 == earned.late.value
    np.testing.assert_allclose(1 / 3, earned.overall.value)


def test_short_episodes_are_late_in_their_last_third() -> None:
    """Of nine steps the last three."""
    assert 7.0 == Earnings("x", np.arange(9.0)[None, None]).late.value


def test_regret_is_paired_by_user() -> None:
    """An oracle that earns .25 more of everybody: the regret is .25 without a doubt, though users differ."""
    earned = Earnings("x", np.repeat([[[0.0], [1.0]]], 4, 2))
    regret = earned.less_than(Earnings("oracle", earned.reward + 0.25))
    np.testing.assert_allclose([0.25, 0.25, 0.25], [regret.value, regret.low, regret.high], atol=1e-12)


def changed() -> Earnings:
    """Users who change at steps 10 and 6, of 20: 1 before, 0 for five steps, .5 and .7 for three, then 0."""
    reward = np.zeros((1, 2, 20))
    for user, (change, back) in enumerate(((10, 0.5), (6, 0.7))):
        reward[0, user, change - 5 : change] = 1.0
        reward[0, user, change + 5 : change + 8] = back
    return Earnings("x", reward, np.array([10, 6]))


def test_recovery_looks_at_each_users_own_change() -> None:
    """The level is 1 before and .6 from the fifth to the seventh step after: nothing outside these windows counts."""
    found = changed()
    assert found.before is not None
    assert found.recovery is not None
    np.testing.assert_allclose([1.0, 0.6], [found.before.value, found.recovery.value])
    np.testing.assert_allclose(1.96 * 0.1, found.recovery.half)


def test_users_who_never_change_or_too_late_say_nothing_of_recovery() -> None:
    """A third user changes past the end, a fourth too late for the second window: both are left out."""
    two = changed()
    reward = np.concatenate([two.reward, np.full((1, 2, 20), 9.0)], 1)
    four = Earnings("x", reward, np.array([10, 6, 20, 13]))
    assert two.recovery == four.recovery


def test_where_no_taste_changes_there_is_no_recovery() -> None:
    """Neither a world without change nor one whose users change past the end has the figure."""
    for change in (None, np.array([20, 20])):
        earned = Earnings("x", np.ones((1, 2, 20)), change)
        assert (None, None) == (earned.before, earned.recovery)
