"""One learner of a world: its settings, its memory and its steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from meta.experience import Episodes, ReplayMemory
from meta.spec import Spec
from meta.trainer.slate_learner import Learning, SlateLearner
from meta.trainer.snapshots import Snapshot
from meta.trainer.world_losses import Block, Targets
from meta.types import FloatArray


@dataclass(frozen=True, slots=True)
class Settings(Learning):
    """How to train in a world, beside how to learn from slates.

    Args:
        memory: episodes that the replay memory keeps.
        priority: alpha of prioritised replay, how much a user's TD error counts when users are drawn; 0 is uniform.
        correction: first and last beta, how much of that bias the losses' weights undo.
        n_steps: rewards before a return is bootstrapped; 0 takes lambda-returns.
        epsilon: first and last chance that a slate position is filled at random.
        explore: share of the iterations over which epsilon falls.
        temperatures: of Plackett-Luce exploration, in standard deviations of a request's scores, dealt out over users.
        prices: rounds in which prices are tried at the end, see `prices`; none where nothing later counts (discount 0).
    """

    memory: int = 1536
    priority: float = 0.0
    correction: tuple[float, float] = (0.4, 1.0)
    n_steps: int = 0
    epsilon: tuple[float, float] = (0.5, 0.02)
    explore: float = 0.6
    temperatures: tuple[float, ...] = (0.0, 0.3, 0.6, 1.0)
    prices: int = 12


class Learner(SlateLearner):
    """Parameters that learn from the users who were met, and the memory they learn from.

    Args:
        spec: their shape.
        features: float32 [N, F], the catalogue.
        length: steps of an episode.
        rng: draws parameters, episodes and blocks.
        how: how to train.
    """

    def __init__(self, spec: Spec, features: FloatArray, length: int, rng: np.random.Generator, how: Settings) -> None:
        self.memory: ReplayMemory[Episodes] = ReplayMemory(how.memory, how.priority)
        super().__init__(
            spec, features, rng, how, Targets(how.discount, how.time_scale, how.mix, how.n_steps, how.double)
        )
        self._length, self._rng, self._how = length, rng, how

    def step(self, progress: float) -> tuple[float, float]:
        """Take one gradient step on a block of remembered steps.

        Args:
            progress: share of the iterations that are over, 0..1.

        Returns:
            The choice loss and the TD loss.

        Raises:
            FloatingPointError: the loss or its gradient is no longer finite; the parameters are as they were.
        """
        how = self._how
        first, last = how.correction
        start = int(self._rng.integers(self._length - how.block + 1)) if self._length > how.block else 0
        drawn = self.memory.sample(how.batch, self._rng, first + (last - first) * progress)
        block = Block.of(drawn.rows, start, how.block)
        found = self.learn(block, drawn.weight, progress)
        if how.priority:
            there = block.active.any(1).numpy()
            self.memory.learn(drawn.place[there], found.surprise.numpy()[there])
        return found.choice.item(), found.td.item()

    def snapshot(self) -> Snapshot:
        """All that a learner of the same settings needs to go on from here."""
        of = super().snapshot()
        return Snapshot(of.arrays | {f"memory.{name}": value for name, value in self.memory.state().items()}, of.facts)

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of such a learner."""
        super().resume(snapshot)
        of = {name.removeprefix("memory."): x for name, x in snapshot.arrays.items() if name.startswith("memory.")}
        self.memory.resume(Episodes, of)
