"""Choice logits and advantages of items for requests: of some candidates each, or of all items at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from meta import eras, groups, neighbours
from meta.arrays import lines
from meta.assortment import Assortment
from meta.choice import MAX_LOGIT
from meta.leading import blocks
from meta.q_network import Belief, ItemTable
from meta.spec import Spec
from meta.types import Context, Events, FloatArray, IntArray, Params

HELD = 2**23
"""Values of items by users that are held at once."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch of requests as scores depend on it.

    Args:
        belief: what the network knows of the users, with P = 1.
        events: their histories [B, T].
        context: who asks, in which context, and when.
        inside: float [B, T], 1 for the events that count.
        popularity: float [N] of the catalogue's rows, in place of what the log knew; None: as the log knew it.
    """

    belief: Belief
    events: Events
    context: Context
    inside: FloatArray
    popularity: FloatArray | None

    def some(self, users: slice) -> Asked:
        """Some of the requests."""
        belief = Belief(*(getattr(self.belief, name)[users] for name in Belief.__slots__))
        events, context = self.events.map(lambda x: x[users]), self.context.map(lambda x: x[users])
        return Asked(belief, events, context, self.inside[users], self.popularity)


def of_rows(
    params: Params, spec: Spec, items: Assortment, asked: Asked, rows: IntArray
) -> tuple[FloatArray | None, FloatArray]:
    """Choice logits (None where no slate model asks for them) and advantages [B, C] of rows [B, C]."""
    table, belief = items.table, asked.belief
    advantage = (lines(table.e_q, rows) @ belief.taste_q[:, 0, :, None])[..., 0] + lines(table.b_q, rows)
    v = None
    if spec.slate == "logit":
        v = (lines(table.e_v, rows) @ belief.taste_v[:, 0, :, None])[..., 0] + lines(table.b_v, rows)
    learnt = items.learnt(rows)
    if learnt is rows:
        for term in _logged(params, spec, items, asked, rows):
            advantage = advantage + term
    else:
        for term in _logged(params, spec, items, asked, np.maximum(learnt, 0)):
            advantage = advantage + np.where(learnt >= 0, term, 0.0)
    return v, np.exp(params["advantage.log_scale"]) * advantage


@dataclass(frozen=True, slots=True)
class Whole:
    """The towers of the catalogue's own items in columns: to be read from end to end, at the speed of the memory.

    Args:
        q: float32 [E + 1, N], advantage embeddings and, below them, biases.
        v: float32 [E + 1, N], those of choice; None where no slate model asks for them.
    """

    q: FloatArray
    v: FloatArray | None

    @classmethod
    def of(cls, table: ItemTable, spec: Spec) -> Whole:
        """Copies the lines of a table into columns."""

        def columns(e: FloatArray, b: FloatArray) -> FloatArray:
            out = np.empty((e.shape[1] + 1, len(e)), np.float32)
            for part in blocks(len(e)):
                out[:-1, part], out[-1, part] = e[part].T, b[part]
            return out

        return cls(columns(table.e_q, table.b_q), columns(table.e_v, table.b_v) if spec.slate == "logit" else None)


def of_all(
    params: Params, spec: Spec, whole: Whole, items: Assortment, asked: Asked
) -> tuple[FloatArray | None, FloatArray]:
    """Odds e^v (None where no slate model asks for them) and advantages, float32 [B, N + M], of all rows.

    Every block of the tables is read once for the whole batch; `HELD` says how large that may be.
    """
    n, users = len(items.catalogue), asked.events.users
    advantage = np.empty((users, len(items)), np.float32)
    odds = None if whole.v is None else np.empty_like(advantage)
    scale = np.exp(params["advantage.log_scale"])
    terms = [scale * term for term in _logged(params, spec, items, asked, None)]
    one = np.ones((users, 1), np.float32)
    taste_q = scale * np.concatenate([asked.belief.taste_q[:, 0], one], axis=1)
    taste_v = np.concatenate([asked.belief.taste_v[:, 0], one], axis=1)
    for part in blocks(n):
        block = np.matmul(taste_q, whole.q[:, part], out=advantage[:, part])
        for term in terms:
            block += term[..., part]
        if odds is not None and whole.v is not None:
            odds[:, part] = _odds(taste_v @ whole.v[:, part])
    if spec.neighbours:
        neighbours.recall_into(advantage, scale, params, *_met(items, asked))
    if n < len(items):
        rows = np.broadcast_to(np.arange(n, len(items)), (users, len(items) - n))
        v, advantage[:, n:] = of_rows(params, spec, items, asked, rows)
        if odds is not None and v is not None:
            odds[:, n:] = _odds(v)
    return odds, advantage


def _odds(v: FloatArray) -> FloatArray:
    out: FloatArray = np.exp(np.clip(v, -MAX_LOGIT, MAX_LOGIT))
    return out


def _met(items: Assortment, asked: Asked) -> tuple[Events, FloatArray]:
    """The histories by the catalogue's rows, and which of their events count there."""
    rows = items.learnt(asked.events.item)
    if rows is asked.events.item:
        return asked.events, asked.inside
    return replace(asked.events, item=rows), asked.inside * (rows >= 0)


def _logged(params: Params, spec: Spec, items: Assortment, asked: Asked, rows: IntArray | None) -> Iterator[FloatArray]:
    """What a log has counted: further terms of the advantage, of some of the catalogue's rows [B, C], or of all [N].

    The memory of co-occurrence is not among the terms of all rows: it knows few of them.
    """
    if spec.neighbours and rows is not None:
        yield neighbours.scores(params, spec, *_met(items, asked), rows)
    if spec.groups:
        yield groups.scores(params, asked.context.attributes, asked.inside.sum(-1), rows)
    if asked.popularity is not None:
        yield asked.popularity if rows is None else asked.popularity[rows]
    elif spec.eras:
        yield eras.scores(params, asked.context.now_ms[:, 0], rows)
