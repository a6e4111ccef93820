"""Playing control tasks: each is met for several episodes, every time with the copy that the earlier ones left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from meta import q_network
from meta.experience import Transitions
from meta.spec import Spec
from meta.trainer.recall import Credit, Steps, action_values, adapt, believe, recall
from meta.types import BoolArray, FloatArray, IntArray


class Family(Protocol):
    """A batch of tasks under hidden laws, each played for several episodes (see `simulators.tasks`)."""

    name: str
    num_envs: int
    """B, tasks."""
    steps: int
    """Longest episode."""
    actions: int
    """N, actions."""
    scale: FloatArray
    """float32 [X], what networks divide observations by."""
    worth: float
    """What networks divide rewards by."""
    np_random: np.random.Generator
    """All that tasks draw from; before a `reset` it is all of their state."""

    def reset(self, *, seed: int | None = None) -> tuple[FloatArray, dict[str, Any]]:
        """Draw new tasks and start the first episode of each: observation [B, X]."""

    def reset_episode(self) -> tuple[FloatArray, dict[str, Any]]:
        """Start the next episode of the same tasks."""

    def step(self, actions: IntArray, /) -> tuple[FloatArray, FloatArray, Any, Any, dict[str, Any]]:
        """Act: observation [B, X], reward [B], terminated [B], truncated [B]; a task that has ended waits.

        info["active"] is bool [B], the tasks that the step moved.
        """


def play(
    family: Family,
    params: Mapping[str, FloatArray],
    spec: Spec,
    credit: Credit,
    rng: np.random.Generator,
    *,
    episodes: int,
    epsilon: FloatArray,
    window: int,
) -> tuple[Transitions, FloatArray]:
    """Meet new tasks for some episodes each.

    Args:
        family: the tasks.
        params, spec: the policy.
        credit: how it recalls.
        rng: of exploration.
        episodes: K.
        epsilon: chance of a random action, [K or 1, B or 1].
        window: newest steps that can be recalled.

    Returns:
        transitions [B, K * steps], each task's steps end to end and `active` where there are any; returns [B, K].
    """
    table = q_network.items(params, spec, np.eye(family.actions, dtype=np.float32))
    lived = _blank(family, episodes * family.steps)
    count = np.zeros(family.num_envs, np.int64)
    returns = np.zeros((family.num_envs, episodes))
    epsilon = np.broadcast_to(epsilon, returns.T.shape)
    observation, _ = family.reset()
    for episode in range(episodes):
        if episode:
            observation, _ = family.reset_episode()
        events = recall(params, spec, newest(lived, count, window), credit)
        copy = adapt(params, spec, table, events)
        ended = np.zeros(family.num_envs, bool)
        seen = observation / family.scale
        while not ended.all():
            belief = believe(params, spec, table, events, copy, seen[:, None])
            action = action_values(params, belief, table)[:, 0].argmax(-1)
            explore = rng.random(family.num_envs) < epsilon[episode]
            action = np.where(explore, rng.integers(family.actions, size=family.num_envs), action)
            observation, reward, terminated, truncated, info = family.step(action)
            now = np.flatnonzero(info["active"])
            at, after = (now, count[now]), observation / family.scale
            lived.observation[at], lived.next_observation[at] = seen[now], after[now]
            lived.action[at], lived.reward[at] = action[now], reward[now] / family.worth
            lived.terminated[at], lived.truncated[at], lived.active[at] = terminated[now], truncated[now], True
            returns[:, episode] += reward
            count[now] += 1
            seen, ended = after, terminated | truncated
    return lived, returns


def newest(lived: Transitions, end: IntArray, window: int) -> Steps:
    """The newest `window` steps of each task before index `end` [B]."""
    index = end[:, None] + np.arange(-window, 0)
    return at(lived, np.maximum(index, 0), index >= 0)


def at(lived: Transitions, index: IntArray, valid: BoolArray) -> Steps:
    """The steps at some places, int [B, T], of each task."""
    rows = np.arange(len(index))[:, None]
    terminated = lived.terminated[rows, index]
    return Steps(
        lived.observation[rows, index],
        lived.action[rows, index],
        lived.reward[rows, index],
        lived.next_observation[rows, index],
        terminated,
        terminated | lived.truncated[rows, index],
        valid,
    )


def begins(lived: Transitions, episodes: int) -> IntArray:
    """Index of the first step of each episode and the one after the last, int [B, K + 1]."""
    ended = (lived.terminated | lived.truncated) & lived.active
    number: IntArray = np.cumsum(ended, 1) - ended  # of the episode that each step belongs to
    number = np.where(lived.active, number, episodes)
    before: IntArray = (number[:, None, :] < np.arange(episodes + 1)[:, None]).sum(-1)
    return before


def _blank(family: Family, steps: int) -> Transitions:
    shape, wide = (family.num_envs, steps), (family.num_envs, steps, len(family.scale))
    return Transitions(
        observation=np.zeros(wide, np.float32),
        action=np.zeros(shape, np.int32),
        reward=np.zeros(shape, np.float32),
        next_observation=np.zeros(wide, np.float32),
        next_available=np.ones((*shape, family.actions), bool),
        terminated=np.zeros(shape, bool),
        truncated=np.zeros(shape, bool),
        elapsed=np.ones(shape, np.float32),
        active=np.zeros(shape, bool),
    )
