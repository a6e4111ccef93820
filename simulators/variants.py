"""Variants: worlds with some constants of another value, under a name of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.drifting_taste import DriftingTaste
from simulators.slates import Slates


@dataclass(frozen=True)
class Variant:
    """A world by the constants in which it differs.

    Args:
        name: of the world that it makes.
        kind: the class of that world.
        constants: by name, in place of the class's defaults; an argument of the call comes before them.
    """

    name: str
    kind: type[Slates]
    constants: Mapping[str, Any] = field(hash=False)

    def __call__(self, users: int = 1, **arguments: Any) -> Slates:
        """Make the world, for so many users."""
        world: Slates = self.kind(users, **{**self.constants, **arguments})
        world.name = self.name
        return world


NOTHING_COUNTS = dict.fromkeys(
    ("taste_scale", "quality_weight", "sweetness_weight", "satiation", "fatigue", "watch_taste", "watch_quality"),
    0.0,
)
"""Whatever is shown is liked alike."""
VARIANTS = (
    # Nobody's taste changes.
    Variant("drifting_taste_steady", DriftingTaste, {"change": None}),
    # Nobody tires of a topic, or of choosing: nothing is to be planned.
    Variant("drifting_taste_tireless", DriftingTaste, {"satiation": 0.0, "fatigue": 0.0}),
    # Random slates are answered about once in an episode of 40 steps.
    Variant("drifting_taste_sparse", DriftingTaste, {"no_choice": 8.5}),
    # Choices tell of the position alone, so no ranking is better than another, whatever it has learnt.
    Variant("drifting_taste_position_only", DriftingTaste, NOTHING_COUNTS | {"position_weight": 0.5, "no_choice": 1.5}),
    # Clusters say more of a user than the user's own part, and of every fourth user they say the opposite.
    Variant("drifting_taste_contrary", DriftingTaste, {"contrary": 0.25, "cluster_share": 1.6}),
    # Whoever finds nothing in six slates in a row leaves for good.
    Variant("drifting_taste_impatient", DriftingTaste, {"patience": 6}),
)
