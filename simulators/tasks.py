"""A family of tasks: the same game under hidden laws that differ from task to task and stay for several episodes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from meta.errors import InputError
from meta.types import BoolArray, FloatArray, IntArray

Step = tuple[FloatArray, FloatArray, BoolArray, BoolArray, dict[str, Any]]


class Tasks(VectorEnv[FloatArray, IntArray, Any]):
    """A batch of tasks, all stepped at once.

    `reset` draws new tasks and starts the first episode of each; `reset_episode` starts the next episode of the same
    tasks. Nothing restarts by itself: a task whose episode has ended waits, its observation and its flags unchanged,
    its reward 0, until all are told to go on. `info["active"]` says, for every step, which tasks it moved.

    A family says in `_draw` how laws are drawn, in `_begin` where episodes begin, and in `_move` what an action does.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}  # type: ignore[misc]  # gymnasium declares it an instance attribute
    name: str
    scale: FloatArray
    """float32 [X], the size that counts as large in each coordinate of an observation: what networks divide by."""
    worth: float
    """Likewise for rewards, so that a good return, discounted, is about 1."""

    def __init__(self, tasks: int, steps: int, actions: int, observations: spaces.Box) -> None:
        for argument, value in (("tasks", tasks), ("steps", steps)):
            if value < 1:
                raise InputError(f"{argument} must be at least 1, got {value}")
        self.num_envs, self.steps, self.actions = tasks, steps, actions
        self.single_action_space = spaces.Discrete(actions)
        self.action_space = spaces.MultiDiscrete(np.full(tasks, actions))
        self.single_observation_space = observations
        low, high = (np.tile(bound, (tasks, 1)) for bound in (observations.low, observations.high))
        self.observation_space = spaces.Box(low, high, dtype=np.float32)
        self._observation: FloatArray = np.zeros((tasks, *observations.shape), np.float32)
        self._terminated = np.ones(tasks, bool)
        self._truncated = np.zeros(tasks, bool)
        self._step = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Draw new tasks; without a seed the generator goes on where it stands."""
        super().reset(seed=seed)
        self._draw(self.np_random)
        return self.reset_episode()

    def reset_episode(self) -> tuple[FloatArray, dict[str, Any]]:
        """Start the next episode of every task, whether or not the last one had ended."""
        self._terminated, self._truncated = np.zeros((2, self.num_envs), bool)
        self._step = 0
        self._observation = self._begin(self.np_random)
        return self._observation, {}

    def step(self, actions: IntArray) -> Step:
        """Take these actions int [B]: observation [B, X], reward [B], terminated [B], truncated [B], info."""
        actions = np.asarray(actions)
        active = ~(self._terminated | self._truncated)
        if not active.any():
            raise RuntimeError("every episode has ended (or none begun): call reset or reset_episode before step")
        if actions.shape != (self.num_envs,):
            raise ValueError(f"actions must have shape {(self.num_envs,)}, got {actions.shape}")
        if actions.min() < 0 or actions.max() >= self.actions:
            raise ValueError(f"actions must be in 0..{self.actions - 1}, got {actions.min()}..{actions.max()}")
        self._step += 1
        observation, reward, ended = self._move(actions, active)
        self._observation = np.where(active[:, None], observation, self._observation)
        self._terminated = self._terminated | (active & ended)
        self._truncated = self._truncated | (active & ~ended & (self._step >= self.steps))
        reward = np.where(active, reward, 0.0)
        return self._observation, reward, self._terminated.copy(), self._truncated.copy(), {"active": active}

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> None:
        """Draw the hidden laws of all tasks."""

    @abstractmethod
    def _begin(self, rng: np.random.Generator) -> FloatArray:
        """Put all tasks where an episode begins and return the observations float32 [B, X]."""

    @abstractmethod
    def _move(self, actions: IntArray, active: BoolArray) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Let the actions act where `active`: observations [B, X], rewards [B], and whether each episode ends [B]."""


class TaskEnv(gymnasium.Env[FloatArray, np.int64]):
    """One task of a family; `reset(options={"same_task": True})` starts the next episode of the same task."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]  # gymnasium declares it an instance attribute

    def __init__(self, batch: Tasks) -> None:
        if batch.num_envs != 1:
            raise ValueError(f"batch must hold one task, got {batch.num_envs}")
        self._batch = batch
        self.action_space = batch.single_action_space
        self.observation_space = batch.single_observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Draw a new task, or start the next episode of this one."""
        super().reset(seed=seed)
        again = bool((options or {}).get("same_task", False))
        observation, info = self._batch.reset_episode() if again else self._batch.reset(seed=seed)
        return observation[0], info

    def step(self, action: np.int64) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Take this action."""
        observation, reward, terminated, truncated, _ = self._batch.step(np.asarray(action)[None])
        return observation[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}
