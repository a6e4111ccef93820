"""Experience: a world that users are met in, the episodes they leave, and a bounded memory to replay them from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from meta.catalogue import Catalogue
from meta.types import Events, FloatArray, IntArray


class World(Protocol):
    """A batch of users who are offered candidates, shown a slate and may choose from it (a gymnasium `VectorEnv`)."""

    name: str
    num_envs: int
    """B, users."""
    steps: int
    """G, steps of an episode; all users end together."""
    candidates: int
    """C, items on offer at each step."""
    slate_size: int
    """K, items shown at each step."""

    def catalogue(self) -> Catalogue:
        """All items of this world."""

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Meet new users; the observation has "candidates", int [B, C] catalogue rows, and "features" [B, C, F]."""

    def step(self, actions: IntArray, /) -> tuple[Any, FloatArray, Any, Any, dict[str, Any]]:
        """Show the candidates at positions [B, K]: observation, reward [B], terminated [B], truncated [B], info.

        info["choice"] is int [B], the chosen slate position or -1.
        """


@dataclass(frozen=True, slots=True)
class Episodes:
    """What B users were offered, shown and chose in G steps each.

    Args:
        offer: int32 [B, G, C], catalogue rows on offer.
        slate: int32 [B, G, K], catalogue rows shown.
        choice: int8 [B, G], chosen slate position, -1 none.
        reward: float32 [B, G].
        terminated: bool [B], true where the episode ended by the world's law, false where it was cut.
    """

    offer: IntArray
    slate: IntArray
    choice: IntArray
    reward: FloatArray
    terminated: np.ndarray[Any, Any]

    def __len__(self) -> int:
        return len(self.reward)


def history(slate: IntArray, choice: IntArray, reward: FloatArray) -> Events:
    """Return the histories that shown slates leave: one event a shown item, one group a slate.

    Args:
        slate: int [B, G, K], catalogue rows shown; G may be 0.
        choice: int [B, G], chosen slate position, -1 none.
        reward: float [B, G], given to the chosen event.
    """
    users, decisions, size = slate.shape
    chosen = np.arange(size) == choice[..., None]
    flat = (users, decisions * size)
    group = np.repeat(np.arange(decisions, dtype=np.int32), size)
    return Events(
        item=slate.reshape(flat).astype(np.int32),
        reward=np.where(chosen, reward[..., None], 0.0).reshape(flat).astype(np.float32),
        group=np.broadcast_to(group, flat).copy(),
        mask=np.ones(flat, bool),
        length=np.full(users, decisions, np.int32),
        time_ms=np.zeros(flat, np.int64),
    )


class ReplayMemory:
    """The newest `capacity` episodes, by user, in arrays that never grow.

    Args:
        capacity: episodes kept, at least 1.

    Raises:
        ValueError: where the capacity is below 1, or episodes of another shape are added.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self.capacity = capacity
        self._store: Episodes | None = None
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, self.capacity)

    def add(self, episodes: Episodes) -> None:
        """Keep these episodes in place of the oldest."""
        if self._store is None:
            self._store = Episodes(
                **{
                    field.name: np.zeros((self.capacity, *value.shape[1:]), value.dtype)
                    for field in fields(Episodes)
                    for value in (getattr(episodes, field.name),)
                }
            )
        newest = min(len(episodes), self.capacity)
        place = (self._added + np.arange(len(episodes) - newest, len(episodes))) % self.capacity
        for field in fields(Episodes):
            kept, new = getattr(self._store, field.name), getattr(episodes, field.name)
            if kept.shape[1:] != new.shape[1:]:
                raise ValueError(f"{field.name} must have shape {kept.shape[1:]} an episode, got {new.shape[1:]}")
            kept[place] = new[-newest:]
        self._added += len(episodes)

    def sample(self, count: int, rng: np.random.Generator) -> Episodes:
        """Draw `count` episodes uniformly with replacement; ValueError while the memory is empty."""
        if self._store is None or not len(self):
            raise ValueError("cannot sample from an empty memory")
        drawn = rng.integers(len(self), size=count)
        return Episodes(*(getattr(self._store, field.name)[drawn] for field in fields(Episodes)))
