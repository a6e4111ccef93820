"""A log in memory: decisions beside the events before them and the rewards after them, as arrays.

n decisions, m events, B users, C candidates, K positions, N items that the log names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from meta.types import BoolArray, FloatArray, IntArray
from replay.bad_rows import BadRows

T = TypeVar("T", "Decisions", "Recorded")
DAY_MS = 86_400_000
REWARD_WINDOW_MS = 7 * DAY_MS
"""How long after a decision its rewards count, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Events by user, and each user's in the order in which they were recorded.

    Args:
        user: int32 [m].
        item: int32 [m], into `Log.items`.
        reward: float32 [m].
        time_ms: int64 [m], when each happened.
        recorded_ms: int64 [m], from when on a copy may have learnt from it.
        tag: uint8 [m], `meta.histories.tag` of the decision that it names.
        mark: uint32 [m], low half of the hash of its id.
    """

    user: IntArray
    item: IntArray
    reward: FloatArray
    time_ms: IntArray
    recorded_ms: IntArray
    tag: IntArray
    mark: IntArray


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions by user, and each user's in the order of time.

    Args:
        user: int32 [n], whose, 0..B-1.
        time_ms: int64 [n].
        candidates: int32 [n, C], into `Log.items`, -1 where padded; all -1 where the whole catalogue was ranked.
        excluded: int32 [n, X], never to be shown, -1 where padded.
        include_seen: bool [n], whether the whole catalogue's ranking may show what is in the history.
        slate: int32 [n, K], first position first, -1 past the end.
        propensity: float32 [n, K], in (0, 1], of each given those above; 1 past the end.
        reward: float32 [n, K], 0 past the end.
        begin, seen: int64 [n], the first event of the user in `Recorded`, and how many of them had been recorded.
        watermark: uint64 [n], of the history that was read; 0 where not logged.
        segment: int16 [n], into `Log.segments`.
        context: JSON of each request's context, "" without; None where no request has one.
    """

    user: IntArray
    time_ms: IntArray
    candidates: IntArray
    excluded: IntArray
    include_seen: BoolArray
    slate: IntArray
    propensity: FloatArray
    reward: FloatArray
    begin: IntArray
    seen: IntArray
    watermark: IntArray
    segment: IntArray
    context: npt.NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.user)

    def taken(self, at: IntArray) -> Decisions:
        """Some of the decisions."""
        return _taken(self, at)

    @property
    def slate_size(self) -> IntArray:
        """Positions of each slate, [n]."""
        size: IntArray = (self.slate >= 0).sum(1)
        return size


@dataclass(frozen=True, slots=True)
class Log:
    """A log, or a part of it that holds some users whole.

    Args:
        items: ids of items that the log names.
        users: B.
        segments: what `Decisions.segment` counts: versions and modes that logged.
        decisions: what was decided.
        recorded: what happened.
        bad: what was left out.
        not_shown: deferred decisions that nobody ever saw; they do not count.
        repeated: rows that came again.
        unordered: rows earlier than the user's row before them; they are sorted and used.
    """

    items: tuple[str, ...]
    users: int
    segments: tuple[str, ...]
    decisions: Decisions
    recorded: Recorded
    bad: BadRows
    not_shown: int = 0
    repeated: int = 0
    unordered: int = 0


