"""Whom the policy is compared with: one agent a file, all behind the port in `port.py`."""

from __future__ import annotations

import numpy as np

from simulators.agents.bayes_greedy import BayesGreedy
from simulators.agents.best_constant import BestConstant
from simulators.agents.beta_thompson import BetaThompson, topical
from simulators.agents.lin_thompson import LinThompson
from simulators.agents.lin_ucb import LinUCB
from simulators.agents.oracle import Oracle
from simulators.agents.planning_oracle import PlanningOracle
from simulators.agents.port import Agent, JudgedWorld
from simulators.agents.posterior_thompson import PosteriorThompson
from simulators.agents.quality import Quality, rated
from simulators.agents.random import Random
from simulators.foreign import ForeignWorld
from simulators.law import KnownLaw


def beside(world: JudgedWorld) -> list[Agent]:
    """Everyone who can be met in `world` beside a policy, in the order of tables: who knows nothing first."""
    slow = isinstance(world, ForeignWorld)
    agents: list[Agent] = [Random(), BestConstant(tried=0 if slow else 2)]
    if rated(world.catalogue()):
        agents.append(Quality())
    if topical(world.catalogue()):
        agents.append(BetaThompson())
    agents += [LinThompson(), LinUCB()]
    if not isinstance(world, KnownLaw):
        return [*agents, Oracle()]
    agents += [PosteriorThompson(), BayesGreedy()]
    if not world.aftermath(np.arange(len(world.catalogue()))[None], world.steps).any():
        return [*agents, Oracle()]
    return [*agents, BayesGreedy(planning=True), Oracle(), PlanningOracle()]
