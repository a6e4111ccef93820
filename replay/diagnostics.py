"""Whether a log can answer at all: how much of it speaks of the judged policy, and whether its propensities hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.types import FloatArray
from replay.contributions import mean
from replay.logged import Candidates, Logged

BINS = 10
"""Bins of propensities, of equal numbers of choices."""


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """What is known of a log beside the estimates.

    Args:
        users: B, who had a decision.
        decisions: n.
        effective: effective number of decisions, (sum w)^2 / sum w^2 (Kish 1965).
        effective_users: the same of users, with their summed weights; it bounds what an interval over users can mean.
        largest_weight: max w.
        largest_share: share of the largest user in the summed weights.
        weight_mean: mean w; 1 where propensities are true and the log covers what the judged policy does.
        weight_error: its standard error, clustered by user.
        overlap: share of what the judged policy does that the logging policy does at all; None where the log holds only
            what was chosen, for then only `weight_mean` tells.
        calibration: largest distance, in standard errors, of how often candidates were chosen from how often their
            propensities say, over bins of propensities; None as for `overlap`.
        matched: share of decisions in which the judged policy chose what was logged; None where it was not asked.
    """

    users: int
    decisions: int
    effective: float
    effective_users: float
    largest_weight: float
    largest_share: float
    weight_mean: float
    weight_error: float
    overlap: float | None
    calibration: float | None
    matched: float | None


def diagnose(logged: Logged) -> Diagnostics:
    """Look at a log without its rewards."""
    weight = logged.weight
    by_user, count = mean(logged.user, weight).by_user().T
    by_user, count = by_user[count > 0], count[count > 0]
    total = weight.sum()
    average = total / len(weight)
    candidates = logged.candidates
    return Diagnostics(
        users=len(count),
        decisions=len(weight),
        effective=_effective(weight),
        effective_users=_effective(by_user),
        largest_weight=float(weight.max()),
        largest_share=float(by_user.max() / total) if total else 0.0,
        weight_mean=float(average),
        weight_error=float(np.sqrt(((by_user - average * count) ** 2).sum()) / len(weight)),
        overlap=None if candidates is None else overlap(candidates),
        calibration=None if candidates is None else calibration(candidates),
        matched=None if logged.matched is None else float(logged.matched.mean()),
    )


def _effective(weight: FloatArray) -> float:
    """(sum w)^2 / sum w^2; 0 where all are 0."""
    squares = float((weight**2).sum())
    return float(weight.sum() ** 2 / squares) if squares else 0.0


def overlap(candidates: Candidates) -> float | None:
    """Mean over decisions of the judged policy's probability of what the logging policy could have chosen."""
    if candidates.logging is None:
        return None
    return float(np.where(candidates.logging > 0, candidates.target, 0.0).sum(1).mean())


def calibration(candidates: Candidates) -> float | None:
    """Largest |z| over bins of propensities of (times chosen - sum p) / sqrt(sum p (1 - p)).

    Choices are drawn anew in every decision, so this needs no clustering: under true propensities each z is about
    standard normal, whatever users have in common.
    """
    if candidates.logging is None:
        return None
    chance = candidates.logging.ravel()
    chosen = np.zeros(candidates.logging.shape)
    np.put_along_axis(chosen, candidates.action[:, None], 1.0, 1)
    of_chosen = np.take_along_axis(candidates.logging, candidates.action[:, None], 1)
    edges = np.quantile(of_chosen, np.arange(1, BINS) / BINS)
    bin_ = np.searchsorted(np.unique(edges), chance)
    said, found, spread = (np.bincount(bin_, weights=x) for x in (chance, chosen.ravel(), chance * (1 - chance)))
    sure = spread <= 0
    if np.any(np.abs(found - said)[sure] > 1e-9 * len(chance)):
        return float("inf")  # chosen although it was impossible, or the reverse
    z = np.abs(found - said)[~sure] / np.sqrt(spread[~sure])
    return float(z.max(initial=0.0))
