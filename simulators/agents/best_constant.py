"""The best ranking that is the same for everyone: what a policy that knows nobody can reach."""

from __future__ import annotations

from meta.arrays import top
from meta.types import FloatArray, IntArray
from simulators.agents.port import JudgedWorld


class BestConstant:
    """Ranks by the last feature, the quality: topics please all users alike on average, so nothing else counts."""

    name = "best constant"

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Note the slate size."""
        self._size = world.slate_size
        self._features = world.catalogue().features

    def act(self, rows: IntArray) -> IntArray:
        """Show the best quality on offer."""
        slate: IntArray = top(self._features[rows, -1], self._size)
        return slate

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Learn nothing."""
