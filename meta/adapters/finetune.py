"""Transfer learning, for comparison: the same fast vector by plain SGD from a pooled model that is not meta-learnt.

Training never sees an adapted copy: it pools all users into one prior, as `session` does. The rate is the one that a
trainer finds best on validation users among `RATES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from meta.adapters.port import Fast, HeadScope, Support, logits, prior
from meta.arrays import namespace
from meta.choice import residuals, times
from meta.spec import Spec
from meta.types import Array, FloatArray, Params

RATE = "finetune.rate"
RATES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Rates that a trainer tries; 0 leaves the pooled model as it is."""


def tuned(params: Mapping[str, FloatArray], judge: Callable[[dict[str, FloatArray]], float]) -> dict[str, FloatArray]:
    """A pooled model's parameters with the rate of `RATES` under which `judge`, a score of parameters, is highest."""
    tried = [{**params, RATE: np.asarray(rate, np.float32)} for rate in RATES]
    return max(tried, key=judge)


@dataclass(frozen=True, slots=True)
class Finetune(HeadScope):
    """`spec.steps` steps of gradient descent on the summed choice loss of the user's own events."""

    name: str = "finetune"
    sees_session: bool = True
    learns_as: str = "session"

    def init(self, spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
        """One rate."""
        return {RATE: np.asarray(RATES[2], np.float32)}

    def adapt(self, params: Params, spec: Spec, support: Support) -> Array:
        """U - rate * gradient, step by step."""
        u = prior(support)
        inside = namespace(u).astype(support.inside, u.dtype)
        for _ in range(spec.steps):
            u = u - params[RATE] * (times(residuals(logits(Fast(u), support), support.seen), inside) @ support.e)
        return u
