"""Replies as bytes, put together by hand from parts that are at hand: a quarter of the price of building messages."""

from __future__ import annotations

import numpy as np

from meta.policy import Policy
from meta.types import Ranking
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.wire import varint

# A RankedItem is its id (field 1), then score, q_value and propensity (fields 2 to 4, 32 bits each).
_NUMBERS = np.dtype(
    [("score_tag", "u1"), ("score", "<f4"), ("q_tag", "u1"), ("q", "<f4"), ("propensity_tag", "u1"), ("p", "<f4")]
)
_SCORE_TAG, _Q_TAG, _PROPENSITY_TAG = 0x15, 0x1D, 0x25
_ID_TAG, _ITEMS_TAG = b"\x0a", b"\x12"  # RankedItem.item_id; RecommendResponse.items


_DECISION_TAG, _ADAPTATION_TAG = b"\x0a", b"\x22"  # RecommendResponse.decision_id, .adaptation


def under(decision_id: str, rest: bytes) -> bytes:
    """A serialized RecommendResponse: the rest of one under the id of a decision."""
    name = decision_id.encode()
    return b"".join((_DECISION_TAG, varint(len(name)), name, rest))


class AdaptationEncoder:
    """Serializes `RecommendResponse.adaptation` for one policy version.

    Args:
        version: of the policy.
        adapter: its adapter.
    """

    def __init__(self, version: str, adapter: str) -> None:
        self._always = pb.Adaptation(policy_version=version, adapter=adapter)
        self._heads: dict[tuple[pb.Source, str], bytes] = {}

    def encode(self, source: pb.Source, reason: str, told: bytes) -> bytes:
        """The field, as bytes to append to the rest of a response; `told` are the serialized numbers."""
        head = self._heads.get((source, reason))
        if head is None:
            named = pb.Adaptation(source=source, reason=reason)
            named.MergeFrom(self._always)
            head = self._heads[source, reason] = named.SerializeToString()
        return b"".join((_ADAPTATION_TAG, varint(len(head) + len(told)), head, told))


class ItemEncoder:
    """Serializes `RecommendResponse.items` for the items of one policy.

    Args:
        policy: whose items; a row belongs to one item for good.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._heads: list[bytes | None] = []

    def encode(self, ranking: Ranking) -> list[bytes]:
        """The items of a batch of slates [B, K]: bytes to append to the rest of each serialized response."""
        numbers = np.empty(ranking.row.shape, _NUMBERS)
        numbers["score_tag"], numbers["score"] = _SCORE_TAG, ranking.score
        numbers["q_tag"], numbers["q"] = _Q_TAG, ranking.q_value
        numbers["propensity_tag"], numbers["p"] = _PROPENSITY_TAG, np.exp(ranking.log_propensity)
        width = _NUMBERS.itemsize
        cuts = [slice(k * width, (k + 1) * width) for k in range(ranking.row.shape[1])]
        heads, fill = self._heads, self._head
        heads.extend([None] * (len(self._policy.items) - len(heads)))
        out = []
        for rows, values in zip(ranking.row.tolist(), numbers, strict=True):
            tail = values.tobytes()
            parts = [part for row, cut in zip(rows, cuts, strict=True) if row >= 0
                     for part in (heads[row] or fill(row), tail[cut])]  # fmt: skip
            out.append(b"".join(parts))
        return out

    def _head(self, row: int) -> bytes:
        """All of an item but its numbers, kept for the next time."""
        name = self._policy.items.id_of(row).encode()
        field = _ID_TAG + varint(len(name)) + name
        head = _ITEMS_TAG + varint(len(field) + _NUMBERS.itemsize) + field
        self._heads[row] = head
        return head
