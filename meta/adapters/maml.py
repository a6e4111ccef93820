"""MAML: few gradient steps on the user's own choice likelihood, learnt so that they lead to a good ranking.

Finn et al. 2017 (eq. 1) with learnt rates per step and coordinate (Li et al. 2017, Meta-SGD; Antoniou et al. 2019,
LSLR). `spec.scope` says what moves: the fast vector alone ("head", ANIL: Raghu et al. 2020), or with it the session
network, whose last bias it is ("network"). Ours differs: the inner loss is the likelihood of the user's choices instead
of the TD loss, its gradient is written out (so numpy serves what torch trains, and second order is exact), and a summed
gradient divided by a learnt power of the evidence replaces the mean, so no data means the prior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.adapters.layers import Layers, pack, unpack
from meta.adapters.port import (
    Fast,
    Support,
    evidence,
    evidence_params,
    logits,
    prior,
    settled_evidence,
    settled_shrinkage,
    shrinkage,
)
from meta.arrays import namespace, softplus, spread, stop_gradient
from meta.choice import over_slate, residuals, times
from meta.spec import Spec
from meta.state import input_width
from meta.types import Array, FloatArray, Params

RATE = "maml.rate"
LAYERS = ("state.w1", "state.b1", "state.w2", "state.b2", "taste.v")
"""What moves with u in network scope; u itself is the last bias."""


@dataclass(frozen=True, slots=True)
class Maml:
    """Gradient adaptation; `spec.steps` steps of order `spec.order` on what `spec.scope` names."""

    name: str = "maml"
    sees_session: bool = True
    streams: bool = False
    learns_as: str = "maml"

    def init(self, spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Rates [steps, E], pull to the prior per step, scale and power of the evidence, what a passed item tells."""
        params = evidence_params() | {
            "maml.rate": np.full((spec.steps, spec.width), 0.5413, np.float32),  # softplus(.5413) = 1
            "maml.pull": np.full((spec.steps,), -3.0, np.float32),
            "maml.met": np.asarray(0.0, np.float32),
            "maml.evidence": np.asarray([0.5413, 0.0], np.float32),  # scale 1, power 1/2
        }
        if spec.scope == "network":
            params["maml.layer_rate"] = np.full((spec.steps, len(LAYERS)), -3.0, np.float32)  # softplus(-3) = .05
        return params

    def settle(self, params: Params, spec: Spec) -> Params:
        """Rates and pulls as they are used: positive."""
        learnt = ("maml.rate", "maml.pull", *(["maml.layer_rate"] if spec.scope == "network" else []))
        positive = {f"{name}s": softplus(params[name]) for name in learnt}
        return {**params, **settled_evidence(params), **settled_shrinkage(params["maml.evidence"]), **positive}

    def start(self, params: Params, spec: Spec, prior: Array) -> Array:
        """U0, or the shared layers with it."""
        return _copy(spec, _shared(params, spec, prior))

    def adapt(self, params: Params, spec: Spec, support: Support) -> Array:
        """The copy after the last step.

        A step is theta - rate * (gradient / (1 + n / scale)^power + pull (theta - theta0)). `met` is learnt and starts
        at 0: to have met an item and passed it by says something for items like it too.
        """
        weigh, decisions = evidence(params, support)
        weigh = weigh / shrinkage(params, decisions)  # the gradient is linear in it, and has more numbers
        if spec.order == 1:
            support = support._replace(e=stop_gradient(support.e), bias=stop_gradient(support.bias))
        met = params["maml.met"]
        seen = support.seen._replace(chosen=met + (1.0 - met) * support.seen.chosen)
        theta = theta0 = _shared(params, spec, prior(support))
        for step in range(spec.steps):
            at = theta if step else _shared(params, spec, support.prior)  # all prefixes start where their user does
            gradient = _gradient(at, support._replace(seen=seen), weigh, spec.order)
            if step:  # until then there is nothing to pull back
                pull = params["maml.pulls"][step]
                gradient = [slope + pull * (now - was) for slope, now, was in zip(gradient, theta, theta0, strict=True)]
            own = params["maml.rates"][step]
            rates = [own] if spec.scope == "head" else [*params["maml.layer_rates"][step], own]
            theta = [now - rate * slope for now, rate, slope in zip(theta, rates, gradient, strict=True)]
        return _copy(spec, theta)

    def fast(self, params: Params, spec: Spec, copy: Array, prior: Array) -> Fast:
        """U, and the layers of the user's own where they moved."""
        if spec.scope == "head":
            return Fast(copy)
        layers = unpack(copy, _widths(spec))
        return Fast(layers.biases[-1], layers=layers)


def _widths(spec: Spec) -> tuple[int, ...]:
    return (input_width(spec), spec.hidden, spec.hidden, spec.width)


def _shared(params: Params, spec: Spec, prior: Array) -> list[Array]:
    """Where every user starts: the moving arrays with leading axes [1, 1], u last and [B, P]."""
    return [prior] if spec.scope == "head" else [*(params[name][None, None] for name in LAYERS), prior]


def starting_at(params: dict[str, FloatArray], rate: float) -> dict[str, FloatArray]:
    """Fresh parameters whose learnt inner rates start at `rate`, above 0, instead of 1; those of others unchanged."""
    if RATE not in params or rate == 1.0:
        return params
    return {**params, RATE: np.full(params[RATE].shape, np.log(np.expm1(rate)), np.float32)}


def _copy(spec: Spec, theta: list[Array]) -> Array:
    if spec.scope == "head":
        return theta[0]
    own = [spread(x, (*theta[-1].shape[:2], *x.shape[2:])) for x in theta]
    return pack(Layers.of(own), 2)


def _gradient(theta: list[Array], support: Support, weigh: Array, order: int) -> list[Array]:
    """Gradient of the weighed choice loss by the moving arrays."""
    if len(theta) == 1:
        u = theta[0] if order == 2 else stop_gradient(theta[0])
        slope = _slope(residuals(logits(Fast(u), support), support.seen), support, weigh)
        return [slope if order == 2 else stop_gradient(slope)]
    e, bias = support.e[:, None], support.bias[:, None]

    def slope_of(taste: Array) -> Array:
        v = namespace(taste).vecdot(taste, e) + bias
        out = times(residuals(v, support.seen), weigh)[..., None] * e
        return out if order == 2 else stop_gradient(out)

    return Layers.of(theta).gradient(support.before[:, None], slope_of, order).arrays()


def _slope(residual: Array, support: Support, weigh: Array) -> Array:
    """Gradient by u [B, P, E] from residuals [B, 1 or P, T]."""
    if residual.shape[1] == weigh.shape[1] or not isinstance(support.seen.same, int):
        return times(residual, weigh) @ support.e
    by_slate = over_slate(residual * support.e.mT, support.seen.same)  # once for all prefixes
    return weigh @ by_slate.mT
