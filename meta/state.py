"""The session state h(s): decayed sums over the user's own events, each updatable in O(1), through a small network."""

from __future__ import annotations

import math

import numpy as np

from meta.arrays import cast, namespace, plus_one, positive
from meta.spec import Spec
from meta.types import Array, Events, FloatArray, Params

SUMS = (("chosen", 0.8), ("chosen", 0.9), ("chosen", 1.0), ("shown", 0.9), ("shown", 1.0), ("reward", 1.0))
"""What is summed, and its decay per decision."""
DECAYS = sorted({decay for _, decay in SUMS})
SHOWN = SUMS.index(("shown", 1.0))
"""The sum that counts the events."""


def summary_width(features: int) -> int:
    """S, the width of a summary over items of `features` features."""
    return len(SUMS) * (features + 1) + 2


def input_width(spec: Spec) -> int:
    """S + X, what h(s) is computed from: the summary and the request's context."""
    return summary_width(spec.features) + spec.context


def init(spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Fresh parameters of h(s), and of the modulation by the context where there is one."""

    def normal(rows: int, columns: int, gain: float = 1.0) -> FloatArray:
        return (gain / math.sqrt(rows) * rng.standard_normal((rows, columns))).astype(np.float32)

    h = spec.hidden
    params = {
        "state.w1": normal(input_width(spec), h),
        "state.b1": np.zeros(h, np.float32),
        "state.w2": normal(h, h),
        "state.b2": np.zeros(h, np.float32),
    }
    if spec.context:
        params |= {
            "context.w1": normal(spec.context, h),
            "context.b1": np.zeros(h, np.float32),
            "context.w2": normal(h, spec.width, 0.3),
        }
    return params


def modulation(params: Params, context: Array) -> Array:
    """m(s) = 1 + tanh(x W1 + b1) W2, by which a context scales what embeddings mean: [..., X] -> [..., E].

    FiLM (Perez et al. 2018). A user's u then weighs products of context and item, so it can tell that an action means
    something else to this user in this situation; scoring stays a matrix-vector product.
    """
    xp = namespace(context)
    return 1.0 + xp.tanh(context @ params["context.w1"] + params["context.b1"]) @ params["context.w2"]


def prefix_ages(events: Events, prefix: Array, history: int) -> tuple[Array, Array]:
    """Which events a prefix of a history contains, and how many decisions ago each was.

    Args:
        events: histories [B, T].
        prefix: int [B, P], a prefix is the first so many decisions.
        history: newest decisions that count; older ones are out.

    Returns:
        float [B, P, D] of 0 and 1, and float [B, P, D] ages (0 = the newest decision; 0 where out); D as in `Events`.
    """
    one = slice(None), slice(events.decisions)  # event of each decision, or each event
    age = (prefix - 1)[:, :, None] - events.group[one][:, None, :]
    inside = events.mask[one][:, None, :] & (age >= 0)
    if events.decisions > history:  # a shorter one has nothing older
        inside = inside & (age < history)
    inside = cast(inside, events.reward.dtype)
    return inside, inside * cast(age, events.reward.dtype)


def summarise(features: Array, events: Events, inside: Array, age: Array) -> Array:
    """Decayed, shrunk means of the features of what was chosen, shown and rewarded, with their log counts.

    Args:
        features: float [B, T, F], features of each event's item.
        events: histories [B, T].
        inside: float [B, P, D], from `prefix_ages`.
        age: float [B, P, D], from `prefix_ages`.

    Returns:
        float [B, P, S], S = `summary_width(F)`; all zero for an empty prefix.
    """
    xp = namespace(features)
    faded = {decay: inside * xp.exp(math.log(decay) * age) if decay < 1.0 else inside for decay in DECAYS}
    shown, chosen, reward = _slates(features, events) if events.slate else (*[_counted(features)] * 2, events.reward)
    values = {"chosen": positive(reward)[:, None, :], "reward": reward[:, None, :]}
    each = [faded[decay] if kind == "shown" else faded[decay] * values[kind] for kind, decay in SUMS]
    batch, prefixes, length = inside.shape
    kinds, width = len(SUMS), features.shape[-1]
    if events.slate:
        sums = [x @ (shown if kind == "shown" else chosen) for x, (kind, _) in zip(each, SUMS, strict=True)]
        sums = xp.stack(sums, axis=2)
    else:
        weights = xp.concat([x[:, None] for x in each], axis=1)
        sums = weights.reshape(batch, kinds * prefixes, length) @ shown
        sums = sums.reshape(batch, kinds, prefixes, width + 1).swapaxes(1, 2)
    counts = xp.abs(sums[..., -1])
    means = (sums[..., :-1] / plus_one(counts)[..., None]).reshape(batch, prefixes, kinds * width)
    logs = 0.5 * xp.log1p(counts)
    return xp.concat([means, logs, logs[..., SHOWN, None], 0.01 * counts[..., SHOWN, None]], axis=-1)


def _slates(features: Array, events: Events) -> tuple[Array, Array, Array]:
    """What slates of K events, of which one may be chosen, have shown and had chosen, summed up for all prefixes.

    Features [B, T, F] -> counted features of what was shown and of what was chosen [B, D, F + 1], rewards [B, D].
    """
    xp, size = namespace(features), events.slate
    batch, length, width = features.shape
    decisions = length // size
    reward = events.reward.reshape(batch, size, decisions)
    place = xp.argmax(xp.abs(reward), axis=1) * decisions + xp.arange(decisions)
    shown = _counted(features.reshape(batch, size, decisions, width).sum(1), size)
    return shown, _counted(features[xp.arange(batch)[:, None], place]), reward.sum(1)


def _counted(features: Array, times: int = 1) -> Array:
    """Features [B, D, F] with how often they count beside them: [B, D, F + 1]."""
    xp = namespace(features)
    return xp.concat([features, xp.full((*features.shape[:-1], 1), float(times), dtype=features.dtype)], axis=-1)


def state(params: Params, seen: Array) -> Array:
    """h(s), two layers of tanh over summary and context: [B, P, S + X] -> [B, P, H]."""
    xp = namespace(seen)
    first = xp.tanh(seen @ params["state.w1"] + params["state.b1"])
    return xp.tanh(first @ params["state.w2"] + params["state.b2"])
