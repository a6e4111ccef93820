"""Experience: a world that users are met in, what they and tasks leave, and a bounded memory to replay it from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from meta.catalogue import Catalogue
from meta.priorities import Priorities
from meta.types import BoolArray, Events, FloatArray, IntArray


class World(Protocol):
    """A batch of users who are offered candidates, shown a slate and may choose from it (a gymnasium `VectorEnv`)."""

    name: str
    num_envs: int
    """B, users."""
    steps: int
    """G, most steps of an episode; a user may leave before, the others go on."""
    candidates: int
    """C, items on offer at each step."""
    slate_size: int
    """K, items shown at each step."""
    np_random: np.random.Generator
    """All that a world draws from; between two episodes it is all of the world's state."""
    context: int
    """X, width of what is seen of the situation at each step; 0 where nothing is."""

    def catalogue(self) -> Catalogue:
        """All items of this world."""

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Meet new users.

        The observation has "candidates", int [B, C] catalogue rows, -1 where less is on offer (never less than K);
        where X is above 0 also "context", float [B, X].
        """

    def step(self, actions: IntArray, /) -> tuple[Any, FloatArray, Any, Any, dict[str, Any]]:
        """Show the candidates at positions [B, K]: observation, reward [B], terminated [B], truncated [B], info.

        info["choice"] is int [B], the chosen slate position or -1; info["elapsed"], if there, is float [B], the time
        that the step took, 1 by default; info["active"], if there, is bool [B], false for users who had left before
        the step: they choose nothing and earn 0. Whoever leaves is terminated from the last active step on.
        """


@dataclass(frozen=True, slots=True)
class Episodes:
    """What B users were offered, shown and chose in at most G steps each.

    Args:
        offer: int32 [B, G + 1, C], catalogue rows on offer at each step and after the last, -1 where less was.
        context: float32 [B, G + 1, X], what was seen of the situation then.
        slate: int32 [B, G, K], catalogue rows shown.
        choice: int8 [B, G], chosen slate position, -1 none.
        reward: float32 [B, G].
        elapsed: float32 [B, G], time that each step took, 1 where steps are alike.
        terminated: bool [B], true where the episode ended by the world's law, false where it was cut.
        active: bool [B, G], true up to a user's last step; what follows it did not happen, and earned 0.
    """

    offer: IntArray
    context: FloatArray
    slate: IntArray
    choice: IntArray
    reward: FloatArray
    elapsed: FloatArray
    terminated: BoolArray
    active: BoolArray

    def __len__(self) -> int:
        return len(self.reward)


def history(
    slate: IntArray,
    choice: IntArray,
    reward: FloatArray,
    context: FloatArray | None = None,
    active: BoolArray | None = None,
) -> Events:
    """Return the histories that shown slates leave: one event a shown item, one group a slate, position by position.

    Args:
        slate: int [B, G, K], catalogue rows shown; G may be 0.
        choice: int [B, G], chosen slate position, -1 none.
        reward: float [B, G], given to the chosen event.
        context: float [B, G, X], the situation of each decision; None: not seen.
        active: bool [B, G], true up to a user's last decision, what follows is left out; None: all took place.
    """
    users, decisions, size = slate.shape
    active = np.ones((users, decisions), bool) if active is None else active
    happened = np.tile(active, size)
    chosen = np.arange(size)[:, None] == choice[:, None, :]
    flat = (users, decisions * size)
    group = np.tile(np.arange(decisions, dtype=np.int32), size)
    return Events(
        item=np.where(happened, slate.swapaxes(1, 2).reshape(flat), -1).astype(np.int32),
        reward=np.where(happened, np.where(chosen, reward[:, None, :], 0.0).reshape(flat), 0.0).astype(np.float32),
        group=np.where(happened, group, 0),
        mask=happened,
        length=active.sum(1, dtype=np.int32),
        time_ms=np.zeros(flat, np.int64),
        context=None if context is None else np.tile(context, (1, size, 1)),
        slate=size,
    )


@dataclass(frozen=True, slots=True)
class Transitions:
    """What happened in B tasks in T steps each; T = 1 where steps are remembered one by one.

    Args:
        observation: float32 [B, T, X], what was seen before each step.
        action: int32 [B, T], catalogue row of the action taken.
        reward: float32 [B, T], what it earned.
        next_observation: float32 [B, T, X], what was seen after it, before any new episode began.
        next_available: bool [B, T, N], the actions that could be taken then.
        terminated: bool [B, T], whether the step ended its episode: nothing can be earned after it.
        truncated: bool [B, T], whether the episode was cut after the step: what could be earned is to be foretold.
        elapsed: float32 [B, T], time that the step took, in a unit of the task's own.
        active: bool [B, T], false where no step was taken, as the task waited for others.
    """

    observation: FloatArray
    action: IntArray
    reward: FloatArray
    next_observation: FloatArray
    next_available: BoolArray
    terminated: BoolArray
    truncated: BoolArray
    elapsed: FloatArray
    active: BoolArray

    def __len__(self) -> int:
        return len(self.reward)


Rows = TypeVar("Rows", Episodes, Transitions)


@dataclass(frozen=True, slots=True)
class Draw(Generic[Rows]):
    """What was drawn from a memory.

    Args:
        rows: B episodes, or the transitions of B tasks.
        place: int [B], where they are kept, to say how much they surprised.
        weight: float32 [B], by which each row's loss is multiplied; 1 where the draw was uniform.
    """

    rows: Rows
    place: IntArray
    weight: npt.NDArray[np.float32]


class ReplayMemory(Generic[Rows]):
    """The newest `capacity` rows (episodes by user, or transitions by task) in arrays that never grow.

    Args:
        capacity: rows kept, at least 1.
        alpha: how much a row's surprise counts when rows are drawn, see `Priorities`; 0 draws uniformly.

    Raises:
        ValueError: where an argument is out of its range, or rows of another shape are added.
    """

    def __init__(self, capacity: int, alpha: float = 0.0) -> None:
        self._priorities = Priorities(capacity, alpha)
        self.capacity = capacity
        self._store: Rows | None = None
        self._added = 0

    def __len__(self) -> int:
        return min(self._added, self.capacity)

    def add(self, rows: Rows) -> None:
        """Keep these rows in place of the oldest."""
        if self._store is None:
            self._store = _each(rows, lambda x: np.zeros((self.capacity, *x.shape[1:]), x.dtype))
        newest = min(len(rows), self.capacity)
        place = (self._added + np.arange(len(rows) - newest, len(rows))) % self.capacity
        for field in fields(rows):
            kept, new = getattr(self._store, field.name), getattr(rows, field.name)
            if kept.shape[1:] != new.shape[1:]:
                raise ValueError(f"{field.name} must have shape {kept.shape[1:]} a row, got {new.shape[1:]}")
            kept[place] = new[-newest:]
        self._priorities.welcome(place)
        self._added += len(rows)

    def sample(self, count: int, rng: np.random.Generator, beta: float = 1.0) -> Draw[Rows]:
        """Draw `count` rows with replacement; `beta` as in `Priorities.corrections`.

        Raises:
            ValueError: while the memory is empty.
        """
        if self._store is None or not len(self):
            raise ValueError("cannot sample from an empty memory")
        uniform = not self._priorities.alpha
        place = rng.integers(len(self), size=count) if uniform else self._priorities.draw(count, rng)
        weight = np.ones(count, np.float32) if uniform else self._priorities.corrections(place, beta)
        return Draw(_each(self._store, lambda x: x[place]), place, weight)

    def learn(self, place: IntArray, surprise: FloatArray) -> None:
        """Remember how much the rows at these places surprised, float [B]: the mean size of their TD errors."""
        self._priorities.learn(place, surprise)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Everything that is remembered, as arrays by name."""
        powers, largest = self._priorities.state()
        rows = {} if self._store is None else {x.name: getattr(self._store, x.name) for x in fields(self._store)}
        kept = {f"rows.{name}": value[: len(self)].copy() for name, value in rows.items()}
        return kept | {"powers": powers, "largest": np.asarray(largest), "added": np.asarray(self._added)}

    def resume(self, kind: type[Rows], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from what `state` gave of a memory of the same capacity, whose rows are of this kind."""
        kept = {name.removeprefix("rows."): value for name, value in arrays.items() if name.startswith("rows.")}
        if kept:
            self._store = None
            self.add(kind(**kept))
        self._priorities.resume(arrays["powers"], float(arrays["largest"]))
        self._added = int(arrays["added"])


def _each(rows: Rows, change: Callable[[Any], Any]) -> Rows:
    """Rows with every array changed in the same way."""
    return type(rows)(*(change(getattr(rows, field.name)) for field in fields(rows)))
