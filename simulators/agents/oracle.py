"""The oracle: sees what users hide, and so bounds what any policy can earn at one step."""

from __future__ import annotations

from meta.arrays import top
from meta.types import FloatArray, IntArray
from simulators.agents.port import JudgedWorld


class Oracle:
    """Shows what each user finds most appealing; optimal where a slate's value grows with each item's appeal."""

    name = "oracle"

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Look through the users of `world`."""
        self._world = world

    def act(self, rows: IntArray, features: FloatArray) -> IntArray:
        """Show the best by true appeal."""
        slate: IntArray = top(self._world.appeal(rows), self._world.slate_size)
        return slate

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Nothing to learn."""
