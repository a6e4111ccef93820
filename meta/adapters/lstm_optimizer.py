"""The learned optimiser: an LSTM reads each coordinate's gradient and decides what the fast vector keeps and learns.

    theta_t = f_t * theta_tm1 + (1 - f_t) * theta_0 - i_t * gradient_t         (Ravi & Larochelle 2017, eq. 2 and 3)
    i_t = sigmoid([z_t, theta_tm1 - theta_0, i_tm1] Wi + bi), f_t likewise with f_tm1

z_t is the state of a small LSTM over the inner steps that sees the pre-processed gradient and loss, detached. All
coordinates share one set of weights, each has a scale of its own. Ours differs: what is forgotten returns to the prior
instead of to 0, so no event means exactly the prior; and the gradient is the one of `maml`, a sum divided by a learnt
power of the evidence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from meta.adapters.port import (
    Fast,
    HeadScope,
    Support,
    evidence,
    evidence_params,
    logits,
    prior,
    settled_evidence,
    settled_shrinkage,
    shrinkage,
)
from meta.arrays import clip, namespace, opened, plus_one, softplus, spread, stop_gradient
from meta.choice import likelihood, times
from meta.spec import Spec
from meta.types import Array, FloatArray, Params

CELL = 8
"""Hidden units a coordinate."""
INPUTS = 5
"""log |g|, sign g, theta - theta_0, loss, log evidence."""
SMALLEST = 10.0
FLOOR = math.exp(-SMALLEST)
"""A gradient below it is seen by its value instead of its logarithm."""


@dataclass(frozen=True, slots=True)
class LstmOptimizer(HeadScope):
    """`spec.steps` steps of the learned optimiser on the fast vector."""

    name: str = "lstm_optimizer"
    sees_session: bool = True
    learns_as: str = "lstm_optimizer"

    def init(self, spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Gates that start close to gradient descent: f near 1, i at a half of a scale of 2."""

        def normal(rows: int, columns: int) -> FloatArray:
            return (0.1 * rng.standard_normal((rows, columns))).astype(np.float32)

        return evidence_params() | {
            "optimizer.x": normal(INPUTS, 4 * CELL),
            "optimizer.h": normal(CELL, 4 * CELL),
            "optimizer.b": np.zeros(4 * CELL, np.float32),
            "optimizer.gates": normal(CELL + 2, 2),
            "optimizer.bias": np.asarray([0.0, 4.0], np.float32),  # i = 1/2, f = .98
            "optimizer.scale": np.full(spec.width, 1.8546, np.float32),  # softplus(1.8546) = 2
            "optimizer.evidence": np.asarray([0.5413, 0.0], np.float32),  # as `maml.evidence`
        }

    def settle(self, params: Params, spec: Spec) -> Params:
        """Scales as they are used; one matrix each, [out, in], for all that cell and gates see of a coordinate.

        Weights take the units of `preprocess`, and gates (`opened`) a half of what they see.
        """
        x, gates = params["optimizer.x"], params["optimizer.gates"]
        xp = namespace(gates)
        half = xp.asarray([0.5] * (3 * CELL) + [1.0] * CELL, dtype=gates.dtype)
        own = {
            "optimizer.each": xp.concat(
                [half * row for row in (x[:1] / SMALLEST, x[1:2] / FLOOR, x[2:3], params["optimizer.h"])], axis=0
            ).mT,
            "optimizer.whole": xp.concat([half * x[3:4], 0.2 * half * x[4:]], axis=0),
            "optimizer.half_b": half * params["optimizer.b"],
            "optimizer.seen": 0.5 * xp.concat([gates[:-1], gates[-1] * xp.eye(2, dtype=gates.dtype)], axis=0).mT,
            "optimizer.half_bias": 0.5 * params["optimizer.bias"][:, None],
            "optimizer.scales": softplus(params["optimizer.scale"]),
        }
        return {**params, **settled_evidence(params), **settled_shrinkage(params["optimizer.evidence"]), **own}

    def adapt(self, params: Params, spec: Spec, support: Support) -> Array:
        """The fast vector after the last step."""
        xp = namespace(support.e)
        weigh, decisions = evidence(params, support)
        shrunk = weigh / shrinkage(params, decisions)
        many, known = plus_one(decisions), xp.log1p(decisions)
        scale = params["optimizer.scales"]
        u0 = prior(support)
        moved = xp.zeros(u0.shape, dtype=u0.dtype)
        users, prefixes, width = u0.shape  # coordinates are the last axis everywhere: gates are whole blocks of memory
        h = c = xp.zeros((users, prefixes, CELL, width), dtype=u0.dtype)
        gates = spread(xp.asarray([[0.0], [1.0]], dtype=u0.dtype), (users, prefixes, 2, width))  # none learnt, all kept
        for _ in range(spec.steps):
            loss, residual = likelihood(logits(Fast(u0 + moved), support), support.seen)
            gradient = times(residual, shrunk) @ support.e
            whole = stop_gradient(xp.concat([xp.vecdot(weigh, loss)[..., None] / many, known], axis=-1))
            each = preprocess(stop_gradient(gradient), stop_gradient(moved))
            h, c = _cell(params, each, whole, h, c)
            gates = _gates(params, h, moved, gates)
            moved = gates[:, :, 1] * moved - gates[:, :, 0] * scale * gradient
        return u0 + moved


def preprocess(gradient: Array, moved: Array) -> list[Array]:
    """Log size and sign of each coordinate's gradient (Andrychowicz et al. 2016, appendix A), and how far it moved.

    A size below the floor has the floor's logarithm, and the gradient itself in place of its sign. The logarithm is in
    units of 1 / SMALLEST, the sign in units of 1 / FLOOR. [B, P, E] twice -> [B, P, E] three times.
    """
    xp = namespace(gradient)
    return [xp.log(clip(xp.abs(gradient), FLOOR, None)), clip(gradient, -FLOOR, FLOOR), moved]


def _cell(params: Params, each: list[Array], whole: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """A plain LSTM step for every coordinate: each [B, P, E] thrice, whole [B, P, 2], h and c [B, P, CELL, E]."""
    xp = namespace(h)
    own = params["optimizer.each"] @ xp.concat([*(x[:, :, None] for x in each), h], axis=2)
    z = xp.tanh(own + (whole @ params["optimizer.whole"] + params["optimizer.half_b"])[..., None])
    gate = opened(z[:, :, : 3 * CELL])
    c = gate[:, :, CELL : 2 * CELL] * c + gate[:, :, :CELL] * z[:, :, 3 * CELL :]
    return gate[:, :, 2 * CELL :] * xp.tanh(c), c


def _gates(params: Params, z: Array, moved: Array, gates: Array) -> Array:
    """How much is learnt (i) and kept (f) of each coordinate: [B, P, 2, E], from the same of the step before."""
    xp = namespace(z)
    seen = xp.concat([z, moved[:, :, None], gates], axis=2)
    return opened(xp.tanh(params["optimizer.seen"] @ seen + params["optimizer.half_bias"]))
