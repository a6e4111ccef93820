"""The users of a batch: from what the store keeps to one copy of the policy each, and why where it is the prior."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from time import perf_counter

import numpy as np
import numpy.typing as npt

from meta import gate
from meta.policy import Policy
from meta.types import Adaptation, Context, Events, FloatArray, IntArray
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access.tenants import UserKey
from service.lanes import Lanes
from service.metrics import Metrics
from service.store import FreshCopy, Kept, copies, history

_LOG = logging.getLogger("quickstudy")

NO_EVENTS = "no events"
UNKNOWN_EVENTS = "no event of a known item"
UNREADABLE = "the history is unreadable"
FAILED = -1
"""Where the gate has no verdict, as adaptation failed."""
REFUSED = {
    gate.UNSOUND: "the adapted copy was refused: not finite, or exploded",
    gate.MISLED: "the adapted copy was refused: worse than the prior at the newest decisions",
    FAILED: "adaptation failed",
}
"""Why there is no copy, by verdict."""


@dataclass(slots=True)
class Users:
    """The users of a batch.

    Args:
        state: their decoded histories.
        context: what is known of their requests beside those.
        adapted: their copies of the policy, the prior where there is a reason.
        source: which knowledge that is, a pb.Source.
        reason: why it is not the copy as adapted to the history as it is now, "" where it is.
        fresh: int, the users whose copy is new and should be kept.
        lasting: bool [B], whose copy the store had already, and it may serve: who may well ask again in the same state.
    """

    state: history.Histories
    context: Context
    adapted: Adaptation
    source: list[pb.Source]
    reason: list[str]
    fresh: IntArray
    lasting: npt.NDArray[np.bool_]


class Personaliser:
    """Finds or makes the copy of each user of a batch."""

    def __init__(self, policy: Policy, metrics: Metrics) -> None:
        self._policy = policy
        self.lanes = Lanes(policy)
        self.packing = copies.Packing(policy)
        self._seconds = metrics.adaptation_seconds
        self._before, self._after = (metrics.adaptation_loss.labels(moment) for moment in ("before", "after"))
        self._made = {kind: metrics.copies.labels(kind) for kind in ("adapted", "carried", "cached")}
        self._rejected = {
            verdict: metrics.gate_rejections.labels(reason)
            for verdict, reason in ((gate.UNSOUND, "unsound"), (gate.MISLED, "misled"))
        }

    def users(self, kept: Kept, context: Context) -> Users:
        """Decodes histories and copies, and adapts the users whose copy is missing or older than what is kept."""
        values = kept.histories
        state = history.decode(values, self._policy.items)
        known = state.events.mask.any(axis=1)
        # A copy may outlive its history; then it is nobody's.
        stored = [copy if any_events else None for copy, any_events in zip(kept.copies, known.tolist(), strict=True)]
        found = self.packing.unpack(stored, state.watermark, self.packing.marks(kept.attributes, state.mark))
        stale = np.flatnonzero(known & ~found.current)
        adapted, fresh = found.adaptation, stale
        if stale.size:
            started = perf_counter()
            adapted = self._renew(state.events, context.attributes, values, found, stale)
            fresh = stale[adapted.verdict[stale] != FAILED]
            took = perf_counter() - started
            self._seconds.observe(took)
            self.lanes.adapted(int(stale.size) * state.events.item.shape[1], took)
        if hits := int(np.count_nonzero(found.current)):
            self._made["cached"].inc(hits)
        accepted = adapted.verdict == gate.ACCEPTED
        if context.attributes.any():
            prior = self._policy.prior(len(values), context.attributes)
            adapted = replace(adapted, copy=np.where(accepted[:, None], adapted.copy, prior))
        personal = known & accepted
        source, reason = [pb.SOURCE_ADAPTED] * len(values), [""] * len(values)
        for i in np.flatnonzero(~personal).tolist():
            source[i], reason[i] = pb.SOURCE_PRIOR, _why_prior(state, known, adapted, i)
        return Users(state, context, adapted, source, reason, fresh, personal & found.current)

    def to_keep(self, keys: Sequence[UserKey], kept: Kept, users: Users) -> list[FreshCopy]:
        """The new copies of a batch as the store keeps them."""
        if not users.fresh.size:
            return []
        new = users.adapted.map(lambda x: x[users.fresh])
        mark = self.packing.marks(kept.attributes, users.state.mark)
        packed = self.packing.pack(new, users.state.watermark[users.fresh], mark[users.fresh])
        return [
            FreshCopy(keys[i], (kept.histories[i] or b"")[: history.HEADER], value)
            for i, value in zip(users.fresh.tolist(), packed, strict=True)
        ]

    def _renew(
        self,
        events: Events,
        attributes: FloatArray,
        values: Sequence[bytes | None],
        found: copies.Copies,
        stale: IntArray,
    ) -> Adaptation:
        """The batch with the copies of the users in `stale` made anew or carried on."""
        adapted, anew = found.adaptation, stale
        if self._policy.streams:
            new = np.zeros(events.users, np.int64)
            for i in stale[found.usable[stale]].tolist():
                new[i] = history.newest(values[i] or b"", int(found.watermark[i]))
            on = np.flatnonzero((new > 0) & (adapted.verdict == gate.ACCEPTED))
            if on.size:
                carried = self._carry(events, values, adapted, new, on)
                self._tell_rejections(carried)
                adapted = _put(adapted, on, carried)
                self._made["carried"].inc(int(on.size))
                anew = np.setdiff1d(stale, on)
        if not anew.size:
            return adapted
        everybody = anew.size == events.users
        some = events if everybody else events.map(lambda x: x[anew])
        made = self._adapt(some, attributes if everybody else attributes[anew])
        self._tell_losses(made)
        self._tell_rejections(made)
        self._made["adapted"].inc(int(anew.size))
        return made if everybody else _put(adapted, anew, made)

    def _tell_rejections(self, made: Adaptation) -> None:
        """Counts the copies that the gate keeps from serving."""
        for verdict in made.verdict[made.verdict != gate.ACCEPTED].tolist():
            if verdict != FAILED:
                self._rejected[verdict].inc()

    def _tell_losses(self, made: Adaptation) -> None:
        """Notes how much better the copies that may serve fit their histories than the prior does."""
        fitted = (made.verdict == gate.ACCEPTED) & (made.events_used > 0)
        for histogram, losses in ((self._before, made.loss_before), (self._after, made.loss_after)):
            for loss in losses[fitted].tolist():
                histogram.observe(loss)

    def _carry(
        self, events: Events, values: Sequence[bytes | None], adapted: Adaptation, new: IntArray, on: IntArray
    ) -> Adaptation:
        """The copies of the users in `on` carried on by their `new` newest events."""
        size = np.array([len(history.records(values[i])) for i in on])[:, None]
        at = np.arange(events.item.shape[1])
        fresh = (at >= size - new[on, None]) & (at < size)
        return self._policy.advance(adapted.map(lambda x: x[on]), events.map(lambda x: x[on]), fresh)

    def _adapt(self, events: Events, attributes: FloatArray) -> Adaptation:
        """Copies of a batch: whatever is odd about one user, the others are adapted."""
        try:
            return self._policy.adapt(events, attributes)
        except Exception:
            if events.users == 1:
                _LOG.exception("adaptation of a user failed")
                none = np.zeros(1, np.float32)
                prior = self._policy.prior(1, attributes)
                return Adaptation(prior, np.full(1, FAILED, np.int8), none, none, np.zeros(1, np.int64))
        rows = [itemgetter(slice(i, i + 1)) for i in range(events.users)]
        alone = [self._adapt(events.map(row), row(attributes)) for row in rows]
        parts = [[getattr(copy, name) for copy in alone] for name in Adaptation.__dataclass_fields__]
        return Adaptation(*map(np.concatenate, parts))


def _why_prior(state: history.Histories, known: npt.NDArray[np.bool_], adapted: Adaptation, i: int) -> str:
    if state.unreadable[i]:
        return UNREADABLE
    if known[i]:
        return REFUSED[int(adapted.verdict[i])]
    return UNKNOWN_EVENTS if state.watermark[i] else NO_EVENTS


def _put(into: Adaptation, rows: IntArray, values: Adaptation) -> Adaptation:
    """A batch of copies with some rows replaced."""
    out = into.map(np.copy)
    for name in Adaptation.__dataclass_fields__:
        getattr(out, name)[rows] = getattr(values, name)
    return out