def joined(
    log: Log,
    decision_key: IntArray,
    event_key: IntArray,
    *,
    window_ms: int,
    default: float,
    position: IntArray,
) -> Log:
    """Sort a log by user and time, join rewards to decisions, and find which events each decision came after.

    A reward counts for the decision that it names, at the position that shows its item, or else the position that it
    names; rewards of one position are added up.

    Args:
        log: in any order; `reward`, `begin` and `seen` are filled in here. Events of user -1 tell rewards only, and are
            left out afterwards.
        decision_key: int64 [n], a hash of (user, decision id).
        event_key: int64 [m], the same of the decision that an event names; anything where it names none (tag 0).
        window_ms: a reward counts until so long after its decision.
        default: reward of a position that none names.
        position: int32 [m], from 1, 0 where unknown.
    """
    decisions, recorded = log.decisions, log.recorded
    order = np.lexsort((decisions.time_ms, decisions.user))
    arrived = np.lexsort((recorded.recorded_ms, recorded.user))
    decisions, decision_key = decisions.taken(order), decision_key[order]
    recorded = _taken(recorded, arrived)
    decisions = replace(
        decisions,
        reward=_rewards(decisions, recorded, decision_key, event_key[arrived], position[arrived], window_ms, default),
    )
    if nobodys := int(np.searchsorted(recorded.user, 0)):
        recorded = _taken(recorded, np.arange(nobodys, len(recorded.user)))
    begin = np.searchsorted(recorded.user, decisions.user)
    return replace(
        log, decisions=replace(decisions, begin=begin, seen=_seen(decisions, recorded, begin)), recorded=recorded
    )


def _rewards(
    decisions: Decisions,
    recorded: Recorded,
    decision_key: IntArray,
    event_key: IntArray,
    position: IntArray,
    window_ms: int,
    default: float,
) -> FloatArray:
    """Rewards [n, K]."""
    told = np.zeros(decisions.slate.shape, bool)
    reward = np.zeros(decisions.slate.shape, np.float32)
    if len(decisions) and len(recorded.user):
        by_key = np.argsort(decision_key, kind="stable")
        at = np.minimum(np.searchsorted(decision_key[by_key], event_key), len(decisions) - 1)
        of = by_key[at]
        late = recorded.time_ms - decisions.time_ms[of]
        mine = (recorded.tag > 0) & (decision_key[of] == event_key) & (late >= 0) & (late <= window_ms)
        event, of = np.flatnonzero(mine), of[mine]
        shown = decisions.slate[of] == recorded.item[event, None]
        place = np.where(shown.any(1), shown.argmax(1), position[event] - 1)
        fits = (place >= 0) & (place < decisions.slate_size[of])
        np.add.at(reward, (of[fits], place[fits]), recorded.reward[event[fits]])
        told[of[fits], place[fits]] = True
    found: FloatArray = np.where(told | (decisions.slate < 0), reward, np.float32(default))
    return found


def _seen(decisions: Decisions, recorded: Recorded, begin: IntArray) -> IntArray:
    """How many of the user's events each decision could know: [n].

    Those recorded before it; where times are equal to the millisecond the logged watermark decides.
    """
    if not len(recorded.user):
        return np.zeros(len(decisions), np.int64)
    # One key orders by user and then by time: times are counted from the log's first moment.
    first = min(int(recorded.recorded_ms.min()), int(decisions.time_ms.min(initial=np.iinfo(np.int64).max)))
    span = max(int(recorded.recorded_ms.max()), int(decisions.time_ms.max(initial=0))) - first + 2
    key = recorded.user.astype(np.int64) * span + (recorded.recorded_ms - first)
    wanted = decisions.user.astype(np.int64) * span + (decisions.time_ms - first)
    before, upto = (np.searchsorted(key, wanted, side) - begin for side in ("left", "right"))
    tied = np.flatnonzero((before != upto) & (decisions.watermark > 0))
    seen: IntArray = before
    if tied.size:
        later = watermarks(recorded, begin[tied], upto[tied]) == decisions.watermark[tied]
        seen[tied[later]] = upto[tied[later]]
    return seen


def watermarks(recorded: Recorded, begin: IntArray, seen: IntArray) -> IntArray:
    """The watermark of a history after the first `seen` events from `begin` on, as the store counts it: uint64 [n]."""
    mixed = np.concatenate([np.zeros(1, np.uint64), np.bitwise_xor.accumulate(recorded.mark.astype(np.uint64))])
    found: IntArray = (mixed[begin + seen] ^ mixed[begin]) | (seen.astype(np.uint64) << np.uint64(32))
    return found


def _taken(of: T, at: IntArray) -> T:
    """Rows of all columns."""
    columns: dict[str, Any] = {name: getattr(of, name) for name in type(of).__dataclass_fields__}
    return replace(of, **{name: column[at] for name, column in columns.items() if column is not None})
