"""Choice logits and advantages of items for requests: of some candidates each, or of all items at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from meta import eras, groups, neighbours
from meta.arrays import lines
from meta.assortment import Assortment
from meta.choice import MAX_LOGIT
from meta.leading import blocks
from meta.neighbours import Neighbourhoods, Recalled
from meta.q_network import Belief, ItemTable
from meta.spec import Spec
from meta.types import Context, Events, FloatArray, IntArray, Params

HELD = 2**23
"""Values of items by users that are held at once."""


@dataclass(frozen=True, slots=True)
class Portraits:
    """What is made of B users before items come into play. It may be kept for their next requests, one by one.

    It depends on histories, copies and attributes, and only where the policy reads contexts on the request.

    Args:
        row: float32 [B, 2 + 2 E], V(s), the number of events that count, and what advantages and choice logits are
            taken against.
        memory: what the memory of co-occurrence recalls for each; none where there is no such memory.
    """

    row: FloatArray
    memory: Sequence[Recalled]

    @property
    def value(self) -> FloatArray:
        """V(s), [B, 1]."""
        return self.row[:, :1]

    @property
    def evidence(self) -> FloatArray:
        """Events that count, [B]."""
        return self.row[:, 1]

    @property
    def taste_q(self) -> FloatArray:
        """What advantages are taken against, [B, E]."""
        return self.row[:, 2 : 1 + self.row.shape[1] // 2]

    @property
    def taste_v(self) -> FloatArray:
        """What choice logits are taken against, [B, E]."""
        return self.row[:, 1 + self.row.shape[1] // 2 :]

    def some(self, users: slice) -> Portraits:
        """Some of the users."""
        return Portraits(self.row[users], self.memory[users])


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch of requests as scores depend on it.

    Args:
        users: who asks.
        context: their attributes, and when they ask.
        popularity: float [N] of the catalogue's rows, in place of what the log knew; None: as the log knew it.
    """

    users: Portraits
    context: Context
    popularity: FloatArray | None

    def some(self, users: slice) -> Asked:
        """Some of the requests."""
        return Asked(self.users.some(users), self.context.map(lambda x: x[users]), self.popularity)


def portraits(
    params: Params, near: Neighbourhoods | None, items: Assortment, belief: Belief, events: Events, inside: FloatArray
) -> Portraits:
    """Puts portraits together.

    Args:
        params: slow parameters.
        near: the memory of co-occurrence, where there is one.
        items: what the rows of histories mean.
        belief: what the network knows of the users, with P = 1.
        events: their histories [B, T].
        inside: float [B, T], 1 for the events that count.
    """
    memory: Sequence[Recalled] = ()
    if near is not None:
        rows = items.learnt(events.item)
        met = (events, inside) if rows is events.item else (replace(events, item=rows), inside * (rows >= 0))
        memory = neighbours.recalled(params, near, *met)
    parts = belief.value, inside.sum(-1, keepdims=True), belief.taste_q[:, 0], belief.taste_v[:, 0]
    return Portraits(np.concatenate(parts, axis=1), memory)


def of_rows(
    params: Params, spec: Spec, items: Assortment, asked: Asked, rows: IntArray
) -> tuple[FloatArray | None, FloatArray]:
    """Choice logits (None where no slate model asks for them) and advantages [B, C] of rows [B, C]."""
    table, users = items.table, asked.users
    advantage = (lines(table.e_q, rows) @ users.taste_q[:, :, None])[..., 0] + lines(table.b_q, rows)
    v = None
    if spec.slate == "logit":
        v = (lines(table.e_v, rows) @ users.taste_v[:, :, None])[..., 0] + lines(table.b_v, rows)
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
    n, users = len(items.catalogue), len(asked.users.row)
    advantage = np.empty((users, len(items)), np.float32)
    odds = None if whole.v is None else np.empty_like(advantage)
    scale = np.exp(params["advantage.log_scale"])
    terms = [scale * term for term in _logged(params, spec, items, asked, None)]
    one = np.ones((users, 1), np.float32)
    taste_q = scale * np.concatenate([asked.users.taste_q, one], axis=1)
    taste_v = np.concatenate([asked.users.taste_v, one], axis=1)
    for part in blocks(n):
        block = np.matmul(taste_q, whole.q[:, part], out=advantage[:, part])
        for term in terms:
            block += term[..., part]
        if odds is not None and whole.v is not None:
            odds[:, part] = _odds(taste_v @ whole.v[:, part])
    for mine, recalled in zip(advantage, asked.users.memory, strict=False):
        mine[recalled.item] += scale * recalled.term
    if n < len(items):
        rows = np.broadcast_to(np.arange(n, len(items)), (users, len(items) - n))
        v, advantage[:, n:] = of_rows(params, spec, items, asked, rows)
        if odds is not None and v is not None:
            odds[:, n:] = _odds(v)
    return odds, advantage


def _odds(v: FloatArray) -> FloatArray:
    out: FloatArray = np.exp(np.clip(v, -MAX_LOGIT, MAX_LOGIT))
    return out


def _logged(params: Params, spec: Spec, items: Assortment, asked: Asked, rows: IntArray | None) -> Iterator[FloatArray]:
    """What a log has counted: further terms of the advantage, of some of the catalogue's rows [B, C], or of all [N].

    The memory of co-occurrence is not among the terms of all rows: it knows few of them.
    """
    if spec.neighbours and rows is not None:
        yield neighbours.terms(asked.users.memory, rows, spec.items)
    if spec.groups:
        yield groups.scores(params, asked.context.attributes, asked.users.evidence, rows)
    if asked.popularity is not None:
        yield asked.popularity if rows is None else asked.popularity[rows]
    elif spec.eras:
        yield eras.scores(params, asked.context.now_ms[:, 0], rows)
