"""Replay of the adapting policy: before every logged decision the user's copy, as the service would have had it.

A decision's history is what had been recorded of its user by then, newest events kept, in the order in which the store
keeps them; the copy is what `Policy.adapt` learns from that, and the scores are those that `Policy.rank` draws by. So
the replayed policy learns from what the LOGGING policy showed: its probability of each logged choice is the one it
would have had in that place, and estimates from it are of "the judged policy decides once, in every place that the
logging policy's users were brought to". Products over a user's decisions (`estimators.per_decision_is`) are of the
judged policy deciding all along.

A streaming adapter (`lstm_memory`) is read anew from the kept events, which is what it is until a history is trimmed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from meta import gate, histories
from meta.policy import Policy
from meta.ranking import drop_repeats, log_propensities
from meta.types import BoolArray, Context, Events, FloatArray, IntArray
from replay import contexts
from replay.decisions import Log, watermarks

CELLS = 1 << 15
"""Decisions of a chunk times events of its longest history, about."""
MOST = 2_048
"""Decisions of a chunk."""


SCORES = 1 << 20
"""Scores of whole catalogues that are in memory at once."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a policy would have done in the places of a log.

    Args:
        log_propensity: float32 [n, K], of each logged position given those above; -inf: impossible, 0: past the end.
        rank: int32 [n, K], from 1, where the policy would have put what was shown; 0 where it cannot show it.
        known: int32 [n], events of known items that the copy has learnt from; 0: the prior.
        first: float32 [n, C], probability of each candidate at the first position; None where it was not asked for.
        exposure: float64 [N], how often each item of the catalogue is among the policy's best `len(slate)`.
        unknown: decisions that show an item which the policy does not know.
    """

    log_propensity: FloatArray
    rank: IntArray
    known: IntArray
    first: FloatArray | None
    exposure: FloatArray
    unknown: int


def replay(
    policy: Policy,
    log: Log,
    *,
    temperature: float | None = None,
    adapting: bool = True,
    cap: int = histories.CAP,
    first: bool = False,
) -> Iterator[int | Replayed]:
    """Replays a log; yields how many more decisions are done, and at last what was found.

    Args:
        policy: which is judged.
        log: its decisions and events.
        temperature: of the policy's draw, in units of scores; None: its own.
        adapting: false for the policy as everybody meets it who has no history: the same for all.
        cap: newest events of a history that the service keeps.
        first: whether the probabilities of all candidates at the first position are wanted.
    """
    seat = _Seat(policy, log, policy.manifest.temperature if temperature is None else temperature, adapting, cap)
    n, size = log.decisions.slate.shape
    chance = np.zeros((n, size), np.float32)
    rank, known = np.zeros((n, size), np.int32), np.zeros(n, np.int32)
    all_ = np.zeros(log.decisions.candidates.shape, np.float32) if first else None
    exposure = np.zeros(len(policy.catalogue))
    length = np.minimum(log.decisions.seen, cap) if adapting else np.zeros(n, np.int64)
    order = np.argsort(length, kind="stable")  # histories of one length together: nothing is computed for padding
    start = 0
    while start < n:
        width = int(length[order[min(start + MOST, n) - 1]])
        some = order[start : start + max(1, min(MOST, CELLS // max(width, 1)))]
        chance[some], rank[some], known[some], probability = seat.decide(some, exposure)
        if all_ is not None:
            all_[some] = probability
        start += len(some)
        yield len(some)
    unknown = int((seat.missing[log.decisions.slate] & (log.decisions.slate >= 0)).any(1).sum()) if n else 0
    yield Replayed(chance, rank, known, all_, exposure, unknown)


class _Seat:
    """A policy in the place of the one that logged."""

    def __init__(self, policy: Policy, log: Log, temperature: float, adapting: bool, cap: int) -> None:
        self._policy, self._log, self._temperature, self._adapting, self._cap = policy, log, temperature, adapting, cap
        self._row = np.append(policy.catalogue.rows(log.items), -1).astype(np.int32)  # the last one is what is padded
        self.missing = self._row < 0
        recorded = log.recorded
        same = recorded.user[1:] == recorded.user[:-1]
        late = np.flatnonzero(same & (recorded.time_ms[1:] < recorded.time_ms[:-1]))
        self._late = np.zeros(log.users, bool)  # users of whom an event was recorded after one that happened later
        self._late[recorded.user[late]] = True

    def decide(self, some: IntArray, exposure: FloatArray) -> tuple[FloatArray, IntArray, IntArray, FloatArray]:
        """Log propensities and ranks [b, K], events learnt from [b], and first probabilities [b, C]."""
        decisions = self._log.decisions
        events = self._histories(some)
        copy, known = self._copies(events)
        given = decisions.candidates[some]
        whole = ~(given >= 0).any(1)
        size = decisions.slate[some].shape[1]
        chance, rank = np.zeros((len(some), size), np.float32), np.zeros((len(some), size), np.int32)
        first = np.zeros(given.shape, np.float32)
        for part, all_items in ((np.flatnonzero(~whole), False), (np.flatnonzero(whole), True)):
            together = max(1, SCORES // len(self._policy.catalogue)) if all_items else len(some)
            for start in range(0, part.size, together):
                at = part[start : start + together]
                found = self._weigh(some[at], _rows(events, at), copy[at], all_items, exposure)
                chance[at], rank[at], probability = found
                if not all_items:
                    first[at] = probability
        return chance, rank, known, first

    def _weigh(
        self, some: IntArray, events: Events, copy: FloatArray, whole: bool, exposure: FloatArray
    ) -> tuple[FloatArray, IntArray, FloatArray]:
        decisions = self._log.decisions
        slate, size = self._row[decisions.slate[some]], decisions.slate_size[some]
        candidates = None if whole else self._row[decisions.candidates[some]]
        if candidates is not None:
            drop_repeats(candidates)
        scores, valid = self._policy.weigh(
            copy,
            events,
            candidates,
            slate_size=size,
            excluded=self._hidden(some, events, whole),
            context=self._context(some),
        )
        if candidates is None:
            shown = slate
        else:
            equal = (candidates[:, None, :] == slate[:, :, None]) & (slate >= 0)[:, :, None]
            shown = np.where(equal.any(2), equal.argmax(2), -1)
        warmth = np.full(len(some), self._temperature, np.float32)
        chance = log_propensities(scores, valid, warmth, shown, size)
        rank, order = _ranks(scores, valid, shown)
        best = order[:, : slate.shape[1]]
        counted = np.take_along_axis(valid, best, 1) & (np.arange(best.shape[1]) < size[:, None])
        rows = best if candidates is None else np.take_along_axis(candidates, best, 1)
        np.add.at(exposure, rows[counted], 1.0)
        return chance.astype(np.float32), rank, _first(scores, valid, self._temperature)

    def _copies(self, events: Events) -> tuple[FloatArray, IntArray]:
        """Copies [b, Z] as the service has them, and how many events they have learnt from."""
        known = events.mask.any(1)
        prior = self._policy.prior(events.users)
        if not known.any():
            return prior, np.zeros(events.users, np.int32)
        adapted = self._policy.adapt(events)
        copy = np.where(known[:, None], adapted.copy, prior)
        return copy, np.where(known & (adapted.verdict == gate.ACCEPTED), adapted.events_used, 0).astype(np.int32)

    def _histories(self, some: IntArray) -> Events:
        """The newest events [b, T] of the user before each decision, in the order in which the store keeps them."""
        decisions, recorded = self._log.decisions, self._log.recorded
        begin, seen = decisions.begin[some], decisions.seen[some] if self._adapting else np.zeros(len(some), np.int64)
        late = self._late[decisions.user[some]] & (seen > 1)
        kept: IntArray = np.where(late, seen, np.minimum(seen, self._cap))
        width = max(int(kept.max(initial=0)), 1)
        at: IntArray = (begin + seen - kept)[:, None] + np.arange(width)
        inside = np.arange(width) < kept[:, None]
        if late.any():
            at, inside = self._newest(at, inside)
        at = np.where(inside, at, 0)

        def column(values: Any, empty: int) -> Any:
            if not len(values):
                return np.full(at.shape, empty, values.dtype)
            return np.where(inside, values[at], values.dtype.type(empty))

        return histories.events(
            self._row[column(recorded.item, -1)],
            column(recorded.reward, 0),
            column(recorded.time_ms, 0),
            column(recorded.tag, 0),
            inside,
        )

    def _newest(self, at: IntArray, inside: BoolArray) -> tuple[IntArray, BoolArray]:
        """Places of the newest events by when they happened: of equal times who came later is newer."""
        time = np.where(inside, self._log.recorded.time_ms[np.where(inside, at, 0)], np.iinfo(np.int64).max)
        order = np.argsort(time, axis=1, kind="stable")
        at, count = np.take_along_axis(at, order, 1), inside.sum(1)
        kept = np.minimum(count, self._cap)
        width = max(int(kept.max(initial=0)), 1)
        place = np.minimum((count - kept)[:, None] + np.arange(width), at.shape[1] - 1)
        return np.take_along_axis(at, place, 1), np.arange(width) < kept[:, None]

    def _hidden(self, some: IntArray, events: Events, whole: bool) -> IntArray | None:
        """Rows that must not be shown, as the service leaves them out."""
        excluded = self._row[self._log.decisions.excluded[some]]
        if not whole:
            return excluded if (excluded >= 0).any() else None
        seen = np.where(self._log.decisions.include_seen[some][:, None], -1, events.item)
        return np.concatenate([seen, excluded], axis=1)

    def _context(self, some: IntArray) -> Context:
        """What was known of the requests: their context and their time."""
        decisions, spec, columns = self._log.decisions, self._policy.spec, self._policy.manifest.context
        request = np.zeros((len(some), spec.context), np.float32)
        if columns:
            told = [""] * len(some) if decisions.context is None else decisions.context[some].tolist()
            request = contexts.encoded(columns, told)
        return Context(
            np.zeros((len(some), spec.attributes), np.float32), request[:, None], decisions.time_ms[some][:, None]
        )


def _rows(events: Events, at: IntArray) -> Events:
    return events if at.size == events.users else events.map(lambda x: x[at])


def _ranks(scores: FloatArray, valid: BoolArray, shown: IntArray) -> tuple[IntArray, IntArray]:
    """Ranks [b, K] from 1 of shown positions, 0 where impossible, and the whole order [b, C], best first."""
    order = np.argsort(-np.where(valid, scores, -np.inf), axis=1, kind="stable")
    place = np.empty(order.shape, np.int32)
    np.put_along_axis(place, order, np.arange(1, order.shape[1] + 1, dtype=np.int32)[None], 1)
    at = np.where(shown >= 0, shown, 0)
    possible = (shown >= 0) & np.take_along_axis(valid, at, 1)
    return np.where(possible, np.take_along_axis(place, at, 1), 0), order


def _first(scores: FloatArray, valid: BoolArray, temperature: float) -> FloatArray:
    """Probability of each candidate at the first position, [b, C]."""
    shifted = np.where(valid, scores, -np.inf)
    best = shifted.max(1, keepdims=True)
    best = np.where(np.isfinite(best), best, 0.0)
    if temperature <= 0:
        top = np.zeros(scores.shape, np.float32)
        top[np.arange(len(top)), shifted.argmax(1)] = 1.0
        return top * valid
    odds = np.exp((shifted - best) / temperature)
    found: FloatArray = odds / np.maximum(odds.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    return found


def reproduced(log: Log) -> float | None:
    """Share of decisions whose history, as found here, has the watermark that the service logged; None without any."""
    decisions = log.decisions
    told = decisions.watermark > 0
    if not told.any():
        return None
    same = watermarks(log.recorded, decisions.begin[told], decisions.seen[told]) == decisions.watermark[told]
    return float(same.mean())
