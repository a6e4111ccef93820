"""A world small enough to be solved by hand: what is true of it does not have to be learnt to be known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from meta.catalogue import Catalogue
from meta.types import BoolArray, FloatArray, IntArray

NEXT = np.array([[0, 1, 2], [0, 2, 3], [3, 0, 1], [1, 3, 0]])
"""The state that an action leads to, [state, action]."""
REWARD = np.array([[0.0, -0.3, -0.6], [0.1, -0.3, -0.8], [-0.3, 0.2, 0.1], [0.4, -0.1, 1.0]])
"""What it earns: nothing for staying in state 0; the way round through 2 and 3 costs first and pays .1 more in the end,
which is worth it at a discount of .97 and not at .9."""
ELAPSED = np.array([[0.5, 1.0, 2.0], [1.0, 0.5, 1.0], [1.0, 3.0, 0.5], [2.0, 1.0, 1.5]])
"""Hours that it takes, where time is counted."""
AVAILABLE = np.array([[True, True, True], [True, True, False], [True, True, False], [True, True, False]])
"""What can be done, where not everything can: the jackpot of state 3 is out of reach."""
STATES, ACTIONS = NEXT.shape


@dataclass
class TinyMdp:
    """A batch of users who live in one of four states and take whichever of three items they are shown.

    ## Observation
    "context" is the state, one-hot; "candidates" are the items that are available in it, -1 in the place of others.

    ## Rewards
    `REWARD` of the state and the item shown; the item leads to `NEXT`.

    ## Starting State
    Uniform.

    ## Episode End
    Truncated after `steps` steps: life goes on, unseen.

    Args:
        available: bool [states, actions].
        elapsed: float [states, actions], the time that steps take.
    """

    available: BoolArray
    elapsed: FloatArray
    num_envs: int = 64
    steps: int = 4
    name = "tiny_mdp"
    candidates = ACTIONS
    slate_size = 1
    context = STATES

    def catalogue(self) -> Catalogue:
        """Three items that are known by nothing but who they are."""
        items = [f"action-{a}" for a in range(ACTIONS)]
        return Catalogue.from_features(items, np.eye(ACTIONS, dtype=np.float32), items)

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Put everyone into a state drawn uniformly."""
        if seed is not None:
            self.np_random = np.random.default_rng(seed)
        self._state = self.np_random.integers(STATES, size=self.num_envs)
        self._step = 0
        return self._observe(), {}

    def step(self, actions: IntArray, /) -> tuple[Any, FloatArray, Any, Any, dict[str, Any]]:
        """Show an item each, which is taken."""
        here, item = self._state, actions[:, 0]
        assert self.available[here, item].all()
        self._state = NEXT[here, item]
        self._step += 1
        cut = np.full(self.num_envs, self._step >= self.steps)
        info = {"choice": np.zeros(self.num_envs, np.int8), "elapsed": self.elapsed[here, item]}
        return self._observe(), REWARD[here, item], np.zeros_like(cut), cut, info

    def solve(self, discount: float) -> FloatArray:
        """Q* [states, actions] by value iteration, gamma by the hour; -inf where an action is not available."""
        q = np.zeros((STATES, ACTIONS))
        for _ in range(3000):
            best = np.where(self.available, q, -np.inf).max(1)
            q = REWARD + (discount**self.elapsed if discount else 0.0) * best[NEXT]
        return np.where(self.available, q, -np.inf)

    def _observe(self) -> dict[str, Any]:
        offer = np.where(self.available[self._state], np.arange(ACTIONS), -1)
        return {"candidates": offer, "context": np.eye(STATES, dtype=np.float32)[self._state]}
