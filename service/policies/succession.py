"""Changes what serves in this process, and follows what others changed."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import replace

from meta.policy import Policy
from service.errors import (
    ChangedMeanwhileError,
    NothingBeforeError,
    OtherFeaturesError,
    ServiceError,
    StartupError,
)
from service.metrics import Metrics
from service.policies.library import Library
from service.policies.lineup import Lineup, Standing
from service.policies.lineup_store import LineupStore
from service.policies.loader import Loader
from service.ranker import Ranker
from service.rounds import Rounds
from service.serving import Cast, Serving

RETRY = 10
"""Looks after which a lineup that could not be loaded is tried again."""
_LOG = logging.getLogger("quickstudy")


class Succession:
    """Keeps `Serving` at the lineup that all processes on one store share.

    A lineup is loaded before it is put in place, in the store as in this process, and between two batches; where that
    fails, what serves stays. A process that is killed on the way has changed nothing, or all of it.

    Args:
        library: holds the versions.
        lineups: say what serves.
        loader: makes rankers.
        first: version that serves where nobody has said yet; "": the only one of the library.
        refresh_s: seconds between two looks.
    """

    def __init__(
        self,
        library: Library,
        lineups: LineupStore,
        loader: Loader,
        metrics: Metrics,
        *,
        first: str = "",
        refresh_s: float = 0.5,
    ) -> None:
        self._library = library
        self._lineups = lineups
        self._loader = loader
        self._metrics = metrics
        self._first = first
        self._refresh = refresh_s
        self._rankers: dict[str, Ranker] = {}
        self._serving: Serving | None = None
        self._at = Standing(0, (Lineup(""),))
        self._failed = 0, -math.inf
        self._behind_since = math.inf
        self._changing = asyncio.Lock()
        self._rounds = Rounds(self._follow, "policies", refresh_s, "what serves stays")
        metrics.follow(metrics.lineup_behind, lambda: max(0.0, time.monotonic() - self._behind_since))

    @property
    def at(self) -> Standing:
        """What serves here."""
        return self._at

    async def begin(self) -> Cast:
        """What is to serve first: the latest lineup, or the one before it that can be loaded.

        Raises:
            StartupError: none can be, or nobody has said which version serves.
            ServiceError: a store is away, or the version that is to serve first cannot be loaded.
        """
        standing = await self._lineups.read() or await self._found()
        problems: list[str] = []
        for skipped, lineup in enumerate(standing.lineups):
            try:
                cast = await self._cast(lineup)
            except ServiceError as error:
                _LOG.error("generation %d: %s", standing.generation - skipped, error)
                problems.append(str(error))
                continue
            if skipped:
                self._failed, self._behind_since = (standing.generation, time.monotonic()), time.monotonic()
            self._put(cast, Standing(standing.generation - skipped, standing.lineups[skipped:]))
            return cast
        raise StartupError(f"no version that has ever served can be loaded: {problems[0]}")

    def start(self, serving: Serving) -> None:
        """Follows from then on."""
        self._serving = serving
        self._rounds.start()

    async def close(self) -> None:
        """Ends after the look under way."""
        await self._rounds.close()

    async def activate(
        self, version: str, share: float, shadow: bool, *, other_features: bool = False, generation: int = 0
    ) -> Standing:
        """Puts a version in place, as `Policies.ActivatePolicy` says. Raises ServiceError, as there."""
        salt, now_ms = int.from_bytes(os.urandom(8), "little"), time.time_ns() // 1_000_000

        def after(standing: Standing) -> tuple[Lineup, ...]:
            lineup = standing.now.activated(version, share, shadow, salt=salt, now_ms=now_ms)
            return standing.lineups if lineup is standing.now else (lineup, *standing.lineups)

        return await self._change(after, generation, None if other_features else version)

    async def roll_back(self, generation: int = 0) -> Standing:
        """Puts the lineup before the one that serves in its place. Raises ServiceError, as the contract says."""

        def after(standing: Standing) -> tuple[Lineup, ...]:
            if len(standing.lineups) < 2:
                raise NothingBeforeError("nothing has served before the version that serves; activate another one")
            return replace(standing.lineups[1], since_ms=time.time_ns() // 1_000_000), *standing.lineups[2:]

        return await self._change(after, generation)

    async def _change(
        self, after: Callable[[Standing], tuple[Lineup, ...]], generation: int, alike: str | None = None
    ) -> Standing:
        """Loads what `after` makes of the latest lineups, then says so in the store, then serves it.

        Args:
            generation: the latest one has to be this, 0: any.
            alike: version that has to read the same features as the active one.
        """
        async with self._changing:
            standing = await self._lineups.read()
            if standing is None:  # the store has lost it
                standing = await self._lineups.replace(0, self._at.lineups)
            if standing is None or generation not in (0, standing.generation):
                raise ChangedMeanwhileError(f"generation {generation} does not serve any more; list the lineup again")
            lineups = after(standing)
            cast = await self._cast(lineups[0])
            try:
                if alike is not None and self._serving is not None:
                    _check_alike(self._rankers[alike].policy, self._serving.active.policy)
                if lineups is not standing.lineups:
                    changed = await self._lineups.replace(standing.generation, lineups)
                    if changed is None:
                        raise ChangedMeanwhileError("another change of the lineup came between; list it again")
                    standing = changed
            except ServiceError:
                self._leave_others()
                raise
            self._put(cast, standing)
            return standing

    async def _found(self) -> Standing:
        """Says which version serves where nobody has."""
        versions = [self._first] if self._first else await asyncio.to_thread(self._library.versions)
        if not versions:
            raise StartupError(f"{self._library.where} is empty: `quickstudy policies add` a version")
        if len(versions) > 1:
            held = f"{self._library.where} holds {len(versions)} versions"
            raise StartupError(f"{held}: say by QUICKSTUDY_POLICIES_FIRST which serves first")
        await self._cast(Lineup(versions[0]))
        made = await self._lineups.replace(0, [Lineup(versions[0], since_ms=time.time_ns() // 1_000_000)])
        found = made or await self._lineups.read()
        assert found is not None  # noqa: S101 # the store refuses only because somebody else was faster
        return found

    async def _cast(self, lineup: Lineup) -> Cast:
        """The rankers of a lineup; those that are loaded already are not loaded again."""
        try:
            for version in lineup.versions:
                if version not in self._rankers:
                    self._rankers[version] = await self._loader.load(self._library, version)
        except ServiceError:
            self._leave_others()
            raise
        of = self._rankers
        return Cast(lineup, of[lineup.active], of.get(lineup.canary), of.get(lineup.shadow))

    def _put(self, cast: Cast, standing: Standing) -> None:
        """Serves a cast from the next batch on."""
        self._at = standing
        if self._serving is not None:
            self._serving.now = cast
        if standing.generation >= self._failed[0]:
            self._behind_since = math.inf
        self._leave_others()
        self._metrics.tell_lineup(
            {role: (r.policy.version, r.policy.spec.adapter) for role, r in _roles(cast).items()}, cast.lineup.share
        )
        _LOG.info("generation %d serves: %s", standing.generation, cast.lineup)

    def _leave_others(self) -> None:
        """Gives up rankers that have no part in what serves."""
        for version in set(self._rankers) - set(self._at.now.versions):
            self._loader.drop(self._rankers.pop(version))

    async def _follow(self) -> None:
        """One look at the store."""
        async with self._changing:
            standing = await self._lineups.read()
            if standing is None or standing.generation == self._at.generation:
                return
            tried, at = self._failed
            if tried == standing.generation and time.monotonic() - at < RETRY * self._refresh:
                return
            try:
                self._put(await self._cast(standing.now), standing)
                self._metrics.activations.labels("followed").inc()
            except ServiceError as error:
                if tried != standing.generation:
                    _LOG.error("generation %d cannot serve here, what serves stays: %s", standing.generation, error)
                    self._metrics.activations.labels("not followed").inc()
                    self._behind_since = min(self._behind_since, time.monotonic())
                self._failed = standing.generation, time.monotonic()


def _roles(cast: Cast) -> dict[str, Ranker]:
    named = {"active": cast.active, "canary": cast.canary, "shadow": cast.shadow}
    return {role: ranker for role, ranker in named.items() if ranker is not None}


def _check_alike(new: Policy, old: Policy) -> None:
    """Refuses a policy that reads other columns than the one that serves: it may be of another shop."""
    for noun, now, before in (
        ("items", new.catalogue.columns, old.catalogue.columns),
        ("users", new.manifest.attributes, old.manifest.attributes),
        ("contexts", new.manifest.context, old.manifest.context),
    ):
        told, known = ({f"{column.name} ({column.kind})" for column in columns} for columns in (now, before))
        if told != known:
            gone, come = (", ".join(sorted(some)) or "none" for some in (known - told, told - known))
            raise OtherFeaturesError(
                f"version {new.version} reads other features of {noun} than {old.version}: without {gone}, with {come}"
                "; say other_features where that is meant"
            )
