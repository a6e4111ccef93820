"""The memory: an LSTM with peepholes reads a user's events one by one, O(1) each, and its state is the user's copy.

    i = sigmoid(x Wi + h_tm1 Ui + c_tm1 * pi + bi)        f = sigmoid(x Wf + h_tm1 Uf + c_tm1 * pf + bf)
    c = f * c_tm1 + i * tanh(x Wc + h_tm1 Uc + bc)        o = sigmoid(x Wo + h_tm1 Uo + c * po + bo)
    h = o * tanh(c)                                       (Gers & Schmidhuber 2000: i and f see c_tm1, o sees c)

x = [item embedding, chosen, reward, time gap, place in the slate]. The fast vector is u0 + h R, and 1 + h S scales the
session state coordinate by coordinate (FiLM: Perez et al. 2018); a state of 0 is exactly the prior. The memory is not
reset between sessions: a copy that is carried on may remember more than the history that is still kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from meta.adapters.port import Fast, Support
from meta.arrays import clip, namespace, sigmoid
from meta.spec import Spec
from meta.types import Array, Events, FloatArray, Params

HOUR_MS = 3_600_000.0
EXTRAS = 4
"""Inputs beside the item embedding."""


@dataclass(frozen=True, slots=True)
class LstmMemory:
    """A copy is (h, c): Z = 2 M."""

    name: str = "lstm_memory"
    sees_session: bool = True
    streams: bool = True
    learns_as: str = "lstm_memory"

    def init(self, spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
        """The cell, with the forget gate open, and its two read-outs."""
        inputs, m = spec.width + EXTRAS, spec.memory

        def normal(rows: int, columns: int, gain: float = 1.0) -> FloatArray:
            return (gain / math.sqrt(rows) * rng.standard_normal((rows, columns))).astype(np.float32)

        bias = np.zeros(4 * m, np.float32)
        bias[m : 2 * m] = 2.0
        return {
            "memory.x": normal(inputs, 4 * m),
            "memory.h": normal(m, 4 * m),
            "memory.peephole": np.zeros((3, m), np.float32),
            "memory.b": bias,
            "memory.u": normal(m, spec.width, 0.3),
            "memory.film": np.zeros((m, spec.hidden), np.float32),
        }

    def settle(self, params: Params, spec: Spec) -> Params:
        """Nothing follows."""
        return params

    def start(self, params: Params, spec: Spec, prior: Array) -> Array:
        """Nothing remembered."""
        return namespace(prior).zeros((*prior.shape[:2], 2 * spec.memory), dtype=prior.dtype)

    def adapt(self, params: Params, spec: Spec, support: Support) -> Array:
        """The state after the last event of each prefix; what came before a trimmed prefix is remembered too."""
        xp = namespace(support.e)
        users, prefixes, length = support.inside.shape
        start = self.start(params, spec, support.prior)[:, 0]
        states = xp.stack([start, *self._read(params, spec, start, support, support.events.mask)], axis=1)
        nothing = xp.zeros((users, prefixes, 1), dtype=support.inside.dtype)
        ends = xp.concat([nothing, support.inside * xp.arange(1, length + 1)], axis=-1)
        last = xp.astype(xp.max(ends, axis=-1), xp.int64)
        return states[xp.arange(users)[:, None], last]

    def advance(self, params: Params, spec: Spec, copy: Array, support: Support) -> Array:
        """One cell a new event: the events before the prefix's first one are in the copy already."""
        new = support.inside[:, 0] > 0
        ahead = new.any(0)
        first = int(ahead.argmax()) if ahead.any() else len(ahead)
        states = self._read(params, spec, copy[:, 0], support, new, first)
        return states[-1][:, None] if states else copy

    def fast(self, params: Params, spec: Spec, copy: Array, prior: Array) -> Fast:
        """Reads u and the scale of the session state out of h."""
        h = copy[..., : spec.memory]
        return Fast(prior + h @ params["memory.u"], film=h @ params["memory.film"])

    def _read(
        self, params: Params, spec: Spec, state: Array, support: Support, mask: Array, first: int = 0
    ) -> list[Array]:
        """States [B, 2 M] after each event from the first on; an event outside the mask [B, T] changes nothing."""
        xp, m = namespace(state), spec.memory
        x = inputs(support, first) @ params["memory.x"] + params["memory.b"]
        states = []
        for t in range(x.shape[1]):
            state = xp.where(mask[:, first + t, None], cell(params, x[:, t], state[:, :m], state[:, m:]), state)
            states.append(state)
        return states


def cell(params: Params, x: Array, h_tm1: Array, c_tm1: Array) -> Array:
    """One step of the equations above.

    Args:
        x: float [B, 4 M], x W + b of the gates i, f, o and of the candidate.
        h_tm1, c_tm1: float [B, M].

    Returns:
        float [B, 2 M], h and c.
    """
    xp, m = namespace(x), h_tm1.shape[-1]
    z = x + h_tm1 @ params["memory.h"]
    peephole = params["memory.peephole"]
    gates = sigmoid(z[:, : 2 * m] + (c_tm1[:, None] * peephole[:2]).reshape(-1, 2 * m))
    c = gates[:, m:] * c_tm1 + gates[:, :m] * xp.tanh(z[:, 3 * m :])
    h = sigmoid(z[:, 2 * m : 3 * m] + c * peephole[2]) * xp.tanh(c)
    return xp.concat([h, c], axis=-1)


def inputs(support: Support, first: int = 0) -> Array:
    """X of each event from the first on: [B, T - first, E + EXTRAS]."""
    xp = namespace(support.e)
    events, (users, length, width) = support.events, support.e.shape
    root = float(width) ** 0.5  # an embedding as it is, not divided by sqrt(E)
    x = xp.empty((users, length - first, EXTRAS), dtype=support.e.dtype)
    x[..., 0] = support.seen.chosen[:, first:]
    x[..., 1] = (events.reward * events.mask)[:, first:]  # of a slate only the events so far are known
    x[..., 2] = 0.1 * xp.log1p(time_gaps(events)[:, first:])
    x[..., 3] = 0.1 * places(events)[:, first:]
    return xp.concat([root * support.e[:, first:], x], axis=-1)


def time_gaps(events: Events) -> Array:
    """Hours since the event before, 0 for the first one: [B, T]."""
    gap = 0 * events.time_ms
    gap[:, 1:] = events.time_ms[:, 1:] - events.time_ms[:, :-1]
    return clip(gap, 0, None) / HOUR_MS


def places(events: Events) -> Array:
    """Place of each event in its slate, 0 for the first: [B, T]."""
    xp, group = namespace(events.group), events.group
    if not group.shape[1]:
        return group
    same = xp.astype(group[:, :, None] == group[:, None, :], xp.uint8)
    return xp.arange(group.shape[1]) - xp.argmax(same, axis=-1)
