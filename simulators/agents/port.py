"""The one port of whatever shows slates to simulated users."""

from __future__ import annotations

from typing import Protocol

from meta.experience import World
from meta.types import FloatArray, IntArray


class JudgedWorld(World, Protocol):
    """A world that also tells what its users hide, for oracles."""

    no_choice: float
    """Logit of choosing nothing."""

    def appeal(self, rows: IntArray, /) -> FloatArray:
        """The logit [B, n] that each user gives now to the items in `rows` [B, n]."""

    def worth(self, rows: IntArray, /) -> FloatArray:
        """The expected reward [B, n] of each of these items, were it chosen."""


class Agent(Protocol):
    """Shows slates to a batch of users and sees what they choose."""

    name: str

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Forget everything; the users of `world` are new."""

    def act(self, rows: IntArray) -> IntArray:
        """Choose slates: catalogue rows on offer [B, C] -> positions int [B, K]."""

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Learn the outcome: rows shown [B, K], chosen position [B] (-1 none), reward [B]."""
