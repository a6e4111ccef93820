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

from meta.adapters.port import Fast, News, Support
from meta.arrays import cast, clip, first_true, namespace, opened
from meta.spec import Spec
from meta.types import Array, Events, FloatArray, Params, in_turn

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
        """Weights in the units of `inputs` and `cell`, and of h_tm1 and c_tm1 as one matrix."""
        xp, x = namespace(params["memory.x"]), params["memory.x"]
        # an embedding is read as it is, not divided by sqrt(E); gaps and places are small numbers
        read = xp.concat([math.sqrt(spec.width) * x[: spec.width], x[-EXTRAS:-2], 0.1 * x[-2:]], axis=0)
        own = {
            "memory.inputs": halved(read),
            "memory.bias": halved(params["memory.b"]),
            "memory.recurrent": halved(recurrent(params["memory.h"], params["memory.peephole"])),
            "memory.output": 0.5 * params["memory.peephole"][2],
        }
        return {**params, **own}

    def start(self, params: Params, spec: Spec, prior: Array) -> Array:
        """Nothing remembered."""
        return namespace(prior).zeros((*prior.shape[:2], 2 * spec.memory), dtype=prior.dtype)

    def adapt(self, params: Params, spec: Spec, support: Support) -> Array:
        """The state after the last event of each prefix; what came before a trimmed prefix is remembered too."""
        xp = namespace(support.e)
        users, prefixes, decisions = support.inside.shape
        start = self.start(params, spec, support.prior)[:, 0]
        size, events = support.events.slate, support.events.apart()
        e, chosen = in_turn(support.e, size), in_turn(support.seen.chosen, size)
        news = News(events, e, events.reward * events.mask, chosen, events.mask)
        states = xp.stack([start, *_read(params, start, news)], axis=1)
        nothing = xp.zeros((users, prefixes, 1), dtype=support.inside.dtype)
        ends = xp.concat([nothing, support.inside * (size or 1) * xp.arange(1, decisions + 1)], axis=-1)
        last = cast(xp.max(ends, axis=-1), xp.int64)
        return states[xp.arange(users)[:, None], last]

    def advance(self, params: Params, spec: Spec, copy: Array, news: News) -> Array:
        """One cell a new event."""
        return [copy, *_read(params, copy, news)][-1]

    def fast(self, params: Params, spec: Spec, copy: Array, prior: Array) -> Fast:
        """Reads u and the scale of the session state out of h."""
        h = copy[..., : spec.memory]
        return Fast(prior + h @ params["memory.u"], film=h @ params["memory.film"])


def _read(params: Params, state: Array, news: News) -> list[Array]:
    """States [B, 2 M] after each event from the first fresh one on."""
    xp = namespace(state)
    x = inputs(news)[:, news.first :] @ params["memory.inputs"] + params["memory.bias"]
    states = []
    for t in range(x.shape[1]):
        state = xp.where(news.fresh[:, news.first + t, None], cell(params, x[:, t], state), state)
        states.append(state)
    return states


def cell(params: Params, x: Array, state: Array) -> Array:
    """One step of the equations above.

    Args:
        params: settled; all that a gate sees is `halved` there.
        x: float [B, 4 M], x W + b of the gates i, f, o, likewise halved, and of the candidate.
        state: float [B, 2 M], h_tm1 and c_tm1.

    Returns:
        float [B, 2 M], h and c.
    """
    xp, m = namespace(x), state.shape[-1] // 2
    z = x + state @ params["memory.recurrent"]
    bent = xp.tanh(z)  # of o in vain, which sees c first: cheaper than to cut z in two
    gates = opened(bent[:, : 2 * m])
    c = gates[:, m:] * state[:, m:] + gates[:, :m] * bent[:, 3 * m :]
    h = opened(xp.tanh(z[:, 2 * m : 3 * m] + c * params["memory.output"])) * xp.tanh(c)
    return xp.concat([h, c], axis=-1)


def halved(x: Array) -> Array:
    """What the gates i, f, o see by a half, for `opened` makes sigmoid(2 z) of tanh(z): [..., 4 M] -> [..., 4 M]."""
    m = x.shape[-1] // 4
    return namespace(x).concat([0.5 * x[..., : 3 * m], x[..., 3 * m :]], axis=-1)


def recurrent(h: Array, peephole: Array) -> Array:
    """U of h_tm1 [M, 4 M] above the peepholes [3, M] through which i and f see c_tm1: [2 M, 4 M]."""
    xp = namespace(h)
    one = xp.eye(h.shape[0], dtype=h.dtype)
    c = xp.concat([peephole[0] * one, peephole[1] * one, 0.0 * one, 0.0 * one], axis=1)
    return xp.concat([h, c], axis=0)


def inputs(news: News) -> Array:
    """X of each event: [B, T, E + EXTRAS], in units of its own (`LstmMemory.settle`)."""
    xp, events = namespace(news.e), news.events
    users, length, width = news.e.shape
    x = xp.zeros((users, length, width + EXTRAS), dtype=news.e.dtype)
    x[..., :width] = news.e
    x[..., width] = news.chosen
    x[..., width + 1] = news.reward
    x[:, 1:, width + 2] = xp.log1p(time_gaps(events))
    x[..., width + 3] = places(events)
    return x


def time_gaps(events: Events) -> Array:
    """Hours from each event to the next: [B, T - 1]."""
    return clip(events.time_ms[:, 1:] - events.time_ms[:, :-1], 0, None) / HOUR_MS


def places(events: Events) -> Array:
    """Place of each event in its slate, 0 for the first: [B, T]."""
    xp, group = namespace(events.group), events.group
    if not group.shape[1]:
        return group
    return xp.arange(group.shape[1]) - first_true(group[:, :, None] == group[:, None, :])
