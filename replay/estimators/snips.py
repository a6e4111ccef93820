"""Self-normalised inverse propensity scores: the weighted mean."""

from __future__ import annotations

from replay.contributions import Contributions, ratio
from replay.logged import Logged


def snips(logged: Logged) -> Contributions:
    """sum_i w_i r_i / sum_i w_i.

    Assumes as `ips`. It stays within the range of the rewards and does not move when a constant is added to all of
    them; the price is a bias of order 1/n. Fails as `ips`: with few large weights it is the mean of a few rewards, and
    where the log lacks what the policy does it is confident about the rest.

    Swaminathan & Joachims 2015, "The self-normalized estimator for counterfactual learning".
    """
    weight = logged.weight
    return ratio(logged.user, weight * logged.reward, weight)
