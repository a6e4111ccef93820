"""The access log: a line for a share of all decisions."""

from __future__ import annotations

import logging

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.decisions import seed_of
from service.logs import about
from service.ranker import Query

_LOG = logging.getLogger("quickstudy.access")


class AccessLog:
    """Tells of a decision or not by the hash of its id, so that a repeated one is told each time or never.

    Args:
        share: of all decisions, 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self._below = share * 2.0**64

    def tell(self, query: Query, reply: bytes, seconds: float) -> None:
        """Writes the line of an answered Recommend, if it is to have one."""
        if seed_of(query.decision_id) >= self._below:
            return
        response = pb.RecommendResponse.FromString(reply)
        adaptation = response.adaptation
        _LOG.info(
            "recommended",
            extra=about(
                decision_id=query.decision_id,
                user=query.user,
                tenant=query.tenant,
                policy_version=adaptation.policy_version,
                source=pb.Source.Name(adaptation.source).removeprefix("SOURCE_"),
                reason=adaptation.reason,
                events_used=adaptation.events_used,
                candidates=len(query.request.candidate_ids),
                items=len(response.items),
                milliseconds=round(1_000 * seconds, 3),
            ),
        )
