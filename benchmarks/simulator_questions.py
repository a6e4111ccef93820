"""What `bench simulators` asks of each world: who is trained in it, how long, and how many new users judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

DEFAULT = "maml"
"""The adapter that is trained where none is named; what is claimed of the policy is claimed of it."""
SEEDS = (0, 1, 2)
"""Of trainings that claims rest on."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Trainings that differ by their seed alone.

    Args:
        name: in tables.
        adapter: a key of `meta.adapters.ADAPTERS`.
        minutes: wall time that one training may take.
        seeds: of the trainings.
        settings: fields of `meta.trainer.worlds.Settings` that differ from the defaults.
    """

    name: str
    adapter: str
    minutes: float
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Question:
    """One world.

    Args:
        world: a key of `simulators.WORLDS`.
        users: new users who judge.
        recipes: who is trained in it.
        trained_in: a world whose policies stand in for trainings in this one, "" for none.
        served: users who judge once more through the service, 0 for none.
    """

    world: str
    users: int
    recipes: tuple[Recipe, ...] = ()
    trained_in: str = ""
    served: int = 0

    def share(self, of: float) -> Question:
        """The same with so much of its users and minutes, to try the report out."""
        recipes = tuple(replace(recipe, minutes=of * recipe.minutes) for recipe in self.recipes)
        users, served = (max(10, int(of * count)) if count else 0 for count in (self.users, self.served))
        return replace(self, users=users, recipes=recipes, served=served)


def _beside(minutes: float, *adapters: str) -> tuple[Recipe, ...]:
    return tuple(Recipe(adapter, adapter, minutes) for adapter in adapters)


QUESTIONS = (
    Question(
        "drifting_taste",
        2_000,
        (
            Recipe(DEFAULT, DEFAULT, 3.0, SEEDS),
            Recipe("maml, gamma 0", DEFAULT, 3.0, settings={"discount": 0.0}),
            Recipe("session", "session", 2.0),
            *_beside(0.7, "ridge", "lstm_optimizer", "lstm_memory"),
        ),
        served=400,
    ),
    Question(
        "interest_exploration",
        1_000,
        (
            Recipe(DEFAULT, DEFAULT, 1.5, SEEDS),
            Recipe("session", "session", 1.0),
            *_beside(0.6, "ridge", "lstm_optimizer", "lstm_memory"),
        ),
        served=200,
    ),
    Question("recsim_interest_exploration", 1_000, trained_in="interest_exploration"),
    Question("recsim_interest_exploration_default", 1_000, _beside(0.8, DEFAULT, "session")),
    Question("drifting_taste_steady", 500, _beside(0.5, DEFAULT, "session")),
    Question("drifting_taste_tireless", 500, _beside(0.5, DEFAULT, "session")),
    Question("drifting_taste_sparse", 500, _beside(0.5, DEFAULT, "session")),
    Question("drifting_taste_position_only", 500, _beside(0.3, DEFAULT, "session")),
    Question("drifting_taste_contrary", 500, _beside(0.5, DEFAULT, "session")),
    Question("drifting_taste_impatient", 500, _beside(0.5, DEFAULT, "session")),
    Question("recsim_interest_evolution", 200, _beside(0.6, DEFAULT, "session")),
    Question("recogym", 500, _beside(0.5, DEFAULT, "session")),
    Question("recogym_flips", 500, _beside(0.5, DEFAULT, "session")),
)
"""Most important first: whatever does not fit into the time is left out from the end, and said to be."""
