"""Simulated users to learn from and to be judged by, as gymnasium environments that step a whole batch at once."""

from collections.abc import Callable

from simulators.control import CartPoles
from simulators.drifting_taste import DriftingTaste
from simulators.grid import Grids
from simulators.interest_exploration import InterestExploration
from simulators.recogym import FLIPS, RecoGym
from simulators.recsim_evolution import RecSimInterestEvolution
from simulators.recsim_exploration import DEFAULTS, RecSimInterestExploration
from simulators.slates import Slates
from simulators.variants import VARIANTS

OWN: dict[str, Callable[..., Slates]] = {world.name: world for world in (InterestExploration, DriftingTaste, *VARIANTS)}
"""Worlds of this project by name."""
FOREIGN: dict[str, Callable[..., Slates]] = {
    world.name: world for world in (RecSimInterestExploration, DEFAULTS, RecSimInterestEvolution, RecoGym, FLIPS)
}
"""Worlds of other people's packages by name; where a package is absent, building its world is an InputError."""
WORLDS = OWN | FOREIGN
"""Every world of users by name; each takes the number of users as its first argument."""
TASKS = {family.name: family for family in (CartPoles, Grids)}
"""Every family of control tasks by name; each takes the number of tasks as its first argument."""
