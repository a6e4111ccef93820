"""Per-decision importance sampling: a reward is weighted by the choices up to it, not by those that follow."""

from __future__ import annotations

from replay.contributions import Contributions
from replay.estimators.rips import rips
from replay.logged import Runs


def per_decision_is(runs: Runs) -> Contributions:
    """1/n sum_i sum_t discount^t w_{i,1:t} r_it: `rips`, with steps of a user for positions of a slate.

    Assumes true propensities and that the judged policy does nothing that logging never does, whatever the state; then
    it is unbiased. Fails by variance, which grows exponentially with the length of a run.

    Precup, Sutton & Singh 2000, "Eligibility traces for off-policy policy evaluation".
    """
    return rips(runs)
