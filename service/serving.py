"""Which policy version serves: what is made from one version is one ranker, and one ranker answers a whole batch."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from service.access.tenants import UserKey
from service.policies.lineup import Lineup, in_canary
from service.policies.shadow import Shadow
from service.ranker import Ranker, RecommendJob


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """A lineup with its rankers, loaded and warm.

    Args:
        lineup: who serves whom.
        active: answers everybody but the canary's users.
        canary: answers those; None: there is none.
        shadow: ranks behind the replies; None: nobody does.
    """

    lineup: Lineup
    active: Ranker
    canary: Ranker | None = None
    shadow: Ranker | None = None


class Serving:
    """The rankers of this process. Assigning `now` changes what serves, for all batches that begin afterwards.

    Args:
        now: what serves.
        shadow: works behind the replies.
    """

    def __init__(self, now: Cast, shadow: Shadow) -> None:
        self.now = now
        self._shadow = shadow

    @property
    def active(self) -> Ranker:
        """Answers everybody but the canary's users."""
        return self.now.active

    def of(self, user: UserKey) -> Ranker:
        """Answers a user."""
        now = self.now
        if now.canary is not None and in_canary(user, now.lineup.salt, now.lineup.share):
            return now.canary
        return now.active

    def forget(self, user: UserKey) -> None:
        """Gives up what is kept of a user in this process."""
        for ranker in (self.now.active, self.now.canary, self.now.shadow):
            if ranker is not None:
                ranker.forget(user)

    async def run(self, jobs: list[RecommendJob]) -> None:
        """Answers every job of a batch by what serves as it begins."""
        now = self.now
        behind = None if now.shadow is None else partial(self._shadow.put, now.shadow)
        if now.canary is None:
            await now.active.run(jobs, behind)
            return
        theirs: list[RecommendJob] = []
        others: list[RecommendJob] = []
        for job in jobs:
            chosen = in_canary(job.request.user, now.lineup.salt, now.lineup.share)
            (theirs if chosen else others).append(job)
        parts = (now.canary, theirs), (now.active, others)
        runs = (ranker.run(part, behind) for ranker, part in parts if part)
        for error in await asyncio.gather(*runs, return_exceptions=True):  # neither part ends the other
            if error is not None:
                raise error
