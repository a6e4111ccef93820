"""A trained policy in process: what the service would show, without the service."""

from __future__ import annotations

import numpy as np

from meta.experience import history
from meta.policy import Policy
from meta.types import FloatArray, IntArray
from simulators.agents.port import JudgedWorld


class PolicyAgent:
    """Adapts to each user's last events after every step, as the service does, and shows what the copy ranks first.

    Args:
        policy: trained in this world, or in one whose items are known by the same features.
        name: in tables; the adapter's name by default.
        frozen: shows everybody what a user without events would get.
        temperature: of the Plackett-Luce draw; the policy's own by default.
    """

    def __init__(
        self, policy: Policy, *, name: str = "", frozen: bool = False, temperature: float | None = None
    ) -> None:
        self._trained = policy
        self.name = name or policy.spec.adapter
        self._frozen = frozen
        self._temperature = policy.manifest.temperature if temperature is None else temperature

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Start every user with no events.

        Raises:
            PolicyError: the policy was trained on items of another kind.
        """
        self._policy = self._trained.among(world.catalogue())
        self._rng = np.random.default_rng(seed)
        self._size = world.slate_size
        self._kept = self._policy.manifest.history_cap // world.slate_size
        self._slate = np.zeros((world.num_envs, 0, world.slate_size), np.int32)
        self._choice = np.zeros((world.num_envs, 0), np.int8)
        self._reward = np.zeros((world.num_envs, 0), np.float32)

    def act(self, rows: IntArray) -> IntArray:
        """Adapt, rank, and find what was ranked among the candidates."""
        users = len(rows)
        events = history(self._slate, self._choice, self._reward)
        ranking = self._policy.rank(
            self._policy.adapt(events).copy,
            events,
            rows,
            slate_size=np.full(users, self._size),
            temperature=np.full(users, self._temperature),
            seed=self._rng.integers(2**63, size=users).astype(np.uint64),
        )
        positions: IntArray = (rows[:, None, :] == ranking.row[:, :, None]).argmax(-1)
        return positions

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Append the step and forget what is past the history's cap."""
        if self._frozen:
            return
        self._slate = np.concatenate([self._slate, slate[:, None]], 1)[:, -self._kept :]
        self._choice = np.concatenate([self._choice, choice[:, None]], 1)[:, -self._kept :]
        self._reward = np.concatenate([self._reward, reward[:, None]], 1)[:, -self._kept :]
