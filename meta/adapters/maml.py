"""MAML: few gradient steps on the user's own choice likelihood, learnt so that they lead to a good ranking.

Finn et al. 2017 (eq. 1) with learnt rates per step and coordinate (Li et al. 2017, Meta-SGD; Antoniou et al. 2019,
LSLR). `spec.scope` says what moves: the fast vector alone ("head", ANIL: Raghu et al. 2020), or with it the session
network, whose last bias it is ("network"). Ours differs: the inner loss is the likelihood of the user's choices instead
of the TD loss, its gradient is written out (so numpy serves what torch trains, and second order is exact), and a summed
gradient divided by a learnt power of the evidence replaces the mean, so no data means the prior.
"""

from __future__ import annotations

import dataclasses
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
from meta.choice import residuals
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
        """The copy after the last step."""
        return self.path(params, spec, support)[-1]

    def path(self, params: Params, spec: Spec, support: Support) -> list[Array]:
        """The copy [B, P, Z] before the first step and after each one, for multi-step losses.

        A step is theta - rate * (gradient / (1 + n / scale)^power + pull (theta - theta0)). `met` is learnt and starts
        at 0: to have met an item and passed it by says something for items like it too.
        """
        weigh, decisions = evidence(params, support)
        if spec.order == 1:
            support = dataclasses.replace(support, e=stop_gradient(support.e), bias=stop_gradient(support.bias))
        shrink = shrinkage(params, decisions)
        met = params["maml.met"] * (1.0 - support.seen.chosen)[:, None, :]
        theta0 = _shared(params, spec, prior(support))
        theta, found = theta0, [_copy(spec, theta0)]
        for step in range(spec.steps):
            gradient = _gradient(theta, support, weigh, met, spec.order)
            pull = params["maml.pulls"][step]
            own = params["maml.rates"][step]
            rates = [own] if spec.scope == "head" else [*params["maml.layer_rates"][step], own]
            theta = [
                now - rate * (slope / _over(shrink, now) + pull * (now - was))
                for now, was, slope, rate in zip(theta, theta0, gradient, rates, strict=True)
            ]
            found.append(_copy(spec, theta))
        return found

    def fast(self, params: Params, spec: Spec, copy: Array, prior: Array) -> Fast:
        """U, and the layers of the user's own where they moved."""
        if spec.scope == "head":
            return Fast(copy)
        layers = unpack(copy, _widths(spec))
        return Fast(layers.biases[-1], layers=layers)


def _widths(spec: Spec) -> tuple[int, ...]:
    return (input_width(spec), spec.hidden, spec.hidden, spec.width)


def _shared(params: Params, spec: Spec, prior: Array) -> list[Array]:
    """Where every user starts: the moving arrays with leading axes [B, P], u last."""
    if spec.scope == "head":
        return [prior]
    return [spread(params[name], (*prior.shape[:2], *params[name].shape)) for name in LAYERS] + [prior]


def starting_at(params: dict[str, FloatArray], rate: float) -> dict[str, FloatArray]:
    """Fresh parameters whose learnt inner rates start at `rate`, above 0, instead of 1; those of others unchanged."""
    if RATE not in params or rate == 1.0:
        return params
    return {**params, RATE: np.full(params[RATE].shape, np.log(np.expm1(rate)), np.float32)}


def _copy(spec: Spec, theta: list[Array]) -> Array:
    return theta[0] if spec.scope == "head" else pack(Layers.of(theta), 2)


def _gradient(theta: list[Array], support: Support, weigh: Array, met: Array, order: int) -> list[Array]:
    """Gradient of the weighed choice loss by the moving arrays."""
    if len(theta) == 1:
        u = theta[0] if order == 2 else stop_gradient(theta[0])
        residual = weigh * (residuals(logits(Fast(u), support), support.seen) - met)
        return [(residual if order == 2 else stop_gradient(residual)) @ support.e]
    e, bias = support.e[:, None], support.bias[:, None]

    def slope(taste: Array) -> Array:
        v = namespace(taste).sum(taste * e, axis=-1) + bias
        out = (weigh * (residuals(v, support.seen) - met))[..., None] * e
        return out if order == 2 else stop_gradient(out)

    return Layers.of(theta).gradient(support.before[:, None], slope, order).arrays()


def _over(shrink: Array, like: Array) -> Array:
    """[B, P, 1] with as many axes as an array [B, P, ...]."""
    return shrink.reshape(*shrink.shape[:2], *([1] * (like.ndim - 2)))
