"""IPS with bounded weights: some bias for much less variance."""

from __future__ import annotations

import numpy as np

from replay.contributions import Contributions, mean
from replay.estimators.slope import grid, slope
from replay.logged import Logged


def clipped_ips(logged: Logged, clip: float | None = None) -> Contributions:
    """1/n sum_i min(w_i, clip) r_i.

    Assumes as `ips`, and that little reward lies where weights exceed the clip: it is too low by what was cut off
    (rewards of at least 0). Fails where the judged policy earns most where the logging policy hardly went.

    Bottou et al. 2013, "Counterfactual reasoning and learning systems"; Su,
    Srinath & Krishnamurthy 2020 for the choice of the clip, see `slope`.

    Args:
        logged: the log.
        clip: largest weight, > 0; None: chosen by SLOPE.
    """
    weight = logged.weight
    if clip is not None:
        return mean(logged.user, np.minimum(weight, clip) * logged.reward)
    return slope(clipped_ips(logged, each) for each in grid(weight))
