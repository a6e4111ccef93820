"""What `bench simulators` asks of each world: who is trained in it, how long, and how many new users judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from meta.dataset import read_movielens
from meta.errors import InputError
from simulators import WORLDS
from simulators.agents.port import JudgedWorld
from simulators.factors import fit
from simulators.fitted import Fitted

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
        last: whether it is trained after everything else.
        share: of the settings' iterations and rounds of prices, to try the report out.
    """

    name: str
    adapter: str
    minutes: float
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    last: bool = False
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Question:
    """One world.

    Args:
        world: a key of `simulators.WORLDS`, or `fitted`, whose policies learn from users who are met and are judged by
            those who are held out.
        users: new users who judge.
        recipes: who is trained in it.
        trained_in: a world whose policies stand in for trainings in this one, "" for none.
        served: users who judge once more through the service, 0 for none.
        log: a MovieLens folder, for `fitted`.
    """

    world: str
    users: int
    recipes: tuple[Recipe, ...] = ()
    trained_in: str = ""
    served: int = 0
    log: str = ""

    def among(self, users: int, part: str = "held_out") -> JudgedWorld:
        """The world with so many users at once, of `fitted` those of this part.

        Raises:
            InputError: the world's package is absent, or no log is given for `fitted`.
        """
        if self.world != Fitted.name:
            return WORLDS[self.world](users)
        if not self.log:
            raise InputError(f"the world {Fitted.name} needs a log: give --movielens")
        return Fitted(users, population=fit(*read_movielens(Path(self.log))), part=part)

    def share(self, of: float) -> Question:
        """The same with so much of its users and trainings, to try the report out."""
        recipes = tuple(replace(recipe, share=of) for recipe in self.recipes)
        users, served = (max(10, int(of * count)) if count else 0 for count in (self.users, self.served))
        return replace(self, users=users, recipes=recipes, served=served)


def _beside(minutes: float, *adapters: str, **settings: Any) -> tuple[Recipe, ...]:
    return tuple(Recipe(adapter, adapter, minutes, settings=settings) for adapter in adapters)


SHORT = {"iterations": 24, "prices": 3}
"""Of shorter trainings: whatever an iteration costs an adapter, all meet as many users and learn as many steps."""
LAST = (
    Recipe("ridge", "ridge", 1.0, settings=SHORT, last=True),
    Recipe("lstm_optimizer", "lstm_optimizer", 1.0, settings=SHORT, last=True),
    Recipe("lstm_memory", "lstm_memory", 1.0, settings=SHORT | {"prices": 0}, last=True),
)
"""Adapters that stand beside the default one for comparison only: shorter, and after everything else."""
QUESTIONS = (
    Question(
        "drifting_taste",
        2_000,
        (
            Recipe(DEFAULT, DEFAULT, 5.0, SEEDS),
            Recipe(f"{DEFAULT}, gamma 0", DEFAULT, 3.0, settings={"discount": 0.0}),
            Recipe("session", "session", 2.0),
            *LAST,
        ),
        served=400,
    ),
    Question(
        "interest_exploration",
        1_000,
        (
            Recipe(DEFAULT, DEFAULT, 3.0, SEEDS),
            Recipe("session", "session", 3.0),
            *LAST,
        ),
        served=200,
    ),
    Question("recsim_interest_exploration", 1_000, trained_in="interest_exploration"),
    Question("recsim_interest_exploration_default", 600, _beside(1.5, DEFAULT, "session", iterations=20, prices=0)),
    *(
        Question(world, 600, _beside(1.5, DEFAULT, "session", **SHORT))
        for world in (
            "drifting_taste_steady",
            "drifting_taste_tireless",
            "drifting_taste_sparse",
            "drifting_taste_position_only",
            "drifting_taste_contrary",
            "drifting_taste_impatient",
            "fitted",
        )
    ),
    *(
        Question(world, 300, _beside(1.5, DEFAULT, "session", iterations=iterations, prices=0))
        for world, iterations in (("recsim_interest_evolution", 20), ("recogym", 8), ("recogym_flips", 8))
    ),
)
"""Most important first: whatever does not fit into the time is left out from the end (`LAST` last), and said to be.

Prices are sought for fewer rounds in short trainings, and not at all where that takes too long: in worlds of other
packages, whose users step one by one, and for a memory, which training replays."""
