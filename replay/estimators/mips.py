"""Marginalised IPS: weights of what an item is rather than of the item."""

from __future__ import annotations

import numpy as np

from meta.errors import InputError
from meta.types import FloatArray
from replay.contributions import Contributions, mean
from replay.logged import Candidates, Logged


def mips(logged: Logged) -> Contributions:
    """1/n sum_i w(x_i, e_i) r_i, w(x, e) = P_target(e | x) / P_logging(e | x), e the kind of the item chosen.

    Assumes that items act on the reward through their kind only (no direct effect), and that every kind which the
    judged policy chooses was chosen by logging: much less than every item, so it answers where `ips` cannot. Fails by
    bias where items of a kind differ in what they earn.

    Saito & Joachims 2022, "Off-policy evaluation for large action spaces via embeddings".
    """
    if logged.candidates is None:
        raise InputError("mips needs the candidates of each decision, their kinds and both policies' probabilities")
    return mean(logged.user, marginal(logged.candidates) * logged.reward)


def marginal(candidates: Candidates) -> FloatArray:
    """Weights of the kinds chosen, float [n]."""
    if candidates.kind is None or candidates.logging is None:
        raise InputError("mips needs the kind of each candidate and the logging policy's probability of each")
    alike = candidates.kind == np.take_along_axis(candidates.kind, candidates.action[:, None], 1)
    return np.asarray((candidates.target * alike).sum(1) / (candidates.logging * alike).sum(1))
