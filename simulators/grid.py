"""A game: find the treasure that lies hidden in a maze, and next time go straight there."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from gymnasium import spaces

from meta.errors import InputError
from meta.types import BoolArray, FloatArray, IntArray
from simulators.tasks import TaskEnv, Tasks

MOVES = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]])
"""What the actions up, right, down and left add to (row, column)."""
AROUND = np.array([[i, j] for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j])
"""The eight cells that are seen from a cell."""


@dataclass(frozen=True, slots=True)
class Mazes:
    """What a policy does not see of B tasks.

    Args:
        walls: bool [B, n + 2, n + 2], true where nobody can go; the border is all wall.
        goal: int [B, 2], row and column of the treasure.
    """

    walls: BoolArray
    goal: IntArray

    def take(self, tasks: IntArray) -> Mazes:
        """Return the mazes of some tasks, in this order; a task may come more than once."""
        return Mazes(*(getattr(self, field.name)[tasks] for field in fields(self)))


class Grids(Tasks):
    """A batch of mazes, each with a treasure of its own.

    ## Description
    A maze is `size` x `size` cells of which some are walls; all open cells are connected. Walls and the place of the
    treasure are drawn by task. The treasure is invisible, so the first time it can only be found by search; after that
    whoever remembers where it was goes straight there.

    ## Action Space
    `Discrete(4)` a task: 0 up, 1 right, 2 down, 3 left; with chance `slip` the agent goes anywhere instead. A step
    into a wall leaves it where it is.

    ## Observation Space
    `Box(2 * size + 8)` float32 a task:
    | index | meaning | min | max | unit |
    |---|---|---|---|---|
    | 0..size-1 | the agent is in this row | 0 | 1 | one-hot |
    | size..2*size-1 | the agent is in this column | 0 | 1 | one-hot |
    | 2*size..2*size+7 | this of the eight cells around, row by row from the upper left, is a wall | 0 | 1 | flag |

    ## Rewards
    1 - .9 t / `steps` for stepping on the treasure at step t = 1, 2, ... (as in MiniGrid), 0 otherwise.

    ## Starting State
    `reset` draws mazes and treasures; every episode begins in an open cell drawn uniformly, not the treasure's.

    ## Episode End
    Terminated on the treasure; truncated after `steps` steps. `reset_episode` starts the next episode of the same
    tasks.

    ## Arguments
    * `tasks`: tasks in the batch (count).
    * `steps`: longest episode (steps).
    * `size`: rows and columns of a maze (cells).
    * `walls`: chance that a cell is a wall (0..0.4).
    * `slip`: chance that a step goes in a random direction (0..1).
    * `mazes`: play these tasks instead of drawing any.

    ## Version History
    * v0: first version.
    """

    name = "grid"
    worth = 1.0

    def __init__(
        self,
        tasks: int = 1,
        *,
        steps: int = 50,
        size: int = 5,
        walls: float = 0.15,
        slip: float = 0.1,
        mazes: Mazes | None = None,
    ) -> None:
        if size < 3:
            raise InputError(f"size must be at least 3, got {size}")
        if not 0.0 <= walls <= 0.4:
            raise InputError(f"walls must be in 0..0.4, got {walls}")
        if not 0.0 <= slip <= 1.0:
            raise InputError(f"slip must be in 0..1, got {slip}")
        if mazes is not None and mazes.walls.shape != (tasks, size + 2, size + 2):
            raise InputError(f"mazes must be those of {tasks} tasks of size {size}, got {mazes.walls.shape}")
        width = 2 * size + len(AROUND)
        self.scale = np.ones(width, np.float32)
        super().__init__(tasks, steps, len(MOVES), spaces.Box(0.0, 1.0, (width,), np.float32))
        self.size, self._density, self._slip, self._given = size, walls, slip, mazes
        self.mazes = mazes or Mazes(np.ones((tasks, size + 2, size + 2), bool), np.ones((tasks, 2), int))
        self._at: IntArray = np.ones((tasks, 2), int)

    def only(self, tasks: IntArray) -> Grids:
        """A batch that plays these of our present tasks, and never any other."""
        tasks = np.asarray(tasks)
        mazes = self.mazes.take(tasks)
        return Grids(len(tasks), steps=self.steps, size=self.size, slip=self._slip, mazes=mazes)

    def _draw(self, rng: np.random.Generator) -> None:
        if self._given is None:
            walls = draw_walls(self.num_envs, self.size, self._density, rng)
            self.mazes = Mazes(walls, _draw_cells(~walls, rng))

    def _begin(self, rng: np.random.Generator) -> FloatArray:
        open_cells = ~self.mazes.walls
        open_cells[np.arange(self.num_envs), *self.mazes.goal.T] = False
        self._at = _draw_cells(open_cells, rng)
        return self._look()

    def _move(self, actions: IntArray, active: BoolArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        slips = self.np_random.random(self.num_envs) < self._slip
        ahead = self._at + MOVES[np.where(slips, self.np_random.integers(len(MOVES), size=self.num_envs), actions)]
        free = active & ~self.mazes.walls[np.arange(self.num_envs), *ahead.T]
        self._at = np.where(free[:, None], ahead, self._at)
        found = (self._at == self.mazes.goal).all(1)
        return self._look(), np.where(found, 1.0 - 0.9 * self._step / self.steps, 0.0), found

    def _look(self) -> FloatArray:
        here = np.eye(self.size, dtype=np.float32)[self._at - 1].reshape(self.num_envs, -1)
        around = self._at[:, None] + AROUND
        seen = self.mazes.walls[np.arange(self.num_envs)[:, None], around[..., 0], around[..., 1]]
        return np.concatenate([here, seen.astype(np.float32)], 1)


class GridEnv(TaskEnv):
    """One task of `Grids`; takes its arguments other than `tasks`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(Grids(1, **arguments))


def draw_walls(mazes: int, size: int, density: float, rng: np.random.Generator) -> BoolArray:
    """Walls bool [B, n + 2, n + 2] of mazes whose open cells are connected and at least half of all.

    Cells are walls by chance; what cannot be reached from a cell drawn at random is filled up. Mazes that become too
    narrow are drawn again.
    """
    walls = np.ones((mazes, size + 2, size + 2), bool)
    missing = np.arange(mazes)
    while missing.size:
        drawn = np.ones((missing.size, size + 2, size + 2), bool)
        drawn[:, 1:-1, 1:-1] = rng.random((missing.size, size, size)) < density
        drawn[:, 1, 1] &= ~drawn.all((1, 2))  # a maze without any open cell gets one
        reached = np.zeros_like(drawn)
        reached[np.arange(missing.size), *_draw_cells(~drawn, rng).T] = True
        while True:
            wider = reached.copy()
            for axis, shift in ((1, 1), (1, -1), (2, 1), (2, -1)):  # the border is wall, so nothing wraps around
                wider |= np.roll(reached, shift, axis) & ~drawn
            if (wider == reached).all():
                break
            reached = wider
        walls[missing] = ~reached
        missing = missing[reached.sum((1, 2)) < size * size / 2]
    return walls


def _draw_cells(allowed: BoolArray, rng: np.random.Generator) -> IntArray:
    """One allowed cell of each map, uniformly: bool [B, n, n] -> int [B, 2]."""
    flat = allowed.reshape(len(allowed), -1)
    ticket = np.where(flat, rng.random(flat.shape), -1.0).argmax(1)
    return np.stack(np.unravel_index(ticket, allowed.shape[1:]), 1)
