"""Whether a user's copy may serve: it is sound, and learning has not misled it about that user's newest decisions.

A copy that predicts the newest decisions, which it has seen, better than the prior is let through: whatever older
events had taught it wrongly is put right. Only where it does not is the copy made that has not seen them, and judged.
"""

from __future__ import annotations

import numpy as np

from meta.adapters import Support
from meta.choice import Outcomes, over_slate
from meta.types import BoolArray, Events, FloatArray, IntArray

UNSOUND, ACCEPTED, MISLED = 0, 1, 2
"""Verdicts on a copy: not finite or exploded; it may serve; it would have predicted the newest decisions worse than the
prior. What `sound` finds is, as a number, one of the first two."""
LARGEST = 1e3
"""A copy of a larger Euclidean length has exploded."""
HELD_OUT = 10
"""Newest decisions of a history by which a copy is judged."""
_YOUNG = np.asarray(HELD_OUT, np.float32)
LEAST = 2 * HELD_OUT
"""Decisions of a history from which on that is asked; fewer prove nothing."""
DOUBT = 2.5
"""How clearly the copy has to be worse, see `worse`."""


def sound(copy: FloatArray) -> BoolArray:
    """Where a copy [B, Z] is finite and has not exploded: [B]; a comparison with NaN is false."""
    found: BoolArray = np.vecdot(copy, copy) < LARGEST**2
    return found


def newest(support: Support) -> FloatArray:
    """1 where a decision or event is of the newest of its history, by which a copy is judged: float [B, D]."""
    held: FloatArray = support.inside * (support.age < _YOUNG)
    return held[:, 0]


def before(events: Events) -> IntArray:
    """The prefix of each history that comes before its newest decisions: [B, 1]."""
    prefix: IntArray = events.length[:, None] - HELD_OUT
    return prefix


def worse(gain: FloatArray, seen: Outcomes) -> BoolArray:
    """Where copies predict decisions that they have not seen clearly worse than the prior: [B].

    With d_g how much better a copy predicts decision g, it is worse where sum d_g < -DOUBT sqrt(sum d_g^2). Were the
    d_g symmetric about 0, that would happen with a probability of at most exp(-DOUBT^2 / 2) = .044 (Efron 1969); and as
    the ratio of k decisions is at least -sqrt(k), it takes more than DOUBT^2, seven of them: no single one decides, and
    after a change of taste the gate opens again as soon as the copy has seen some of it.

    Args:
        gain: float [B, D], how much better each decision or event held out is predicted; 0 for the others.
        seen: what was chosen.
    """
    slates: FloatArray = gain if isinstance(seen.same, int) else over_slate(gain[:, None], seen.same)[:, 0]
    squares = (seen.share * slates**2).sum(-1)
    clearly: BoolArray = gain.sum(-1) < -DOUBT * np.sqrt(squares)
    return clearly
