"""MAML on the fast vector: few gradient steps on the choice likelihood, learnt so that they lead to a good ranking.

Finn et al. 2017 (eq. 1) with learnt rates per step and coordinate (Li et al. 2017, Meta-SGD; Antoniou et al. 2019,
LSLR) and the head as the only fast parameter (Raghu et al. 2020, ANIL). Ours differs: the inner loss is the likelihood
of the user's choices instead of the TD loss, its gradient is written out (so numpy serves what torch trains, and second
order is exact), and a summed gradient divided by a learnt power of the evidence replaces the mean, so no data means the
prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.adapters.port import Support, evidence, evidence_params, logits, prior
from meta.arrays import sigmoid, softplus, stop_gradient
from meta.choice import residuals
from meta.spec import Spec
from meta.types import Array, FloatArray, Params


@dataclass(frozen=True, slots=True)
class Maml:
    """Gradient adaptation; `spec.steps` steps of order `spec.order`."""

    name: str = "maml"
    sees_session: bool = True

    def init(self, spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Rates [steps, E], pull to the prior per step, scale and power of the evidence, what a passed item tells."""
        return evidence_params() | {
            "maml.rate": np.full((spec.steps, spec.width), 0.5413, np.float32),  # softplus(.5413) = 1
            "maml.pull": np.full((spec.steps,), -3.0, np.float32),
            "maml.met": np.asarray(0.0, np.float32),
            "maml.evidence": np.asarray([0.5413, 0.0], np.float32),  # scale 1, power 1/2
        }

    def adapt(self, params: Params, spec: Spec, support: Support) -> Array:
        """Step by step, u - rate * (gradient / (1 + n / scale)^power + pull (u - u0)).

        `met` is learnt and starts at 0: to have met an item and passed it by says something for items like it too.
        """
        weight, decisions = evidence(params, support)
        scale = softplus(params["maml.evidence"][0])
        power = sigmoid(params["maml.evidence"][1])
        shrink = (1.0 + decisions / scale) ** power
        met = params["maml.met"] * (1.0 - support.seen.chosen)[:, None, :]
        u0 = prior(params, support)
        u = u0
        for step in range(spec.steps):
            residual = residuals(logits(u, support), support.seen) - met
            gradient = (weight * residual) @ support.e
            if spec.order == 1:
                gradient = stop_gradient(gradient)
            pull = softplus(params["maml.pull"][step]) * (u - u0)
            u = u - softplus(params["maml.rate"][step]) * (gradient / shrink + pull)
        return u
