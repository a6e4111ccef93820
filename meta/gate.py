"""Whether a user's copy may serve: it is sound, and it would not have predicted that user worse than the prior does."""

from __future__ import annotations

import numpy as np

from meta.adapters import Support
from meta.choice import losses, over_slate
from meta.types import BoolArray, FloatArray, IntArray

LARGEST = 1e3
"""A copy with a larger number in it has exploded."""
HELD_OUT = 10
"""Newest decisions of a history that the copy made before them has to predict."""
LEAST = 2 * HELD_OUT
"""Decisions of a history from which on that is asked; fewer prove nothing."""
DOUBT = 2.5
"""How clearly the copy has to be worse, see `worse`."""


def sound(copy: FloatArray) -> BoolArray:
    """Where a copy [B, Z] is finite and has not exploded: [B]; a comparison with NaN is false."""
    found: BoolArray = np.abs(copy).max(axis=-1) < LARGEST
    return found


def prefixes(length: IntArray) -> IntArray:
    """The prefixes of histories of this length [B] to adapt to: [B, 2], or [B, 1] where none can be judged.

    The whole history comes first, then what came before the decisions that are held out, if any are.
    """
    whole = length[:, None]
    judged = whole >= LEAST
    return np.concat([whole, whole - HELD_OUT * judged], axis=1) if judged.any() else whole


def worse(prior: FloatArray, copy: FloatArray, support: Support) -> BoolArray:
    """Where copies predict decisions that they have not seen clearly worse than the prior: [B].

    With d_g how much better a copy predicts decision g, it is worse where sum d_g < -DOUBT sqrt(sum d_g^2). Were the
    d_g symmetric about 0, that would happen with a probability of at most exp(-DOUBT^2 / 2) = .044 (Efron 1969); and as
    the ratio of k decisions is at least -sqrt(k), it takes more than DOUBT^2, seven of them: no single one decides, and
    after a change of taste the gate opens again as soon as the copy has seen some of it.

    Args:
        prior, copy: float [B, T], choice loss by event under the prior, and under the copy of the second prefix.
        support: the histories, of the prefixes that `prefixes` gives.
    """
    whole, seen = support.inside[:, 0], support.inside[:, 1]
    held = whole * (1.0 - seen) * (support.age[:, 0] < HELD_OUT)  # without what is too old for both
    gain = held * (prior - copy)
    slates: FloatArray = over_slate(gain[:, None], support.seen.same)[:, 0]
    squares = (support.seen.share * slates**2).sum(-1)
    clearly: BoolArray = gain.sum(-1) < -DOUBT * np.sqrt(squares)
    return clearly


def judge(logits: FloatArray, support: Support) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Mean choice losses [B] by decision of a history under prior and copy, and where the gate stays shut: [B].

    Args:
        logits: float [B, 1 + P, T] under the prior and the copies of P prefixes.
        support: the histories, of these prefixes.
    """
    by_event = np.asarray(losses(logits, support.seen))
    inside = support.inside[:, :1]
    decisions = np.clip((inside * support.seen.share[:, None]).sum(-1), 1.0, None)
    before, after = ((inside * by_event[:, :2]).sum(-1) / decisions).T
    shut: BoolArray = ~np.isfinite(after)
    if logits.shape[1] > 2:
        shut |= worse(by_event[:, 0], by_event[:, 2], support)
    return before, after, shut
