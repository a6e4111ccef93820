"""The mazes against plain walks through them."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from simulators.grid import Grids, Mazes

UP, RIGHT, DOWN, LEFT = range(4)


def by_hand(rows: list[str]) -> Mazes:
    """One maze from a drawing: # wall, T treasure, anything else open."""
    drawn = np.array([list(row) for row in rows])
    return Mazes(np.pad(drawn == "#", 1, constant_values=True)[None], np.argwhere(drawn == "T") + 1)


def reachable(walls: np.ndarray) -> int:
    """Open cells that a breadth-first walk from the first one meets."""
    first = tuple(np.argwhere(~walls)[0].tolist())
    met, queue = {first}, deque([first])
    while queue:
        i, j = queue.popleft()
        for cell in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if not walls[cell] and cell not in met:
                met.add(cell)
                queue.append(cell)
    return len(met)


def test_open_cells_are_connected_and_at_least_half() -> None:
    """In 300 dense mazes a plain breadth-first walk meets every open cell."""
    family = Grids(300, walls=0.4)
    family.reset(seed=0)
    counts = (~family.mazes.walls).sum((1, 2)).tolist()
    assert counts == [reachable(walls) for walls in family.mazes.walls]
    assert min(counts) >= 12.5
    assert not family.mazes.walls[np.arange(300), *family.mazes.goal.T].any()


def test_a_walk_through_a_maze_drawn_by_hand() -> None:
    """Moves, walls, the view, the reward and the end, step by step."""
    family = Grids(1, size=3, steps=10, slip=0.0, mazes=by_hand(["..T", ".#.", "..."]))
    family.reset(seed=0)
    family._at = np.array([[2, 1]])
    observation, reward, terminated, _, _ = family.step(np.array([RIGHT]))  # into the wall
    assert [0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 1, 1, 0, 0] == observation[0].tolist()
    assert (0.0, False) == (reward[0], terminated[0])
    family.step(np.array([UP]))
    family.step(np.array([RIGHT]))
    _, reward, terminated, _, _ = family.step(np.array([RIGHT]))
    np.testing.assert_allclose(1 - 0.9 * 4 / 10, reward[0])
    assert terminated[0]


def test_steps_slip_as_often_as_stated() -> None:
    """Of 8,000 steps to the right from the middle of open mazes 1 - .4 + .4 / 4 arrive, within four standard errors."""
    family = Grids(8_000, size=3, slip=0.4, walls=0.0)
    family.reset(seed=0)
    family._at = np.full((8_000, 2), 2)
    family.step(np.full(8_000, RIGHT))
    np.testing.assert_allclose(0.7, (family._at == [2, 3]).all(1).mean(), atol=4 * (0.7 * 0.3 / 8_000) ** 0.5)


def test_episodes_begin_anywhere_but_on_the_treasure() -> None:
    """Over 200 episodes of one maze every open cell but the treasure's is a beginning."""
    family = Grids(1, size=3, mazes=by_hand(["..T", ".#.", "..."]))
    family.reset(seed=0)
    begun = set()
    for _ in range(200):
        family.reset_episode()
        begun.add(tuple(family._at[0].tolist()))
    assert {(1, 1), (1, 2), (2, 1), (2, 3), (3, 1), (3, 2), (3, 3)} == begun


def test_episodes_are_cut_after_the_stated_steps() -> None:
    """Whoever only walks against a wall is truncated, not terminated."""
    family = Grids(1, size=3, steps=4, slip=0.0, mazes=by_hand(["..T", ".#.", "..."]))
    family.reset(seed=0)
    family._at = np.array([[3, 1]])
    flags = [family.step(np.array([DOWN]))[2:4] for _ in range(4)]
    assert [(False, False)] * 3 + [(False, True)] == [(bool(a[0]), bool(b[0])) for a, b in flags]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 2}, "size must be at least 3, got 2"),
        ({"slip": -0.1}, r"slip must be in 0\.\.1, got -0.1"),
        ({"walls": 0.5}, r"walls must be in 0\.\.0.4, got 0.5"),
    ],
)
def test_impossible_mazes_are_refused(arguments: dict[str, float], words: str) -> None:
    """The error names the violated condition and the value."""
    with pytest.raises(ValueError, match=words):
        Grids(1, **arguments)
