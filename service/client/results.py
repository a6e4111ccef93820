"""What a client is told, as frozen values: the messages of the contract, read once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from protos.quickstudy.v1 import recommender_pb2 as pb


class _Told(IntEnum):
    """Numbers of the contract; one that a newer service sends and this client does not know is UNSPECIFIED."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(0)


class Source(_Told):
    """Which knowledge of the user ranked a slate: `quickstudy.v1.Source`."""

    UNSPECIFIED = pb.SOURCE_UNSPECIFIED
    ADAPTED = pb.SOURCE_ADAPTED
    PRIOR = pb.SOURCE_PRIOR
    STALE = pb.SOURCE_STALE
    BASELINE = pb.SOURCE_BASELINE


class EventResult(_Told):
    """What became of an event: `quickstudy.v1.EventResult`."""

    UNSPECIFIED = pb.EVENT_RESULT_UNSPECIFIED
    ADDED = pb.EVENT_RESULT_ADDED
    DUPLICATE = pb.EVENT_RESULT_DUPLICATE
    TOO_OLD = pb.EVENT_RESULT_TOO_OLD
    REJECTED = pb.EVENT_RESULT_REJECTED


@dataclass(frozen=True, slots=True)
class RankedItem:
    """One position of a slate; units as in `quickstudy.v1.RankedItem`."""

    item_id: str
    score: float
    q_value: float
    propensity: float


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What a slate was ranked by; units as in `quickstudy.v1.Adaptation`."""

    policy_version: str
    adapter: str
    source: Source
    reason: str
    events_used: int
    watermark: int
    loss_before: float
    loss_after: float
    staleness: float


@dataclass(frozen=True, slots=True)
class Slate:
    """A ranked slate and how it came about; units as in `quickstudy.v1.RecommendResponse`."""

    decision_id: str
    items: tuple[RankedItem, ...]
    log_propensity: float
    adaptation: Adaptation
    unknown_ids: tuple[str, ...]
    seed: int

    @property
    def item_ids(self) -> list[str]:
        """The items, first position first."""
        return [item.item_id for item in self.items]


@dataclass(frozen=True, slots=True)
class EventStatus:
    """What became of one event, and which rule a rejected one breaks."""

    result: EventResult
    reason: str = ""

    @property
    def kept(self) -> bool:
        """Whether the user's history holds the event, from this call or from an earlier one."""
        return self.result in (EventResult.ADDED, EventResult.DUPLICATE)


def slate(reply: pb.RecommendResponse) -> Slate:
    """Reads a reply of `Recommend`."""
    items = tuple(RankedItem(item.item_id, item.score, item.q_value, item.propensity) for item in reply.items)
    known = _adaptation(reply.adaptation)
    return Slate(reply.decision_id, items, reply.log_propensity, known, tuple(reply.unknown_ids), reply.seed)


def statuses(reply: pb.RecordEventsResponse) -> list[EventStatus]:
    """Reads a reply of `RecordEvents`."""
    return [EventStatus(EventResult(status.result), status.reason) for status in reply.statuses]


def _adaptation(told: pb.Adaptation) -> Adaptation:
    return Adaptation(
        told.policy_version,
        told.adapter,
        Source(told.source),
        told.reason,
        told.events_used,
        told.watermark,
        told.loss_before,
        told.loss_after,
        told.staleness,
    )
