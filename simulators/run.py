"""Lets agents meet simulated users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from meta.types import FloatArray, IntArray
from simulators.agents.port import Agent, JudgedWorld
from simulators.earnings import Earnings


@runtime_checkable
class Changing(Protocol):
    """A world that has met users who change their taste."""

    change_step: IntArray
    """The first step [B] with a user's new taste, past the end where it stays."""


def run(world: JudgedWorld, agent: Agent, seed: int) -> FloatArray:
    """Let all users of `world` meet `agent` for one episode.

    Args:
        world: the users; the same seed gives the same users and offers, whoever acts.
        agent: who shows slates.
        seed: of the world and, apart from it, of the agent.

    Returns:
        float [B, steps], rewards.
    """
    agent.begin(world, seed + 1_000_003)
    observation, _ = world.reset(seed=seed)
    rewards = []
    for _ in range(world.steps):
        rows = observation["candidates"]
        positions = agent.act(rows)
        observation, reward, _, _, info = world.step(positions)
        agent.see(np.take_along_axis(rows, positions, 1), info["choice"], reward)
        rewards.append(reward)
    return np.stack(rewards, 1)


def meet(world: JudgedWorld, agents: Sequence[Agent], seeds: Sequence[int]) -> Earnings:
    """Let the users of every seed meet every training of one recipe.

    Args:
        world: B users a seed.
        agents: R trainings, named as the first.
        seeds: of users and offers.

    Returns:
        What was earned of len(seeds) B users.
    """
    reward = [np.concatenate([run(world, agent, seed) for seed in seeds]) for agent in agents]
    return Earnings(agents[0].name, np.stack(reward), changes(world, seeds))


def changes(world: JudgedWorld, seeds: Sequence[int]) -> IntArray | None:
    """The first step with a new taste of the users of every seed, int [len(seeds) B]; None where no taste changes."""
    steps = []
    for seed in seeds:
        world.reset(seed=seed)
        if not isinstance(world, Changing):
            return None
        steps.append(np.asarray(world.change_step))
    return np.concatenate(steps)
