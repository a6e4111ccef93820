"""What all worlds of users share: a step offers items of a catalogue, takes a slate and tells the choice."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from meta.catalogue import Catalogue
from meta.errors import InputError
from meta.types import BoolArray, FloatArray, IntArray
from simulators.choice import choose
from simulators.offers import Offers
from simulators.ranges import counts

Observation = dict[str, Any]
Step = tuple[Observation, FloatArray, BoolArray, BoolArray, dict[str, Any]]


class Slates(VectorEnv[Observation, IntArray, Any]):
    """A batch of users who are shown slates until the last step or until they are bored, all stepped at once.

    A world says in `_meet` who comes, in `_answer` what they choose and what that is worth, and to oracles in `appeal`
    and `worth` what they hide. The observation is {"candidates": int32 [B, C]}, rows of `catalogue()`, whose features
    say what can be seen of them. Actions are positions among the candidates, int [B, K], first shown first; an item
    shown twice counts once. `info["choice"]` is int [B], the chosen slate position, -1 for none.

    Whoever leaves is terminated from that step on, while the others go on: `info["active"]` is bool [B], whom the step
    found still there. The others choose nothing, earn 0, and their slates do not matter.

    Args:
        users: B.
        steps: G, length of an episode.
        candidates: C, items on offer at each step, drawn afresh, uniformly without replacement.
        slate_size: K, items shown at each step.
        catalogue: all items.
        rng: of what belongs to the world and not to its users.
        patience: steps in a row without a choice after which a user leaves for good; None: nobody leaves.
        offered: distinct rows of the catalogue that may be on offer; None: all.

    Raises:
        InputError: an argument is out of its range.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}  # type: ignore[misc]  # gymnasium declares it an instance attribute
    name: str
    context = 0
    no_choice = 0.0
    """Logit of choosing nothing."""
    active: BoolArray
    """Who [B] has not left."""

    def __init__(
        self,
        users: int,
        steps: int,
        candidates: int,
        slate_size: int,
        catalogue: Catalogue,
        rng: np.random.Generator,
        patience: int | None = None,
        offered: IntArray | None = None,
    ) -> None:
        counts(users=users, steps=steps, **({} if patience is None else {"patience": patience}))
        items = len(catalogue) if offered is None else len(offered)
        if not 1 <= slate_size <= candidates <= items:
            raise InputError(f"1 <= slate_size <= candidates <= num_items, got {slate_size}, {candidates}, {items}")
        self.num_envs, self.steps, self.candidates, self.slate_size = users, steps, candidates, slate_size
        self.single_action_space = spaces.MultiDiscrete([candidates] * slate_size)
        self.action_space = spaces.MultiDiscrete(np.full((users, slate_size), candidates))
        self.single_observation_space = spaces.Dict({"candidates": _rows((candidates,), len(catalogue))})
        self.observation_space = spaces.Dict({"candidates": _rows((users, candidates), len(catalogue))})
        self._catalogue, self._offers = catalogue, Offers(items, candidates, rng)
        self._offered = None if offered is None else offered.astype(np.int32)
        self._offer: IntArray = np.zeros((users, candidates), np.int32)
        self._step = steps
        self._patience = patience

    def catalogue(self) -> Catalogue:
        """All items, as a policy and the service know them."""
        return self._catalogue

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw new users and their first candidates; without a seed the generator goes on where it stands."""
        super().reset(seed=seed)
        self._step = 0
        self.active = np.ones(self.num_envs, bool)
        self._waited: IntArray = np.zeros(self.num_envs, np.int32)
        self._meet(self.np_random)
        return self._observe(), {}

    def step(self, actions: IntArray) -> Step:
        """Show the slates at these candidate positions int [B, K]; the users choose or do not."""
        actions = np.asarray(actions)
        if self._step >= self.steps:
            raise RuntimeError("the episode has ended (or never begun): call reset before step")
        if actions.shape != (self.num_envs, self.slate_size):
            raise ValueError(f"actions must have shape {(self.num_envs, self.slate_size)}, got {actions.shape}")
        if actions.min() < 0 or actions.max() >= self.candidates:
            raise ValueError(f"actions must be in 0..{self.candidates - 1}, got {actions.min()}..{actions.max()}")
        choice, reward = self._answer(np.take_along_axis(self._offer, actions, 1), self.np_random)
        self._step += 1
        found, self.active = self.active, self.active & ~self._leaves(choice)
        ended = ~self.active | (self._step >= self.steps)
        return self._observe(), reward, ended, np.zeros_like(ended), {"choice": choice, "active": found}

    @abstractmethod
    def appeal(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: the logit [B, n] that each user gives now to the items in `rows` [B, n]."""

    def worth(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: the expected reward [B, n] of each of these items, were it chosen."""
        return np.ones(rows.shape)

    @abstractmethod
    def _meet(self, rng: np.random.Generator) -> None:
        """Draw new users."""

    @abstractmethod
    def _answer(self, slate: IntArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
        """Let the users choose from slates [B, K] (rows): chosen position [B], -1 for none, and reward [B].

        Whoever is not `active` chooses nothing and earns 0.
        """

    def _choose(self, chances: FloatArray, rng: np.random.Generator) -> IntArray:
        """Positions [B] that those who are still there pick by these chances [B, K], -1 for none."""
        return np.where(self.active, choose(chances, rng), -1)

    def _leaves(self, choice: IntArray) -> BoolArray:
        """Who [B] leaves after these choices [B]: by default whoever found nothing for `patience` steps in a row."""
        if self._patience is None:
            return np.zeros(self.num_envs, bool)
        self._waited = np.where(choice < 0, self._waited + 1, 0)
        return self._waited >= self._patience

    def _observe(self) -> Observation:
        drawn = self._offers.draw(self.num_envs, self.np_random)
        self._offer = drawn if self._offered is None else self._offered[drawn]
        return {"candidates": self._offer}


class OneUser(gymnasium.Env[Observation, IntArray]):
    """One user of a world; sees the features of the candidates beside their rows.

    Args:
        batch: the world's constructor; takes the number of users.
        arguments: of the world.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]  # gymnasium declares it an instance attribute

    def __init__(self, batch: Callable[..., Slates], **arguments: Any) -> None:
        self._batch = batch(1, **arguments)
        self._features = self._batch.catalogue().features
        rows = self._batch.single_observation_space
        low, high = (
            np.tile(bound, (self._batch.candidates, 1)) for bound in (self._features.min(0), self._features.max(0))
        )
        self.action_space = self._batch.single_action_space
        self.observation_space = spaces.Dict({**rows, "features": spaces.Box(low, high)})  # type: ignore[dict-item]  # a Dict space is a mapping

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a new user."""
        super().reset(seed=seed)
        observation, info = self._batch.reset(seed=seed, options=options)
        return self._seen(observation), info

    def step(self, action: IntArray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show the slate at these candidate positions int [K]."""
        observation, reward, terminated, truncated, info = self._batch.step(np.asarray(action)[None])
        told = {"choice": int(info["choice"][0]), "active": bool(info["active"][0])}
        return self._seen(observation), float(reward[0]), bool(terminated[0]), bool(truncated[0]), told

    def _seen(self, observation: Observation) -> Observation:
        rows = observation["candidates"][0]
        return {"candidates": rows, "features": self._features[rows]}


def _rows(shape: tuple[int, ...], items: int) -> spaces.Box:
    return spaces.Box(0, items - 1, shape, np.int32)
