"""The law of a world whose only secret is the mind of each user: what agents with full knowledge may know."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from meta.errors import InputError
from meta.experience import World
from meta.types import FloatArray, IntArray


@runtime_checkable
class KnownLaw(Protocol):
    """How minds are drawn, are drawn to items, tire of them and change; a world acts by these very functions.

    A mind of D floats is made of a kind, uniform over `kinds`, and of `width` standard normal numbers. The appeal of an
    item is pull(mind) + offset(weariness). Weariness, W floats, is known to whoever saw what its user chose.
    P are minds imagined for one user.
    """

    kinds: int
    """Kinds of users."""
    width: int
    """Normal numbers that tell users of one kind apart."""
    no_choice: float
    """Logit of choosing nothing."""
    position_cost: FloatArray
    """Appeal lost at each slate position, float [K], logits."""

    def minds(self, kind: IntArray, noise: FloatArray) -> FloatArray:
        """Minds [..., D] of users of these kinds [...] and numbers [..., width]."""

    def pull(self, minds: FloatArray, rows: IntArray) -> FloatArray:
        """Logits [B, P, n] that minds [B, P, D] give to items [B, n], as far as they depend on the mind."""

    def payoff(self, pull: FloatArray, rows: IntArray) -> FloatArray:
        """Expected reward [B, P, n] of items [B, n], were they chosen, by their pull [B, P, n]."""

    def outcome(self, pull: FloatArray, row: IntArray, reward: FloatArray) -> FloatArray:
        """Log density [B, P], up to a constant, of the reward [B] of chosen items [B], by their pull [B, P]."""

    def rested(self, users: int) -> FloatArray:
        """Weariness [users, W] of new users."""

    def tire(self, weariness: FloatArray, row: IntArray) -> FloatArray:
        """Weariness [B, W] one step later, after choosing the items [B] (-1: nothing)."""

    def offset(self, weariness: FloatArray, rows: IntArray) -> FloatArray:
        """Logits [B, n] of items that do not depend on the mind, to users of this weariness [B, W]."""

    def aftermath(self, rows: IntArray, steps: int) -> FloatArray:
        """Appeal lost by all items, summed over the `steps` after it, to the choice of each of these items [B, n]."""

    def change(self, step: int) -> float:
        """Chance that a mind that has never changed is replaced by a new one right before this step (from 0)."""


def told(world: World) -> KnownLaw:
    """The law of a world that tells it.

    Raises:
        InputError: it does not.
    """
    if not isinstance(world, KnownLaw):
        raise InputError(f"the world {world.name} does not tell its law; leave out the agents that have to know it")
    return world


def draw(law: KnownLaw, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Kinds [...] and numbers [..., width] of new users."""
    return rng.integers(law.kinds, size=shape), rng.standard_normal((*shape, law.width))
