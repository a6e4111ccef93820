"""Closed form: one Newton step of the choice likelihood from a meta-learnt Gaussian prior (Laplace).

A Bayesian linear head (Harrison et al. 2018, ALPaCA) for choices instead of real targets: prior mean u0 and precision
P0 are learnt; u = u0 - (P0 + H)^-1 g with gradient g and Hessian H of the weighted negative log-likelihood at u0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.adapters.port import (
    Fast,
    HeadScope,
    Support,
    evidence_params,
    logits,
    prior,
    recency,
    settled_evidence,
    weighed,
)
from meta.arrays import namespace
from meta.choice import expected, over_slate, probabilities, times
from meta.spec import Spec
from meta.types import Array, FloatArray, Params

JITTER = 1e-3
"""Added to the diagonal of the precision, so that it stays positive definite."""


@dataclass(frozen=True, slots=True)
class Ridge(HeadScope):
    """The cheap baseline that ties most published meta-learners."""

    name: str = "ridge"
    sees_session: bool = True
    learns_as: str = "ridge"

    def init(self, spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
        """A square root [E, E] of the prior precision."""
        return evidence_params() | {"ridge.root": np.eye(spec.width, dtype=np.float32)}

    def settle(self, params: Params, spec: Spec) -> Params:
        """The prior precision itself."""
        root = params["ridge.root"]
        precision = root @ root.mT + JITTER * namespace(root).eye(spec.width, dtype=root.dtype)
        return {**params, **settled_evidence(params), "ridge.precision": precision}

    def adapt(self, params: Params, spec: Spec, support: Support) -> Array:
        """One Newton step."""
        xp = namespace(support.e)
        weight = weighed(params, support, recency(params, support))
        seen = support.seen
        p = probabilities(logits(Fast(support.prior), support), seen.same)
        chosen = expected(p, seen)
        gradient = times(chosen - seen.chosen[:, None, :], weight) @ support.e
        if isinstance(seen.same, int):  # curvature by slate, once for all prefixes
            hessian = _by_slate(p[:, 0], chosen[:, 0], support.e, weight)
        elif seen.same is None:
            hessian = _outer(weight * chosen * (1.0 - p), support.e, support.e[:, None])
        else:  # sum over slates of E[e e'] - E[e] E[e]'
            mean = _over_slate(p[..., None] * support.e[:, None], seen.same)
            hessian = _outer(weight * chosen, support.e, support.e[:, None] - mean)
        return prior(support) - xp.linalg.solve(params["ridge.precision"] + hessian, gradient[..., None])[..., 0]


def _by_slate(p: Array, chosen: Array, e: Array, weight: Array) -> Array:
    """Hessian [B, P, E, E] of slates of one size: p and n p [B, T], e [B, T, E], weight [B, P, D]."""
    users, prefixes, decisions = weight.shape
    width = e.shape[-1]
    slates = (users, e.shape[1] // max(decisions, 1), decisions)
    p, chosen, e = p.reshape(slates)[..., None], chosen.reshape(slates)[..., None], e.reshape(*slates, width)
    mean = (p * e).sum(1, keepdims=True)
    left, right = ((x.swapaxes(1, 2)) for x in (chosen * e, e - mean))  # [B, D, K, E]
    by_slate = (left.mT @ right).reshape(users, decisions, width * width)
    return (weight @ by_slate).reshape(users, prefixes, width, width)


def _over_slate(x: Array, same: Array) -> Array:
    """`over_slate` of [B, P, T, E] along the events."""
    users, prefixes, length, width = x.shape
    summed = over_slate(x.mT.reshape(users, prefixes * width, length), same)
    return summed.reshape(users, prefixes, width, length).mT


def _outer(weight: Array, left: Array, right: Array) -> Array:
    """sum_t w_t left_t right_t': [B, P, T], [B, T, E], [B, 1 or P, T, E] -> [B, P, E, E]."""
    return left.mT[:, None] @ (weight[..., None] * right)
