"""The one Q-function of design D1: infer taste by likelihood, plan by Q.

choice logit   v(s, a)   = (u + Uv h) * m . e_v(a) / sqrt(E) + b_v(a)
advantage      Adv(s, a) = (M u + Uq h) * m . e_q(a) / sqrt(E) + b_q(a)
value          Q(s, a)   = V(s) + c Adv(s, a)            (dueling: Wang et al. 2016)

u is the user's fast vector, h = h(s) the session state, m = m(s) the modulation by the request's context (1 without
one); everything else is slow and shared. The choice and the
advantage have towers of their own: what explains a choice is not what makes a slate worth showing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from meta.adapters import named
from meta.adapters.port import Fast, News, Support, logits
from meta.arrays import clip, lines, namespace, spread
from meta.choice import Outcomes, choices, losses, outcomes
from meta.spec import Spec
from meta.state import init as init_state
from meta.state import modulation, prefix_ages, state, summarise
from meta.types import Array, Context, Events, FloatArray, Params


@dataclass(frozen=True, slots=True)
class ItemTable:
    """What the towers say of items; embeddings already divided by sqrt(E).

    Args:
        e_v: float [N, E], choice embeddings.
        b_v: float [N], choice biases.
        e_q: float [N, E], advantage embeddings.
        b_q: float [N], advantage biases.
        features: float [N, F].
    """

    e_v: Array
    b_v: Array
    e_q: Array
    b_q: Array
    features: Array


@dataclass(frozen=True, slots=True)
class Belief:
    """What the network knows of users after P prefixes of their histories.

    Args:
        u: float [B, P, E], fast vectors.
        taste_v: float [B, P, E], (u + Uv h) * m: what choice logits are taken against.
        taste_q: float [B, P, E], (M u + Uq h) * m: what advantages are taken against.
        value: float [B, P], V(s).
    """

    u: Array
    taste_v: Array
    taste_q: Array
    value: Array


def init(spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Fresh parameters by name, float32, the adapter's included."""

    def normal(*shape: int, std: float) -> FloatArray:
        return (std * rng.standard_normal(shape)).astype(np.float32)

    e, h, f, t = spec.width, spec.hidden, spec.features, spec.tower
    params: dict[str, FloatArray] = {
        "prior": normal(e, std=0.1),
        **init_state(spec, rng),
        "taste.v": normal(h, e, std=0.1 / math.sqrt(h)),
        "taste.q": normal(h, e, std=0.1 / math.sqrt(h)),
        "taste.m": np.eye(e, dtype=np.float32),
        "value.w": np.zeros(h, np.float32),
        "value.b": np.zeros((), np.float32),
        "advantage.log_scale": np.zeros((), np.float32),
    }
    if spec.attributes:
        params["prior.attributes"] = np.zeros((spec.attributes, e), np.float32)
    for head in ("v", "q"):
        params |= {
            f"item.{head}.linear": normal(f, e, std=0.3),
            f"item.{head}.bias": np.zeros(f, np.float32),
            f"item.{head}.bias0": np.zeros((), np.float32),
        }
        if t:
            params |= {
                f"item.{head}.w1": normal(f, t, std=1 / math.sqrt(max(f, 1))),
                f"item.{head}.b1": np.zeros(t, np.float32),
                f"item.{head}.w2": normal(t, e + 1, std=1 / math.sqrt(t)),
            }
        if spec.item_ids:
            params |= {
                f"item.{head}.id": normal(spec.items, e, std=0.05),
                f"item.{head}.id_bias": np.zeros(spec.items, np.float32),
            }
    return params | named(spec.adapter).init(spec, rng)


def items(params: Params, spec: Spec, features: Array) -> ItemTable:
    """Both towers over the whole catalogue: features [N, F]."""
    xp = namespace(features)
    root = 1.0 / math.sqrt(spec.width)
    sides: list[Array] = []
    for head in ("v", "q"):
        e = features @ params[f"item.{head}.linear"]
        b = features @ params[f"item.{head}.bias"] + params[f"item.{head}.bias0"]
        if spec.tower:
            out = xp.tanh(features @ params[f"item.{head}.w1"] + params[f"item.{head}.b1"]) @ params[f"item.{head}.w2"]
            e, b = e + out[:, :-1], b + out[:, -1]
        if spec.item_ids:
            e, b = e + params[f"item.{head}.id"], b + params[f"item.{head}.id_bias"]
        sides += [root * e, b]
    e_v, b_v, e_q, b_q = sides
    return ItemTable(e_v, b_v, e_q, b_q, features)


