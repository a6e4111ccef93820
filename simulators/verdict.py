"""Whether a policy may be released, by what it earned of simulated users and bars that were stated before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from meta.errors import InputError
from simulators import intervals
from simulators.earnings import Earnings
from simulators.intervals import Mean

FLOORS = ("quality", "best constant", "frozen")
"""Agents below whom no policy may be: those who show everybody the same, and the policy itself without adaptation."""


@dataclass(frozen=True, slots=True)
class Bars:
    """What is asked beside being no worse than `FLOORS`.

    Args:
        at_least: reward a step over the whole episode; None: nothing.
        recovery: share of the level before a change of taste, see `Earnings.recovery`; None: nothing.
    """

    at_least: float | None = None
    recovery: float | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One condition and what was found.

    Args:
        fault: what must not be.
        found: the figure that decides.
        unit: what `found` counts, for the sentence.
        holds: whether the agent is free of the fault.
    """

    fault: str
    found: Mean
    unit: str
    holds: bool

    def __str__(self) -> str:
        return f"{'not ' * self.holds}{self.fault} ({self.found.value:.3f} ±{self.found.half:.3f} {self.unit})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one agent.

    Args:
        agent: who was judged.
        bars: all that it was held against.
    """

    agent: str
    bars: tuple[Bar, ...]

    @property
    def passed(self) -> bool:
        """Whether every bar is met."""
        return all(bar.holds for bar in self.bars)

    def __str__(self) -> str:
        if self.passed:
            return f"PASS: {self.agent} is " + ", ".join(map(str, self.bars))
        return f"FAIL: {self.agent} is " + " and ".join(str(bar) for bar in self.bars if not bar.holds)


def judge(judged: Earnings, beside: Mapping[str, Earnings], bars: Bars) -> Verdict:
    """Hold an agent against everyone of `FLOORS` who met the same users, and against the levels that are asked.

    An agent is worse than another where the 95% interval of their difference, by user, lies below 0. Levels are
    compared with means, whatever their interval.

    Args:
        judged: who is judged.
        beside: the others by name.
        bars: the levels.

    Raises:
        InputError: a recovery is asked for where no taste changes.
    """
    found = []
    for name in FLOORS:
        if name in beside and name != judged.agent:
            more = intervals.mean(intervals.paired(judged.by_user, beside[name].by_user))
            found.append(Bar(f"worse than {name}", more, "a step more, by user", more.high >= 0.0))
    if bars.at_least is not None:
        earned = judged.overall
        found.append(Bar(f"below {bars.at_least:g}", earned, "a step", earned.value >= bars.at_least))
    if bars.recovery is not None:
        share = judged.recovery
        if share is None:
            raise InputError("a bar for recovery needs a world whose users change their taste; leave it out")
        fault = f"below {bars.recovery:g} of its level 5 steps after a change of taste"
        found.append(Bar(fault, share, "back", share.value >= bars.recovery))
    return Verdict(judged.agent, tuple(found))
