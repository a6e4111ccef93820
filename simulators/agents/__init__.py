"""Whom the policy is compared with: one agent a file, all behind the port in `port.py`."""

from __future__ import annotations

from simulators.agents.beta_thompson import BetaThompson, topical
from simulators.agents.oracle import Oracle
from simulators.agents.port import Agent, JudgedWorld
from simulators.agents.quality import Quality, rated
from simulators.agents.random import Random


def beside(world: JudgedWorld) -> list[Agent]:
    """Everyone who can be met in `world` beside a policy, in the order of tables: who knows nothing first."""
    agents: list[Agent] = [Random()]
    if rated(world.catalogue()):
        agents.append(Quality())
    if topical(world.catalogue()):
        agents.append(BetaThompson())
    return [*agents, Oracle()]