def nothing_known(events: Events, spec: Spec, prefixes: int = 1) -> Context:
    """The context of users of whom nothing is known but their histories; the time is that of their newest event."""
    xp = namespace(events.reward)
    users, dtype = events.users, events.reward.dtype
    latest = xp.zeros(users, dtype=events.time_ms.dtype)
    if events.time_ms.shape[1]:
        latest = xp.max(events.time_ms, axis=-1)
    return Context(
        xp.zeros((users, spec.attributes), dtype=dtype),
        xp.zeros((users, prefixes, spec.context), dtype=dtype),
        spread(latest[:, None], (users, prefixes)),
    )


def prior(params: Params, spec: Spec, attributes: Array) -> Array:
    """u0 of each user, moved by what their attributes tell: [B, A] -> [B, 1, E]."""
    u0 = spread(params["prior"], (attributes.shape[0], 1, spec.width))
    return u0 + (attributes @ params["prior.attributes"])[:, None] if spec.attributes else u0


class Past(NamedTuple):
    """What P prefixes of every history tell whatever the parameters, so that networks can share it.

    Args:
        events: histories [B, T].
        inside, age: float [B, P, D], from `prefix_ages`.
        seen: what was chosen.
        summary: float [B, P, S].
    """

    events: Events
    inside: Array
    age: Array
    seen: Outcomes
    summary: Array


def read(spec: Spec, features: Array, events: Events, prefix: Array) -> Past:
    """Looks back from int [B, P] decisions in histories [B, T] of items with features [N, F]."""
    if spec.slate != "logit":
        events = events.apart()
    inside, age = prefix_ages(events, prefix, spec.history)
    return Past(events, inside, age, outcomes(events, spec.slate), _summary(spec, features, events, inside, age))


def believe(
    params: Params, spec: Spec, table: ItemTable, events: Events, prefix: Array, context: Context | None = None
) -> Belief:
    """Adapts and summarises P prefixes of every history in one pass.

    Args:
        params: slow parameters.
        spec: their shape.
        table: `items` of the catalogue.
        events: histories [B, T].
        prefix: int [B, P], decisions in each prefix.
        context: of the P requests that follow the prefixes; None: nothing is known.
    """
    context = context or nothing_known(events, spec, prefix.shape[1])
    return recall(params, spec, table, read(spec, table.features, events, prefix), context)


def recall(params: Params, spec: Spec, table: ItemTable, past: Past, context: Context) -> Belief:
    """As `believe`, of prefixes that have been read."""
    u0 = prior(params, spec, context.attributes)
    copy = adapt(params, spec, _support(params, spec, table, past.events, past.seen, past.inside, past.age, u0))
    return _joined(params, spec, past.summary, copy, context)


def adapt(params: Params, spec: Spec, support: Support) -> Array:
    """The copies [B, P, Z] that the adapter of `spec` learns under parameters that are not settled yet."""
    adapter = named(spec.adapter)
    return adapter.adapt(adapter.settle(params, spec), spec, support)


def gather(params: Params, spec: Spec, table: ItemTable, events: Events, prefix: Array, attributes: Array) -> Support:
    """The support of an adapter: what the table says of the items in the histories; attributes [B, A]."""
    if spec.slate != "logit":
        events = events.apart()
    inside, age = prefix_ages(events, prefix, spec.history)
    u0 = prior(params, spec, attributes)
    return _support(params, spec, table, events, outcomes(events, spec.slate), inside, age, u0)


def _support(
    params: Params, spec: Spec, table: ItemTable, events: Events, seen: Outcomes, inside: Array, age: Array, u0: Array
) -> Support:
    rows = _known(events.item)
    e, bias = _met(params, spec, table, events, rows), lines(table.b_v, rows)
    support = Support(events, e, bias, seen, inside, age, u0)
    return support._replace(before=_decided_in(spec, table, events)) if spec.scope == "network" else support


