"""Whether a policy would have done better: BETTER, WORSE or CANNOT TELL, with the reason.

The limits were chosen on simulated logs (`benchmarks/replay_worlds.py`, not on its test seeds): below them
intervals hold the truth less often than they say, so no interval is believed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from replay.contributions import Contributions
from replay.diagnostics import Diagnostics
from replay.intervals import Estimate, bootstrap


class Outcome(StrEnum):
    """What a log says of one policy beside another."""

    BETTER = "BETTER"
    WORSE = "WORSE"
    CANNOT_TELL = "CANNOT TELL"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a log must offer before an interval is believed.

    Args:
        users: least number of users.
        effective: least effective number of decisions.
        effective_users: least effective number of users.
        weight_mean: how many standard errors the mean weight may lie from 1.
        weight_gap: how far it may lie from 1 in any case.
        overlap: least share of what the judged policy does that the logging policy does at all.
        calibration: how many standard errors propensities may lie from what was chosen, see `Diagnostics`.
    """

    users: int = 30
    effective: float = 100.0
    effective_users: float = 30.0
    weight_mean: float = 3.0
    weight_gap: float = 0.15
    overlap: float = 0.98
    calibration: float = 4.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Args:
        outcome: of the judged policy beside the other.
        difference: judged - other, paired, with its interval.
        reasons: why it cannot be told; empty where it can.
    """

    outcome: Outcome
    difference: Estimate
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        found = self.difference
        apart = f"{found.value:+.4g} [{found.low:+.4g}, {found.high:+.4g}]"
        return f"{self.outcome}: {apart}" + "".join(f"; {reason}" for reason in self.reasons)


def judge(
    judged: Contributions,
    other: Contributions,
    diagnostics: Diagnostics,
    rng: np.random.Generator,
    *,
    limits: Limits | None = None,
) -> Verdict:
    """Compare two policies on the same decisions.

    Args:
        judged: an estimate of the judged policy.
        other: of the policy it is held against; of the logging policy that is `estimators.on_policy`.
        diagnostics: of the log under the judged policy; under both where neither logged.
        rng: for the bootstrap.
        limits: what is asked of the log; None: the defaults.

    Raises:
        InputError: an estimate has no value, see `Contributions.value`.
    """
    found = bootstrap({"": judged.minus(other)}, rng)[""]
    return decide(found, diagnostics, limits or Limits())


def decide(difference: Estimate, diagnostics: Diagnostics, limits: Limits) -> Verdict:
    """The verdict on a difference that is already known, and on the log it came from."""
    reasons = list(doubts(diagnostics, limits))
    if not (difference.low > 0 or difference.high < 0):
        reasons.append("the interval of the difference contains 0")
    if reasons:
        return Verdict(Outcome.CANNOT_TELL, difference, tuple(reasons))
    return Verdict(Outcome.BETTER if difference.value > 0 else Outcome.WORSE, difference, ())


def doubts(found: Diagnostics, limits: Limits) -> list[str]:
    """Why no interval from this log is to be believed; empty where there is no reason."""
    gap = abs(found.weight_mean - 1)
    rules = [
        (found.users < limits.users, f"{found.users} users, fewer than {limits.users}"),
        (
            found.effective < limits.effective,
            f"the weights leave {found.effective:.0f} effective decisions of {found.decisions}, fewer than "
            f"{limits.effective:g}",
        ),
        (
            found.effective_users < limits.effective_users,
            f"the weights leave {found.effective_users:.0f} effective users of {found.users}, fewer than "
            f"{limits.effective_users:g}",
        ),
        (
            gap > limits.weight_gap or gap > limits.weight_mean * found.weight_error + 1e-9,
            f"the mean weight is {found.weight_mean:.3g}, not 1: propensities are wrong, or the log lacks what the "
            "policy does",
        ),
        (
            found.overlap is not None and found.overlap < limits.overlap,
            f"only {found.overlap or 0:.0%} of what the policy does was ever done by the logging policy",
        ),
        (
            found.calibration is not None and found.calibration > limits.calibration,
            f"the logged propensities are {found.calibration or 0:.1f} standard errors from what was chosen",
        ),
    ]
    return [reason for broken, reason in rules if broken]
