"""A budget of wall time: how many iterations fit into it, decided once, before the first of them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace

from meta.errors import InputError

PLANNED = 0.9
"""Share of the time that is planned with; the rest is for machines that slow down."""


class BudgetError(InputError):
    """A budget in which nothing can be learnt."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Wall time that a training may take, counted from when the budget is made.

    Schedules never look at the clock: the clock decides a number of iterations, and that number the result.

    Args:
        minutes: above 0; infinity is no limit.
        begun: seconds on the monotonic clock.

    Raises:
        BudgetError: for minutes of 0 or less, or that are no number.
    """

    minutes: float = math.inf
    begun: float = field(default_factory=lambda: time.monotonic())

    def __post_init__(self) -> None:
        if not self.minutes > 0.0:
            raise BudgetError(f"minutes must be above 0, got {self.minutes}")

    @property
    def limited(self) -> bool:
        """Whether there is a limit at all."""
        return math.isfinite(self.minutes)

    @property
    def left(self) -> float:
        """Seconds, negative when overdrawn."""
        return 60.0 * self.minutes - self.spent

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self.begun

    @property
    def overdrawn(self) -> bool:
        """Whether more than a twentieth over the budget is spent: the machine has slowed down since it was measured."""
        return self.spent > 1.05 * 60.0 * self.minutes

    def after(self, seconds: float) -> Budget:
        """The same budget with seconds that an earlier process has spent of it."""
        return replace(self, begun=self.begun - seconds)

    def fitting(self, iterations: int, seconds: float, beside: float = 0.0, least: int = 1) -> int:
        """How many iterations fit, `iterations` at most.

        Args:
            iterations: wanted.
            seconds: that one takes.
            beside: seconds that are needed whatever the number.
            least: fewer are not worth a training.

        Raises:
            BudgetError: not even the least fit.
        """
        if not self.limited:
            return iterations
        used = self.spent
        fit = int((PLANNED * 60.0 * self.minutes - used - beside) / seconds)
        least = min(least, iterations)
        if fit < least:
            needed = (used + beside + least * seconds) / PLANNED / 60.0
            raise BudgetError(
                f"minutes must be at least {math.ceil(10 * needed) / 10:.1f} for {least} iterations of this training "
                f"on this machine, got {self.minutes:g}"
            )
        return min(iterations, fit)


class Pace:
    """Seconds an iteration, from when the pace is made.

    Args:
        done: iterations that were over by then.
    """

    def __init__(self, done: int = 0) -> None:
        self._done, self._begun = done, time.monotonic()

    def seconds(self, iteration: int) -> float:
        """The mean so far, after this iteration, which must be past `done`."""
        return (time.monotonic() - self._begun) / (iteration - self._done)
