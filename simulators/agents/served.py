"""A policy behind a service: every slate is asked for and every outcome told, as a product would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from meta.errors import InputError
from meta.types import FloatArray, IntArray
from simulators.agents.port import JudgedWorld


class Service(Protocol):
    """What is asked of a service: calls for all users of a batch at once.

    `service.client.crowd.Crowd` is one over gRPC.
    """

    def welcome(self, users: int) -> None:
        """From now on the calls are for so many new users, in the same order each time."""

    def recommend(self, offers: Sequence[Sequence[str]], size: int, seeds: Sequence[int]) -> list[list[str]]:
        """Ask for a slate of `size` of each user's offer (item ids), drawn by these seeds: item ids, first shown first.

        Raises:
            InputError: the service does not know these items, or does not answer.
        """

    def record(self, slates: Sequence[Sequence[str]], rewards: Sequence[Sequence[float]]) -> None:
        """Tell what each user was shown, all of the slate last asked for, and what each of its items earned."""


class ServedAgent:
    """Shows what a service recommends and tells it the outcome; the service keeps the users.

    Args:
        service: serves a policy of the world's items.
        name: in tables.
    """

    def __init__(self, service: Service, *, name: str = "served") -> None:
        self._service = service
        self.name = name

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Bring new users to the service."""
        self._rng = np.random.default_rng(seed)
        self._ids = np.asarray([*world.catalogue().ids, ""])  # the last is row -1: nothing is on offer
        self._size = world.slate_size
        self._service.welcome(world.num_envs)

    def act(self, rows: IntArray) -> IntArray:
        """Ask for every user's slate.

        Raises:
            InputError: a slate does not hold the items that were asked for.
        """
        offers = self._ids[rows].tolist()
        seeds = self._rng.integers(2**63, size=len(rows)).tolist()
        on_offer = [[item for item in offer if item] for offer in offers]
        slates = self._service.recommend(on_offer, self._size, seeds)
        try:
            shown = [[offer.index(item) for item in slate] for offer, slate in zip(offers, slates, strict=True)]
            return np.asarray(shown).reshape(len(rows), self._size)
        except ValueError as error:
            raise InputError(
                f"the service must show {self._size} of the items on offer, it does not: {error}"
            ) from error

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Tell the service what was shown, and that the chosen item earned the reward and the others nothing."""
        earned = np.where(np.arange(self._size) == choice[:, None], reward[:, None], 0.0)
        self._service.record(self._ids[slate].tolist(), earned.tolist())
