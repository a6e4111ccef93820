"""The one port of whatever shows slates to simulated users."""

from __future__ import annotations

from typing import Protocol

from meta.experience import World
from meta.types import FloatArray, IntArray


class JudgedWorld(World, Protocol):
    """A world that also tells what its users hide, for oracles."""

    def appeal(self, rows: IntArray, /) -> FloatArray:
        """The logit [B, n] that each user gives the items in `rows` [B, n]."""


class Agent(Protocol):
    """Shows slates to a batch of users and sees what they choose."""

    name: str

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Forget everything; the users of `world` are new."""

    def act(self, rows: IntArray, features: FloatArray) -> IntArray:
        """Choose slates: catalogue rows [B, C] and features [B, C, F] on offer -> positions int [B, K]."""

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Learn the outcome: rows shown [B, K], chosen position [B] (-1 none), reward [B]."""
