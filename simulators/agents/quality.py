"""Quality first: what a policy that knows the items and nobody's taste would show."""

from __future__ import annotations

import numpy as np

from meta.arrays import top
from meta.catalogue import Catalogue
from meta.errors import InputError
from meta.types import FloatArray, IntArray
from simulators.agents.port import JudgedWorld

COLUMN = "quality"


class Quality:
    """Ranks by the column `quality` of the catalogue, for worlds that have one."""

    name = "quality"

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Note the slate size and what is seen of quality.

        Raises:
            InputError: the catalogue has no column of this name.
        """
        if not rated(world.catalogue()):
            raise InputError(f"the world {world.name} has no column {COLUMN!r} to rank by; leave this agent out")
        self._size = world.slate_size
        self._quality = seen_quality(world.catalogue())

    def act(self, rows: IntArray) -> IntArray:
        """Show the best quality on offer."""
        slate: IntArray = top(self._quality[rows], self._size)
        return slate

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Learn nothing."""


def rated(catalogue: Catalogue) -> bool:
    """Whether items have a quality that can be seen."""
    return COLUMN in [column.name for column in catalogue.columns]


def seen_quality(catalogue: Catalogue) -> FloatArray:
    """What is seen of each item's quality, float [N]."""
    names = [column.name for column in catalogue.columns]
    first = int(np.cumsum([0, *(column.width for column in catalogue.columns)])[names.index(COLUMN)])
    return catalogue.features[:, first]
