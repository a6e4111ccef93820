"""A policy on trial: the same simulated users meet it, or the service that serves it, and everyone it is judged by."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from meta.errors import InputError
from meta.policy import Policy
from simulators import agents, verdict
from simulators.agents.oracle import Oracle
from simulators.agents.policy import PolicyAgent
from simulators.agents.port import Agent, JudgedWorld
from simulators.agents.served import ServedAgent, Service
from simulators.earnings import Earnings
from simulators.run import changes, meet
from simulators.summary import Row, printable, summarise
from simulators.verdict import Bars, Verdict


@dataclass(frozen=True, slots=True)
class Trial:
    """What everybody earned, and what follows.

    Args:
        earned: by agent, first who is judged; all met the same users.
        verdict: on the first.
    """

    earned: tuple[Earnings, ...]
    verdict: Verdict

    @property
    def rows(self) -> list[Row]:
        """The table, with regrets where the oracle was there."""
        oracle = {each.agent: each for each in self.earned}.get(Oracle.name)
        return [summarise(each, oracle) for each in self.earned]

    def printable(self) -> list[dict[str, str]]:
        """The table as cells."""
        return [printable(row) for row in self.rows]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        bars = [asdict(bar) for bar in self.verdict.bars]
        judged = {"agent": self.verdict.agent, "passed": self.verdict.passed, "says": str(self.verdict), "bars": bars}
        return {"verdict": judged, "rows": [row.as_json() for row in self.rows]}


def hold(
    world: JudgedWorld,
    policies: Sequence[Path],
    service: Service | None,
    seeds: Sequence[int],
    bars: Bars,
    tell: Callable[[str], None],
) -> Trial:
    """Let the users of every seed meet who is judged and everyone beside, one after the other.

    Args:
        world: its users; each seed brings as many.
        policies: folders of trainings of one recipe, at least one where no service is judged.
        service: is judged in the place of the policies, which stand beside it then.
        seeds: of users and offers.
        bars: what is asked.
        tell: hears what each agent earned.

    Raises:
        InputError: a policy or service is not of this world, or a recovery is asked where no taste changes.
    """
    if bars.recovery is not None and changes(world, seeds[:1]) is None:
        raise InputError(f"a bar for recovery needs users who change their taste, those of {world.name} do not")
    served: list[list[Agent]] = [] if service is None else [[ServedAgent(service)]]
    recipes = served + _in_process(policies) + [[each] for each in agents.beside(world)]
    earned = []
    for recipe in recipes:
        started = time.perf_counter()
        earned.append(meet(world, recipe, seeds))
        tell(
            f"{earned[-1].agent}: {earned[-1].overall.value:.4f} ±{earned[-1].overall.half:.4f} a step, "
            f"{earned[-1].reward.size / (time.perf_counter() - started):,.0f} user-steps a second"
        )
    return Trial(tuple(earned), verdict.judge(earned[0], {each.agent: each for each in earned[1:]}, bars))


def _in_process(policies: Sequence[Path]) -> list[list[Agent]]:
    """The trainings as agents, and the same without adaptation where that makes a difference."""
    loaded = [Policy.load(policy) for policy in policies]
    adapters = sorted({policy.spec.adapter for policy in loaded})
    if len(adapters) > 1:
        raise InputError(f"policies that are judged together must have one adapter, got {', '.join(adapters)}")
    recipes: list[list[Agent]] = [[PolicyAgent(policy) for policy in loaded]] if loaded else []
    if adapters not in ([], ["frozen"]):
        recipes.append([PolicyAgent(policy, name="frozen", frozen=True) for policy in loaded])
    return recipes