def gather_new(params: Params, spec: Spec, table: ItemTable, events: Events, fresh: Array, first: int) -> News:
    """What a streaming adapter reads on: of the histories [B, T] the events that are fresh, from the first one on."""
    e = _met(params, spec, table, events, _known(events.item))
    reward = events.reward * events.mask
    return News(events, e, reward, choices(reward, spec.slate), fresh, first)


def look(
    params: Params,
    spec: Spec,
    table: ItemTable,
    events: Events,
    inside: Array,
    age: Array,
    copy: Array,
    context: Context,
) -> Belief:
    """Joins copies [B, P, Z] with session state and context into a belief; inside and age as in `prefix_ages`."""
    return _joined(params, spec, _summary(spec, table.features, events, inside, age), copy, context)


def _summary(spec: Spec, features: Array, events: Events, inside: Array, age: Array) -> Array:
    """What h(s) sees of the prefixes: [B, P, S]."""
    inside = inside if named(spec.adapter).sees_session else 0.0 * inside
    return summarise(lines(features, _known(events.item)), events, inside, age)


def _joined(params: Params, spec: Spec, seen: Array, copy: Array, context: Context) -> Belief:
    """Copies [B, P, Z] with summaries [B, P, S] and context."""
    xp, adapter = namespace(copy), named(spec.adapter)
    if spec.context:
        seen = xp.concat([seen, context.request], axis=-1)
    fast = adapter.fast(params, spec, copy, prior(params, spec, context.attributes))
    if fast.layers is None:
        h = state(params, seen)
        h = h if fast.film is None else h * (1.0 + fast.film)
        taste_v = fast.u + h @ params["taste.v"]
    else:
        h, taste_v = (x[..., 0, :] for x in fast.layers.activations(seen[..., None, :])[-2:])
    taste_q = fast.u @ params["taste.m"] + h @ params["taste.q"]
    if spec.context:
        m = modulation(params, context.request)
        taste_v, taste_q = taste_v * m, taste_q * m
    return Belief(fast.u, taste_v, taste_q, h @ params["value.w"] + params["value.b"])


def choice_logits(belief: Belief, e_v: Array, b_v: Array) -> Array:
    """v(s, a) of candidates: e_v [B, P, C, E], b_v [B, P, C] -> [B, P, C]."""
    return (e_v @ belief.taste_v[..., None])[..., 0] + b_v


def advantages(params: Params, belief: Belief, e_q: Array, b_q: Array) -> Array:
    """C Adv(s, a) of candidates: e_q [B, P, C, E], b_q [B, P, C] -> [B, P, C]."""
    xp = namespace(e_q)
    return xp.exp(params["advantage.log_scale"]) * ((e_q @ belief.taste_q[..., None])[..., 0] + b_q)


def support_loss(fast: Fast, support: Support) -> Array:
    """Mean choice loss by decision of the events inside each prefix under copies of P prefixes: [B, P]; 0 if empty."""
    decisions = (support.inside * support.seen.share[:, None, :]).sum(-1)
    total = (support.inside * losses(logits(fast, support), support.seen)).sum(-1)
    return total / clip(decisions, 1.0, None)


def _met(params: Params, spec: Spec, table: ItemTable, events: Events, rows: Array) -> Array:
    """Choice embedding of each event's item, at `rows` of the table, in its context: [B, T, E]."""
    e = lines(table.e_v, rows)
    if spec.context and events.context is not None:
        e = e * modulation(params, events.context)
    return e


def _decided_in(spec: Spec, table: ItemTable, events: Events) -> Array:
    """Summary and context [B, T, S + X] that each event was decided in: what the session had been until then."""
    xp = namespace(events.reward)
    inside, age = prefix_ages(events, events.group, spec.history)
    seen = summarise(lines(table.features, _known(events.item)), events, inside, age)
    if not spec.context:
        return seen
    nothing = xp.zeros((*events.item.shape, spec.context), dtype=seen.dtype)
    return xp.concat([seen, nothing if events.context is None else events.context], axis=-1)


def _known(rows: Array) -> Array:
    """Rows with padding and unknown items sent to row 0, where the mask hides them."""
    return clip(rows, 0, None)
