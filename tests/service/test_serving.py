"""A batch between two versions: each job goes to its own, and what breaks one part leaves the other alone."""

from __future__ import annotations

import asyncio
import math

import pytest

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.batching import Job
from service.policies.lineup import Lineup, in_canary
from service.ranker import Behind, Query, RecommendJob
from service.serving import Cast, Serving


class Answers:
    """Answers every job with its name after a while, or breaks at once."""

    def __init__(self, name: bytes, breaks: bool = False) -> None:
        self.name, self.breaks = name, breaks

    async def run(self, jobs: list[RecommendJob], behind: Behind | None) -> None:
        """As a ranker does."""
        if self.breaks:
            raise RuntimeError("broken")
        await asyncio.sleep(0.01)
        for job in jobs:
            job.reply.set_result(self.name)


def jobs() -> list[RecommendJob]:
    """Requests of a hundred users."""
    queries = [Query.of(pb.RecommendRequest(user_id=f"{n}"), "d", "") for n in range(100)]
    return [Job(query, asyncio.get_running_loop().create_future(), 1, math.inf, 0.0) for query in queries]


def between(active: Answers, canary: Answers) -> Serving:
    """Half of the users are the canary's."""
    lineup = Lineup("a" * 16, canary="b" * 16, share=0.5, salt=7)
    return Serving(Cast(lineup, active, canary), shadow=None)  # type: ignore[arg-type] # fakes


async def test_each_job_is_answered_by_the_version_of_its_user() -> None:
    """In one batch, whatever order they came in."""
    batch = jobs()
    await between(Answers(b"active"), Answers(b"canary")).run(batch)
    expected = [b"canary" if in_canary(job.request.user, 7, 0.5) else b"active" for job in batch]
    assert expected == [job.reply.result() for job in batch]
    assert {b"active", b"canary"} == set(expected)


async def test_a_part_that_breaks_leaves_the_other_alone() -> None:
    """The batch fails only after all were answered who can be."""
    batch = jobs()
    with pytest.raises(RuntimeError, match="broken"):
        await between(Answers(b"active"), Answers(b"canary", breaks=True)).run(batch)
    assert [not in_canary(job.request.user, 7, 0.5) for job in batch] == [job.reply.done() for job in batch]
