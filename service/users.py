"""The users of a batch: from what the store keeps to one copy of the policy each, and why where it is the prior."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from meta.policy import Policy
from meta.types import Adaptation, Events, IntArray
from service import copies, history
from service.metrics import Metrics
from service.store import FreshCopy

_LOG = logging.getLogger("quickstudy")

NO_EVENTS = "no events"
UNKNOWN_EVENTS = "no event of a known item"
REFUSED = "the adapted copy was refused"
FAILED = "adaptation failed"
UNREADABLE = "the history is unreadable"


@dataclass(slots=True)
class Users:
    """The users of a batch.

    Args:
        state: their decoded histories.
        copy: their copies of the policy, the prior where there is a reason.
        reason: why the copy is the prior, "" where it is adapted.
        fresh: int, the users whose copy is new and should be kept.
    """

    state: history.Histories
    copy: Adaptation
    reason: list[str]
    fresh: IntArray


class Personaliser:
    """Finds or makes the copy of each user of a batch."""

    def __init__(self, policy: Policy, metrics: Metrics) -> None:
        self._policy = policy
        self._prior = policy.prior(1)
        self._seconds = metrics.adaptation_seconds
        self._adapted, self._cached = metrics.copies.labels("adapted"), metrics.copies.labels("cached")

    def users(self, values: Sequence[bytes | None], cached: Sequence[bytes | None]) -> Users:
        """Decodes histories and copies, and adapts the users whose copy is missing or older than the history."""
        policy = self._policy
        state = history.decode(values, policy.catalogue)
        found = copies.decode(cached, state.watermark, policy.version, self._prior)
        known = state.events.mask.any(axis=1)
        stale = np.flatnonzero(known & ~found.current)
        copy, failed = found.adaptation, stale[:0]
        if stale.size:
            started = perf_counter()
            everybody = stale.size == len(values)
            adapted, missed = self._adapt(state.events if everybody else take(state.events, stale))
            copy, failed = adapted if everybody else _put(copy, stale, adapted), stale[missed]
            self._seconds.observe(perf_counter() - started)
            self._adapted.inc(int(stale.size))
        if hits := int(np.count_nonzero(known & found.current)):
            self._cached.inc(hits)
        reason = [""] * len(values)
        for i in np.flatnonzero(~known | ~copy.accepted).tolist():
            reason[i] = FAILED if i in failed else _why_prior(state, known, i)
        return Users(state, copy, reason, np.setdiff1d(stale, failed) if failed.size else stale)

    def to_keep(self, user_ids: Sequence[str], values: Sequence[bytes | None], users: Users) -> list[FreshCopy]:
        """The new copies of a batch as the store keeps them."""
        if not users.fresh.size:
            return []
        new = _rows_of(users.copy, users.fresh)
        packed = copies.encode(new, users.state.watermark[users.fresh], self._policy.version)
        return [
            FreshCopy(user_ids[i], (values[i] or b"")[: history.HEADER], value)
            for i, value in zip(users.fresh.tolist(), packed, strict=True)
        ]

    def _adapt(self, events: Events) -> tuple[Adaptation, list[int]]:
        """Copies of a batch, and the users for whom that failed: whatever is odd about one, the others are adapted."""
        try:
            return self._policy.adapt(events), []
        except Exception:
            if events.users == 1:
                _LOG.exception("adaptation of a user failed")
                none = np.zeros(1, np.float32)
                return Adaptation(self._prior, np.zeros(1, bool), none, none, np.zeros(1, np.int64)), [0]
        alone = [self._adapt(take(events, np.array([i]))) for i in range(events.users)]
        one = [copy for copy, _ in alone]
        copy = Adaptation(
            np.concatenate([part.u for part in one]),
            np.concatenate([part.accepted for part in one]),
            np.concatenate([part.loss_before for part in one]),
            np.concatenate([part.loss_after for part in one]),
            np.concatenate([part.events_used for part in one]),
        )
        return copy, [i for i, (_, failed) in enumerate(alone) if failed]


def take(events: Events, rows: IntArray) -> Events:
    """The histories of some users of a batch."""
    return Events(
        events.item[rows],
        events.reward[rows],
        events.group[rows],
        events.mask[rows],
        events.length[rows],
        events.time_ms[rows],
    )


def _why_prior(state: history.Histories, known: npt.NDArray[np.bool_], i: int) -> str:
    if state.unreadable[i]:
        return UNREADABLE
    if known[i]:
        return REFUSED
    return UNKNOWN_EVENTS if state.watermark[i] else NO_EVENTS


def _rows_of(copy: Adaptation, rows: IntArray) -> Adaptation:
    """The copies of some users of a batch."""
    return Adaptation(
        copy.u[rows], copy.accepted[rows], copy.loss_before[rows], copy.loss_after[rows], copy.events_used[rows]
    )


def _put(into: Adaptation, rows: IntArray, values: Adaptation) -> Adaptation:
    """A batch of copies with some rows replaced."""
    out = Adaptation(
        into.u.copy(), into.accepted.copy(), into.loss_before.copy(), into.loss_after.copy(), into.events_used.copy()
    )
    for name in ("u", "accepted", "loss_before", "loss_after", "events_used"):
        getattr(out, name)[rows] = getattr(values, name)
    return out
