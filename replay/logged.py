"""The nouns that an estimator reads: what was logged, and what the judged policy would have done in the same places.

n decisions (or runs of decisions) of a log, B users, C candidates, K positions of a slate or steps of a run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meta.errors import InputError
from meta.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a reward model expects of each decision; in runs of the rest of the run, discounted from there on.

    Args:
        chosen: float [n] or [n, K], of what was logged: q(x, a).
        expected: float [n] or [n, K], of what the judged policy would choose: sum_a target(a) q(x, a).
    """

    chosen: FloatArray
    expected: FloatArray


@dataclass(frozen=True, slots=True)
class Candidates:
    """All that each decision could have been; padded candidates have probability 0.

    Args:
        action: int [n], which candidate was logged, 0..C-1.
        target: float [n, C], probability of each under the judged policy; rows sum to 1.
        logging: float [n, C], the same under the logging policy; None where the log holds only what was chosen.
        kind: int [n, C], the embedding of each candidate as a discrete code (category, cluster), see `mips`; or None.
    """

    action: IntArray
    target: FloatArray
    logging: FloatArray | None = None
    kind: IntArray | None = None

    def predicted(self, value: FloatArray) -> Predicted:
        """What a reward model's values [n, C] of all candidates say of each decision."""
        chosen = np.take_along_axis(value, self.action[:, None], 1)[:, 0]
        return Predicted(chosen, np.einsum("nc,nc->n", self.target, value))

    def matched(self) -> BoolArray:
        """Where the logged candidate is the judged policy's favourite: bool [n]."""
        found: BoolArray = self.target.argmax(1) == self.action
        return found


@dataclass(frozen=True, slots=True)
class Logged:
    """Decisions of one item each, beside the probabilities of a policy that did not make them.

    Args:
        user: int [n], whose decision, 0..B-1. Decisions of one user are not independent of each other.
        reward: float [n].
        logging: float [n], in (0, 1], probability with which the logging policy chose what it chose.
        target: float [n], in [0, 1], probability with which the judged policy would have chosen the same.
        candidates: all that could have been chosen; None where the log does not tell.
        predicted: what a reward model expects; None without one.
        matched: bool [n], where the judged policy, asked, chose the same; None where it was not asked. See `replay`.

    Raises:
        InputError: shapes that differ, values that are not finite, or probabilities out of range.
    """

    user: IntArray
    reward: FloatArray
    logging: FloatArray
    target: FloatArray
    candidates: Candidates | None = None
    predicted: Predicted | None = None
    matched: BoolArray | None = None

    def __post_init__(self) -> None:
        if self.reward.ndim != 1:
            raise InputError(f"rewards must be one number a decision, got shape {self.reward.shape}")
        check(self.user, self.reward, self.logging, self.target)

    @property
    def weight(self) -> FloatArray:
        """Importance weights target / logging: float [n]."""
        return self.target / self.logging

    def with_model(self, value: FloatArray) -> Logged:
        """The same with a reward model's values [n, C] of all candidates, which must be known."""
        if self.candidates is None:
            raise InputError("a reward model needs the candidates of each decision, and this log holds none")
        return replace(self, predicted=self.candidates.predicted(value))


@dataclass(frozen=True, slots=True)
class Runs:
    """Choices made one after the other, each rewarded: positions of a slate from the top, or decisions of a user.

    Past the end of a short run rewards are 0 and both probabilities 1: then nothing changes any more.

    Args:
        user: int [n], whose run, 0..B-1.
        reward: float [n, K].
        logging: float [n, K], in (0, 1], probability of each choice given those before it, under the logging policy.
        target: float [n, K], in [0, 1], the same under the judged policy.
        discount: of a step in runs of a user; 1 in slates.
        predicted: what a model expects from each step on, `chosen` and `expected` [n, K], 0 past the end; or None.
        places_logging: float [n, K, K], probability that the item logged at position k is shown at position j, under
            the logging policy, whatever is shown above; None where it is not known.
        places_target: float [n, K, K], the same under the judged policy.

    Raises:
        InputError: as in `Logged`.
    """

    user: IntArray
    reward: FloatArray
    logging: FloatArray
    target: FloatArray
    discount: float = 1.0
    predicted: Predicted | None = None
    places_logging: FloatArray | None = None
    places_target: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.reward.ndim != 2:
            raise InputError(f"rewards must be one number a decision and position, got shape {self.reward.shape}")
        check(self.user, self.reward, self.logging, self.target)

    @property
    def weight(self) -> FloatArray:
        """Importance weights of everything down to each position, prod_{j <= k} target_j / logging_j: float [n, K]."""
        ratios: FloatArray = np.cumprod(self.target / self.logging, axis=1)
        return ratios

    @property
    def before(self) -> FloatArray:
        """Importance weights of everything above each position, 1 at the first: float [n, K]."""
        return np.concatenate([np.ones((len(self.reward), 1)), self.weight[:, :-1]], 1)

    @property
    def discounts(self) -> FloatArray:
        """What a reward counts by position, discount^k: float [K]."""
        powers: FloatArray = self.discount ** np.arange(self.reward.shape[1])
        return powers


def check(user: IntArray, reward: FloatArray, logging: FloatArray, target: FloatArray) -> None:
    """Raise an InputError that names the first value which breaks a rule of `Logged` or `Runs`."""
    if not len(reward):
        raise InputError("the log holds no decision; nothing can be said of any policy")
    if user.shape != reward.shape[:1] or not reward.shape == logging.shape == target.shape:
        shapes = f"users {user.shape}, rewards {reward.shape}, logging {logging.shape}, target {target.shape}"
        raise InputError(f"a log needs one entry a decision in every column, got {shapes}")
    if user.min() < 0:
        raise InputError(f"users must be numbered from 0, got {user.min()}")
    _first("rewards must be finite", reward, np.isfinite(reward))
    _first("logged propensities must be above 0 and at most 1", logging, (logging > 0) & (logging <= 1 + TOLERANCE))
    _first("target probabilities must be in 0..1", target, (target >= 0) & (target <= 1 + TOLERANCE))


TOLERANCE = 1e-6
"""Probabilities that were added up may exceed 1 by rounding."""


def _first(rule: str, values: FloatArray, good: BoolArray) -> None:
    if not good.all():
        at = np.unravel_index(np.argmin(good), good.shape)
        raise InputError(f"{rule}, got {values[at]} in decision {at[0]} ({np.sum(~good)} such)")
