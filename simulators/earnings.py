"""What one agent earned of simulated users, step by step, and the figures that this comes to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.types import FloatArray, IntArray
from simulators import intervals
from simulators.intervals import Mean

STEPS = (0, 1, 2, 5, 10, 20, 40)
"""Steps that tables show: the first few, where a new user is hardest, then twice as far each time."""
LATE = 40
"""From this step on a user counts as known."""
BEFORE = (-5, 0)
"""Steps about a change of taste, its own excluded, that say how well a user was known."""
AFTER = (5, 8)
"""Steps from a change of taste that say how well a user is known again, the last one excluded."""


@dataclass(frozen=True, slots=True)
class Earnings:
    """Reward of every user at every step.

    Args:
        agent: its name.
        reward: float [R, B, G], of R trainings of one recipe (1 for who is not trained), each of which met the same B
            users for G steps.
        change: int [B], the first step with a user's new taste, past the end where it stays; None: no taste changes.
    """

    agent: str
    reward: FloatArray
    change: IntArray | None = None

    @property
    def by_user(self) -> FloatArray:
        """Reward a step of each user, [R, B]."""
        means: FloatArray = self.reward.mean(2)
        return means

    @property
    def overall(self) -> Mean:
        """Reward a step over the whole episode."""
        return intervals.mean(self.by_user)

    @property
    def late(self) -> Mean:
        """Reward a step from step `LATE` on (over the last third where episodes are shorter)."""
        return intervals.mean(self.reward[:, :, late_from(self.reward.shape[2]) :].mean(2))

    def at(self, step: int) -> Mean:
        """Reward at one step."""
        return intervals.mean(self.reward[:, :, step])

    def less_than(self, other: Earnings) -> Mean:
        """Reward a step that this agent missed of another's, by user: the regret where the other is the oracle."""
        return intervals.mean(intervals.paired(other.by_user, self.by_user))

    @property
    def before(self) -> Mean | None:
        """Reward a step in the five steps before a user's taste changes; None where none does."""
        about = self.about_change
        return about and intervals.mean(about[0])

    @property
    def recovery(self) -> Mean | None:
        """The level to which a user is known again five steps after their taste has changed, 1 where nothing is lost.

        The mean reward of steps c + 5 .. c + 7 over that of steps c - 5 .. c - 1, c the first step with a user's own
        new taste: a ratio of means over users, by the delta method. Users whose episode does not hold both windows
        are left out; None where nobody is left, or nothing was earned before.
        """
        about = self.about_change
        return None if about is None or not about[0].any() else intervals.ratio(about[1], about[0])

    @property
    def about_change(self) -> tuple[FloatArray, FloatArray] | None:
        """Reward a step in the windows `BEFORE` and `AFTER` of users who have both, two [R, B]; None: nobody has."""
        if self.change is None:
            return None
        (user,) = np.nonzero((self.change + BEFORE[0] >= 0) & (self.change + AFTER[1] <= self.reward.shape[2]))
        if not user.size:
            return None
        windows = [self.change[user, None] + np.arange(*window) for window in (BEFORE, AFTER)]
        before, after = (self.reward[:, user[:, None], steps].mean(2) for steps in windows)
        return before, after


def late_from(steps: int) -> int:
    """The first step at which a user counts as known, in episodes of this length."""
    return LATE if steps > LATE else 2 * steps // 3
