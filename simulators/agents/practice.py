"""Users to practise on: met before those who judge, drawn from the same world by a seed apart from theirs."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from meta.types import BoolArray, FloatArray, IntArray
from simulators.agents.port import Agent, JudgedWorld

APART = 7_368_787
"""Added to an agent's seed: practice users are not the ones it is judged by."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What B practice users were shown in G steps, and did.

    Args:
        slate: int [B, G, K], catalogue rows shown.
        earned: float [B, G, K], the reward of the chosen item, 0 for the others.
        active: bool [B, G], whom a step found still there.
    """

    slate: IntArray
    earned: FloatArray
    active: BoolArray

    @property
    def mean(self) -> float:
        """Reward a step."""
        return float(self.earned.sum(2).mean())


def practise(world: JudgedWorld, agent: Agent, seed: int) -> Answers:
    """Let as many other users as `world` has meet an agent for one episode; `world` itself is not touched."""
    world = copy.deepcopy(world)
    agent.begin(world, seed + 2 * APART)
    observation, _ = world.reset(seed=seed + APART)
    slates, earned, active = [], [], []
    for _ in range(world.steps):
        rows = observation["candidates"]
        positions = agent.act(rows)
        observation, reward, _, _, info = world.step(positions)
        slates.append(np.take_along_axis(rows, positions, 1))
        agent.see(slates[-1], info["choice"], reward)
        earned.append(by_position(info["choice"], reward, world.slate_size))
        active.append(np.broadcast_to(info.get("active", True), len(rows)))
    return Answers(np.stack(slates, 1), np.stack(earned, 1), np.stack(active, 1))


def by_position(choice: IntArray, reward: FloatArray, size: int) -> FloatArray:
    """Rewards [B, K] of the items of a slate: that of the chosen one [B] (-1 none), 0 of the others."""
    earned: FloatArray = np.where(np.arange(size) == choice[:, None], reward[:, None], 0.0)
    return earned
