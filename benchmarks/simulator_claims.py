"""What `bench simulators` claims, each claim one figure that the findings give."""

from __future__ import annotations

from collections.abc import Mapping
from math import hypot

from benchmarks.report import Claim
from benchmarks.simulator_questions import DEFAULT
from simulators import intervals
from simulators.earnings import Earnings
from simulators.intervals import Mean

Earned = Mapping[str, Mapping[str, Earnings]]
"""By world and agent."""
HIDDEN = "drifting_taste"
EXPLORED = "interest_exploration"
REAL = "recsim_interest_exploration"
NO_HEADROOM = "recsim_interest_exploration_default"
BEATEN = ("linucb", "linear thompson", "posterior thompson", "bayes greedy", f"{DEFAULT}, gamma 0")
"""Agents of `HIDDEN` whose intervals must lie below the policy's."""


def of(
    earned: Earned, served: Mapping[str, tuple[Earnings, Earnings, float]], speed: float | None, cpu: float | None
) -> list[Claim]:
    """All claims; a figure that was not measured is None, and nothing holds of it.

    Args:
        earned: by world and agent.
        served: by world, through gRPC and in process, and user-steps a second.
        speed: user-steps a second of `HIDDEN` alone.
        cpu: seconds of the longest training in `EXPLORED`.
    """
    return [
        Claim(f"{HIDDEN}: user-steps a second, 4,096 users, random slates, one core", speed, ">=", 1e6),
        *_explored(earned, cpu),
        *_hidden(earned),
        *_harmless(earned),
        *_served(served),
    ]


def _explored(earned: Earned, cpu: float | None) -> list[Claim]:
    """Interest exploration, by our law and by the package."""
    ours, real = _who(earned, EXPLORED, DEFAULT), _who(earned, REAL, DEFAULT)
    apart = None
    if ours and real:
        apart = abs(ours.overall.value - real.overall.value) - hypot(ours.overall.half, real.overall.half)
    return [
        Claim(f"{EXPLORED}: clicks a step over 60 steps", _level(ours), ">=", 0.67),
        Claim(f"{EXPLORED}: CPU seconds of the longest training", cpu, "<=", 120.0),
        Claim(f"{REAL}: clicks a step apart from {EXPLORED} beyond the 95% interval", apart, "<=", 0.0),
    ]


def _hidden(earned: Earned) -> list[Claim]:
    """The taste that drifts: planning, inference, recovery."""
    ours, session = _who(earned, HIDDEN, DEFAULT), _who(earned, HIDDEN, "session")
    back = ours.recovery if ours else None
    known = more(ours, session, before=True) if ours and session else None
    gaps = {name: _gap(ours, _who(earned, HIDDEN, name)) for name in BEATEN}
    return [
        Claim(f"{HIDDEN}: reward a step", _level(ours), ">=", 0.29),
        *(
            Claim(f"{HIDDEN}: lower end of reward a step above the upper end of {name}'s", gap, ">", 0.0)
            for name, gap in gaps.items()
        ),
        Claim(
            f"{HIDDEN}: share of the level before, 5 steps after the change", back.value if back else None, ">=", 0.85
        ),
        Claim(
            f"{HIDDEN}: reward a step above session in the 5 steps before the change, by user, upper end",
            known.high if known else None, ">=", 0.0,
        ),
    ]  # fmt: skip


def _harmless(earned: Earned) -> list[Claim]:
    """Adaptation never hurts: not beside history features, nor where there is nothing to adapt to.

    Intervals know of other trainings only where a row has several seeds.
    """
    claims = []
    for world, name in [*((world, "session") for world in earned), (NO_HEADROOM, "quality")]:
        ours, other = _who(earned, world, DEFAULT), _who(earned, world, name)
        above = more(ours, other) if ours and other else None
        what = f"{world}: reward a step above {name} by user, upper end of the 95% interval"
        claims.append(Claim(what, above.high if above else None, ">=", 0.0))
    return claims


def _served(served: Mapping[str, tuple[Earnings, Earnings, float]]) -> list[Claim]:
    """The service shows what the policy shows in process, and fast."""
    claims = []
    for world in (HIDDEN, EXPLORED):
        through, inside, rate = served.get(world, (None, None, None))
        apart = more(through, inside) if through and inside else None
        beyond = abs(apart.value) - apart.half if apart else None
        what = f"{world}: reward a step through gRPC apart from in process, by user, beyond the 95% interval"
        claims += [
            Claim(what, beyond, "<=", 0.0),
            Claim(f"{world}: user-steps a second through gRPC", rate, ">=", 300.0),
        ]
    return claims


def more(one: Earnings, other: Earnings, *, before: bool = False) -> Mean | None:
    """Reward a step that one earned more than the other, by user.

    Args:
        one, other: met the same users.
        before: only in the steps before the change of taste; None comes back where there is none.
    """
    if not before:
        return intervals.mean(intervals.paired(one.by_user, other.by_user))
    mine, theirs = one.about_change, other.about_change
    return None if mine is None or theirs is None else intervals.mean(intervals.paired(mine[0], theirs[0]))


def _level(one: Earnings | None) -> float | None:
    return one.overall.value if one else None


def _gap(one: Earnings | None, other: Earnings | None) -> float | None:
    """From the upper end of the other's interval to the lower end of one's."""
    return one.overall.low - other.overall.high if one and other else None


def _who(earned: Earned, world: str, agent: str) -> Earnings | None:
    return earned.get(world, {}).get(agent)
