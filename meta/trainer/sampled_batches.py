"""What a gradient step on a log of very many items needs: windows of histories, later likes, shared candidates.

Nothing here has an axis of all items, so a step costs the same whatever the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meta.tasks import Sequences, windows
from meta.types import Context, Events, FloatArray, IntArray

MET = 512
"""Newest events before a prefix's end whose items are no candidates; a service remembers fewer."""
TARGETS = 16
"""Likes drawn of all that follow a prefix."""


@dataclass(frozen=True, slots=True)
class Sample:
    """B users, P prefixes of each one's window, and after the last prefix one more: the first one's next state.

    Items are places in `rows`.

    Args:
        rows: int [R], the catalogue rows in play, ascending.
        events: numpy histories [B, T].
        prefix: int [B, P + 1], events in each prefix.
        known: of the requests [B, P + 1] that follow the prefixes; each is the next event's, or the last one's again.
        target: int [B, P, M], items drawn among those that the user first met and liked after the prefix.
        distinct: bool [B, P, M], true where a target is drawn for the first time.
        weight: float32 [B, P], number of such likes.
        candidate: int [U], items drawn by popularity, each once.
        correction: float32 [U], log(c / (S q)) of a candidate drawn c times of S at the chance q: with it, sums over
            candidates estimate sums over all items.
        open: bool [B, P + 1, U], candidates that the user had not met by then.
        other: bool [B, P, U], those of them that are no targets.
        action: int [B], item of the event after the first prefix.
        reward: float32 [B], its reward.
    """

    rows: IntArray
    events: Events
    prefix: IntArray
    known: Context
    target: IntArray
    distinct: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float32]
    candidate: IntArray
    correction: npt.NDArray[np.float32]
    open: npt.NDArray[np.bool_]
    other: npt.NDArray[np.bool_]
    action: IntArray
    reward: npt.NDArray[np.float32]


class Sampler:
    """Draws batches of a log; everything that costs as much as the log is done once.

    Args:
        log: the log.
        likes: float [N], how often each item was liked by training users.
        sampled: S, draws of candidates, in proportion to likes + 1.
    """

    def __init__(self, log: Sequences, likes: FloatArray, sampled: int) -> None:
        self._log, self._sampled = log, sampled
        chance = likes + 1.0
        self._edges = np.cumsum(chance)
        self._log_chance = np.log(chance / chance.sum())
        owner = np.repeat(np.arange(len(log.users)), log.lengths)
        _, first = np.unique(owner * np.int64(log.items) + log.item, return_index=True)
        met_first = np.zeros(len(log.item), bool)
        met_first[first] = True
        self._likes = np.flatnonzero(met_first & (log.reward > 0))
        self._place = np.full(log.items, -1, np.int32)

    def draw(
        self, users: IntArray, rng: np.random.Generator, *, prefixes: int, length: int, short: int, from_start: float
    ) -> Sample:
        """Draw windows of some users, each with 2 events or more; the arguments are those of `log_batches.draw`."""
        log = self._log
        batch, size = len(users), log.lengths[users]
        late = (rng.random(batch) * np.maximum(size - short, 1)).astype(np.int64)
        skip = np.where(rng.random(batch) < from_start, 0, late)
        longest = np.minimum(size - skip - 1, length)
        bound = np.where(rng.random((batch, prefixes)) < 0.5, np.minimum(longest, short)[:, None], longest[:, None])
        prefix = np.floor(rng.random((batch, prefixes)) * (bound + 1)).astype(np.int64)
        prefix = np.concatenate([prefix, prefix[:, :1] + 1], axis=1)
        start = log.offsets[users] + skip
        events = windows(log, start, np.minimum(log.offsets[users + 1], start + length + 1), length + 1)
        cut = start[:, None] + prefix
        target, weight = self._later(users, cut[:, :-1], rng)
        drawn = self._edges.searchsorted(rng.random(self._sampled) * self._edges[-1], side="right")
        candidate, times = np.unique(drawn, return_counts=True)
        correction = np.log(times / self._sampled) - self._log_chance[candidate]
        open_, other = self._among(users, cut, target, candidate)
        action = log.item[cut[:, 0]]
        rows = np.unique(np.concatenate([events.item[events.mask], target.ravel(), candidate, action]))
        item = np.where(events.mask, rows.searchsorted(events.item), -1)
        same = target[..., :, None] == target[..., None, :]
        distinct = ~np.tril(same, -1).any(-1)
        return Sample(
            rows, Events(item, events.reward, events.group, events.mask, events.length, events.time_ms), prefix,
            log.known(users, np.minimum(cut, log.offsets[users + 1][:, None] - 1)),
            rows.searchsorted(target), distinct, weight.astype(np.float32), rows.searchsorted(candidate),
            correction.astype(np.float32), open_, other,
            rows.searchsorted(action), log.reward[cut[:, 0]],
        )  # fmt: skip

    def _later(self, users: IntArray, cut: IntArray, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Likes drawn among those from event `cut` [B, P] on: items [B, P, M] (row 0 without any), numbers [B, P]."""
        first = self._likes.searchsorted(cut)
        count = np.maximum(self._likes.searchsorted(self._log.offsets[users + 1])[:, None] - first, 0)
        pick = first[..., None] + (rng.random((*cut.shape, TARGETS)) * count[..., None]).astype(np.int64)
        at = self._likes[np.minimum(pick, len(self._likes) - 1)]
        return np.where(count[..., None] > 0, self._log.item[at], 0), count

    def _among(
        self, users: IntArray, cut: IntArray, target: IntArray, candidate: IntArray
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which candidates were not met before each cut, bool [B, P + 1, U], and which of them are no targets."""
        log = self._log
        self._place[candidate] = np.arange(len(candidate))
        last = cut.max(1)
        begin = np.maximum(last - MET, log.offsets[users])
        count = last - begin
        owner = np.repeat(np.arange(len(users)), count)
        at = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + begin[owner]
        place = self._place[log.item[at]]
        hit = place >= 0
        owner, at, place = owner[hit], at[hit], place[hit]
        open_ = np.ones((*cut.shape, len(candidate)), bool)
        event, prefix = np.nonzero(at[:, None] < cut[owner])
        open_[owner[event], prefix, place[event]] = False
        other = open_[:, :-1].copy()
        place = self._place[target]
        user, prefix, draw = np.nonzero(place >= 0)
        other[user, prefix, place[user, prefix, draw]] = False
        self._place[candidate] = -1
        return open_, other
