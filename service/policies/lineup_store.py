"""The lineup in Redis: a hash `{qs:policies}` of its number, "generation", and what serves and did, "lineups", JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from service.policies.lineup import BEFORE, Lineup, Standing
from service.store import Store


class LineupStore:
    """What all processes on one store serve. Every method raises StoreUnavailableError where `Store` does.

    Args:
        store: where it is kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key = store.key("{qs:policies}")

    async def read(self) -> Standing | None:
        """What serves; None where nobody has said yet."""
        ((generation, lineups),) = await self._store.ask("lineup", ("HMGET", self._key, "generation", "lineups"))
        if generation is None:
            return None
        return Standing(int(generation), tuple(Lineup(**each) for each in json.loads(lineups)))

    async def replace(self, generation: int, lineups: Sequence[Lineup]) -> Standing | None:
        """Puts what serves, and did, in the place of a generation; None where that is not the latest any more."""
        kept = tuple(lineups[: BEFORE + 1])
        value = json.dumps([asdict(lineup) for lineup in kept])
        done = await self._store.run("change_lineup", "change_lineup", (self._key,), (generation, value))
        return Standing(generation + 1, kept) if done else None
