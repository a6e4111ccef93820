"""Inverse propensity scores: every reward counts as often as the judged policy would have had it."""

from __future__ import annotations

from replay.contributions import Contributions, mean
from replay.logged import Logged


def ips(logged: Logged) -> Contributions:
    """1/n sum_i w_i r_i, w_i = target_i / logging_i.

    Assumes true propensities, and that the logging policy does now and then whatever the judged one does; then it is
    unbiased. Fails by variance: it grows with the square of the largest weights.

    Horvitz & Thompson 1952; Strehl, Langford, Li & Kakade 2010, "Learning from logged implicit exploration data".
    """
    return mean(logged.user, logged.weight * logged.reward)
