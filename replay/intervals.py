"""How far an estimate can be trusted: the bootstrap clustered by user, for all estimators at once, and a bound.

Decisions of one user share the user's taste, so a user with all their decisions is drawn, not a decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from meta.errors import InputError
from meta.types import FloatArray, IntArray
from replay.contributions import Contributions, ratios

ROUNDS = 1_000
LEVEL = 0.95
MOST = 10_000
"""Users beyond this number are drawn in so many groups: sums of independent users are as independent, and the error of
a standard error from 10,000 of them is below 1%."""
CHUNK = 100
"""Rounds whose residuals by user are in memory at once."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval.

    Args:
        value: the estimate.
        low, high: the interval; infinite where too few resamples have a value at all.
        error: the standard error, clustered by user.
    """

    value: float
    low: float
    high: float
    error: float


def bootstrap(
    found: Mapping[str, Contributions],
    rng: np.random.Generator,
    *,
    rounds: int = ROUNDS,
    level: float = LEVEL,
) -> dict[str, Estimate]:
    """Estimates with studentised bootstrap intervals, all from the same resamples of users.

    A resample draws B users with replacement. Its estimate t is a function of sums over its users, so all resamples are
    one matrix product, counts [rounds, B] @ sums [B, 2 J]; and so is its standard error, from the residuals
    sum_j (above_uj - t_j below_uj) / below_j. The interval is [t - q_high s, t - q_low s], q the quantiles of
    (t* - t) / s* over resamples (Efron & Tibshirani 1993, sec. 12.5; clusters: Cameron, Gelbach & Miller 2008). It
    follows the skewness that heavy weights cause, which the percentile interval does not.

    Args:
        found: by name; all of the same users.
        rng: draws the users.
        rounds: number of resamples.
        level: share of repetitions in which the interval is to hold the truth.

    Raises:
        InputError: an estimate has no value (see `Contributions.value`), or there are fewer than two users.
    """
    users = 1 + max(int(each.user.max()) for each in found.values())
    groups = min(users, MOST)
    sums = {name: _sums(each, groups) for name, each in found.items()}
    counts = resamples(groups, rounds, rng)
    return {name: _studentised(each, counts, level) for name, each in sums.items()}


def resamples(users: int, rounds: int, rng: np.random.Generator) -> FloatArray:
    """How often each user is drawn in each resample of as many users as there are: float [rounds, B]."""
    if users < 2:
        raise InputError(f"an interval over users needs at least 2 of them, got {users}")
    drawn = rng.integers(0, users, (rounds, users), dtype=np.int32)
    drawn += np.arange(rounds, dtype=np.int32)[:, None] * users
    return np.bincount(drawn.ravel(), minlength=rounds * users).reshape(rounds, users).astype(float)


def _sums(found: Contributions, groups: int) -> FloatArray:
    """Sums of each user or group of users, [B, 2 J]."""
    users: IntArray = found.user % groups
    return Contributions(users, found.above, found.below).by_user()


def _studentised(sums: FloatArray, counts: FloatArray, level: float) -> Estimate:
    half = sums.shape[1] // 2
    whole = sums.sum(0)
    each = ratios(whole[:half], whole[half:])
    value = float(each.sum())
    error = float(np.sqrt((_residuals(sums, each, whole[half:]) ** 2).sum()))
    drawn = counts @ sums
    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may have drawn no weight at all
        again = drawn[:, :half] / drawn[:, half:]
    errors = np.empty(len(counts))
    for start in range(0, len(counts), CHUNK):
        part = slice(start, start + CHUNK)
        errors[part] = _errors(sums, again[part], drawn[part, half:], counts[part])
    low, high = _tails(again.sum(1) - value, errors, (1 - level) / 2)
    # without an error of its own an estimate is still unknown where resamples have none
    below, above = (q * error if np.isfinite(q) else q for q in (high, low))
    return Estimate(value, float(value - below), float(value - above), error)


def _residuals(sums: FloatArray, each: FloatArray, below: FloatArray) -> FloatArray:
    """What each user adds to the error of an estimate, to first order: [B]."""
    slope = np.concatenate([1 / below, -each / below])
    return np.asarray(sums @ slope)


def _errors(sums: FloatArray, each: FloatArray, below: FloatArray, counts: FloatArray) -> FloatArray:
    """Standard errors of resamples: ratios and denominators [r, J], counts [r, B] -> [r]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.concatenate([1 / below, -each / below], 1)
        residuals = slopes @ sums.T
        errors: FloatArray = np.sqrt(np.einsum("rb,rb,rb->r", counts, residuals, residuals))
    return errors


def _tails(apart: FloatArray, errors: FloatArray, tail: float) -> tuple[float, float]:
    """Quantiles of (t* - t) / s*; a resample without a value or an error may lie on either side, so it counts twice."""
    with np.errstate(divide="ignore", invalid="ignore"):
        away = apart / errors
    if not np.ptp(errors) and not errors.any() and not apart.any():
        return 0.0, 0.0  # all users agree
    unknown = ~np.isfinite(away)
    low = np.quantile(np.where(unknown, -np.inf, away), tail, method="inverted_cdf")
    high = np.quantile(np.where(unknown, np.inf, away), 1 - tail, method="inverted_cdf")
    return float(low), float(high)


def empirical_bernstein(found: Contributions, largest: float, *, level: float = LEVEL) -> Estimate:
    """An interval that holds at any number of users, where what a user can add is bounded.

    |mean - truth| <= sqrt(2 V l / B) + 7 R l / (3 (B - 1)), l = log(4 / (1 - level)), V the variance over users and R
    the range (Maurer & Pontil 2009, theorem 4, both sides). Users are the sample, so this is about the sum over a
    user's decisions, divided by the mean number of decisions of a user, which is taken as known.

    Args:
        found: one mean over decisions, as of `clipped_ips`; a ratio with random denominators is not covered.
        largest: R, what one user's sum can differ by at most: decisions of a user x clip x range of rewards.
        level: as in `bootstrap`.

    Raises:
        InputError: not a mean over decisions, a user exceeds the range, or fewer than two users.
    """
    if len(found.below) != 1 or np.ptp(found.below) or found.below[0, 0] != 1:
        raise InputError(
            "the empirical Bernstein bound is for means over decisions such as clipped_ips, not for ratios"
        )
    above, below = found.by_user().T
    users = len(above)
    if users < 2:
        raise InputError(f"an interval over users needs at least 2 of them, got {users}")
    if np.ptp(above) > largest:
        raise InputError(f"sums of users must differ by at most {largest:g}, got {np.ptp(above):g}")
    log = np.log(4 / (1 - level))
    scale = users / below.sum()
    error = above.std(ddof=1) / np.sqrt(users)
    half = scale * (error * np.sqrt(2 * log) + 7 * largest * log / (3 * (users - 1)))
    value = found.value
    return Estimate(value, float(value - half), float(value + half), float(scale * error))
