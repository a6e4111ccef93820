"""Lets agents meet simulated users, and sums up what they earned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meta.policy import Policy
from meta.types import FloatArray
from simulators import agents
from simulators.agents.policy import PolicyAgent
from simulators.agents.port import Agent, JudgedWorld

STEPS = (0, 1, 2, 5, 10, 20, 40)
"""Steps that tables show: the first few, where a new user is hardest, then twice as far each time."""
LATE = 40
"""From this step on a user counts as known."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over users with its 95% interval (normal approximation, users independent).

    Args:
        value: the mean, reward a step.
        low, high: the interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """What one agent earned.

    Args:
        agent: its name.
        users: how many users it met.
        overall: reward a step over the whole episode.
        late: reward a step from step `LATE` on (over the last third where episodes are shorter).
        steps: the steps of `by_step`, counted from 0.
        by_step: reward at each of these steps.
    """

    agent: str
    users: int
    overall: Mean
    late: Mean
    steps: tuple[int, ...]
    by_step: tuple[Mean, ...]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for a JSON file."""
        return asdict(self)


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


def compare(world: JudgedWorld, policy: Path, seed: int) -> dict[str, FloatArray]:
    """Let the same users meet the policy of a folder and everyone it is judged by: rewards [B, steps] by agent."""
    loaded = Policy.load(policy)
    judged: list[Agent] = [PolicyAgent(loaded)]
    if loaded.spec.adapter != "frozen":
        judged.append(PolicyAgent(loaded, name="frozen", frozen=True))
    return {agent.name: run(world, agent, seed) for agent in [*judged, *agents.beside(world)]}


def summarise(agent: str, rewards: FloatArray, steps: Sequence[int] = STEPS) -> Row:
    """Sum up rewards [B, G] by step, leaving out steps past the end."""
    length = rewards.shape[1]
    kept = tuple(step for step in steps if step < length)
    late = LATE if length > LATE else 2 * length // 3
    return Row(
        agent,
        len(rewards),
        _mean(rewards.mean(1)),
        _mean(rewards[:, late:].mean(1)),
        kept,
        tuple(_mean(rewards[:, step]) for step in kept),
    )


def printable(row: Row) -> dict[str, str]:
    """Return the cells of a row by column (named by step): means, and below them half of their 95% intervals."""
    late = "late" if row.steps[-1] < LATE else f"{LATE} on"
    cells = {str(step): _cell(mean, 2) for step, mean in zip(row.steps, row.by_step, strict=True)}
    return {"agent": row.agent} | cells | {"all": _cell(row.overall, 3), late: _cell(row.late, 3)}


def _cell(mean: Mean, digits: int) -> str:
    """Mean above half its interval, without the zero in front of the point: narrow enough for ten columns."""
    half = f"{mean.high - mean.value:.{digits}f}".removeprefix("0")
    return f"{mean.value:.{digits}f}".removeprefix("0") + f"\n±{half}"


def _mean(values: FloatArray) -> Mean:
    """Mean of one value a user, with its interval; the value itself where there is one user."""
    mean = float(values.mean())
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Mean(mean, mean - half, mean + half)
