"""Which policy version serves: what is made from one version is one ranker, and one ranker answers a whole batch."""

from __future__ import annotations

from service.ranker import Ranker, RecommendJob


class Serving:
    """The rankers of this process. Another version serves from the assignment of `active` on: between two batches.

    Args:
        active: answers everybody.
    """

    def __init__(self, active: Ranker) -> None:
        self.active = active

    async def run(self, jobs: list[RecommendJob]) -> None:
        """Answers every job of a batch by what serves as it begins."""
        await self.active.run(jobs)
