"""Simulated users to learn from and to be judged by, as gymnasium environments that step a whole batch at once."""

from collections.abc import Callable

from simulators.control import CartPoles
from simulators.drifting_taste import DriftingTaste
from simulators.grid import Grids
from simulators.interest_exploration import InterestExploration
from simulators.slates import Slates
from simulators.variants import VARIANTS

WORLDS: dict[str, Callable[..., Slates]] = {
    world.name: world for world in (InterestExploration, DriftingTaste, *VARIANTS)
}
"""Every world of users by name; each takes the number of users as its first argument."""
TASKS = {family.name: family for family in (CartPoles, Grids)}
"""Every family of control tasks by name; each takes the number of tasks as its first argument."""
