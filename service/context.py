"""What is known of a batch of requests beside the users' histories, as the policy reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from meta.columns import Column, encode
from meta.policy import Policy
from meta.types import Context
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.metrics import Metrics
from service.store import attributes


class Contexts:
    """Encodes attributes and contexts by the columns of one policy.

    Args:
        policy: whose columns.
        metrics: counts names in requests that the policy does not know.
    """

    def __init__(self, policy: Policy, metrics: Metrics) -> None:
        self._spec = policy.spec
        self._attributes = policy.manifest.attributes
        self._request = policy.manifest.context
        self._unknown = metrics.unknown_names.labels("Recommend")

    def of(self, requests: Sequence[pb.RecommendRequest], kept: Sequence[bytes | None], now_ms: int) -> Context:
        """The context of a batch.

        Args:
            requests: B requests.
            kept: stored attributes of their users, None where there are none.
            now_ms: time of the requests, milliseconds since 1970.
        """
        users = len(requests)
        known = attributes.features(kept, self._attributes) if self._attributes else None
        if known is None:
            known = np.zeros((users, self._spec.attributes), np.float32)
        return Context(known, self._encoded(requests)[:, None], np.full((users, 1), now_ms))

    def _encoded(self, requests: Sequence[pb.RecommendRequest]) -> np.typing.NDArray[np.float32]:
        """Request contexts float32 [B, X]; a column that a request leaves out is missing."""
        columns = self._request
        for request in requests:
            if request.HasField("context"):
                told = request.context
                usable = sum(_value(told, column) is not None for column in columns)
                self._unknown.inc(len(told.numbers) + len(told.categories) - usable)
        if not columns:
            return np.zeros((len(requests), self._spec.context), np.float32)
        table = {column.name: [_value(request.context, column) for request in requests] for column in columns}
        return encode(columns, table, len(requests))


def _value(told: pb.Context, column: Column) -> Any:
    """What a column encodes; None where it is not told, or told as another kind."""
    return (told.numbers if column.kind == "number" else told.categories).get(column.name)
