"""What `bench simulators` has found, as rows, claims and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import simulator_claims as claims
from benchmarks.report import document
from benchmarks.simulator_questions import DEFAULT, Question
from simulators.earnings import Earnings
from simulators.summary import summarise

FROZEN = "frozen"
"""The default policy, whatever it is told of a user."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one job found: rewards of the users of a world.

    Args:
        world: whose users.
        earned: what one agent earned of them.
        seconds: of the processor, that the training took; None where nothing was trained.
        iterations: of the training.
        seed: of the training.
    """

    world: str
    earned: Earnings
    seconds: float | None = None
    iterations: int | None = None
    seed: int | None = None

    def __str__(self) -> str:
        took = "" if self.seconds is None else f" ({self.iterations} iterations, {self.seconds:.0f} s of CPU)"
        return f"{self.earned.agent} {self.earned.reward.mean():.4f}{took}"


@dataclass(slots=True)
class Findings:
    """Everything that is known so far.

    Args:
        questions: what was asked.
        parts: what the jobs found, as they ended.
        missing: what could not be measured, and why.
        served: by world, earnings through the service and of the same policy in process, and user-steps a second.
        speed: user-steps a second of `drifting_taste`, nothing but its steps.
    """

    questions: Sequence[Question]
    parts: list[Part] = field(default_factory=list)
    missing: list[dict[str, str]] = field(default_factory=list)
    served: dict[str, tuple[Earnings, Earnings, float]] = field(default_factory=dict)
    speed: float | None = None

    def earned(self, question: Question) -> dict[str, Earnings]:
        """What each agent earned in a world, trainings first."""
        found: dict[str, list[Earnings]] = {}
        for part in sorted(self.parts, key=lambda part: -1 if part.seed is None else part.seed):
            if part.world == question.world:
                found.setdefault(part.earned.agent, []).append(part.earned)
        first = [*(recipe.name for each in self.questions for recipe in each.recipes), FROZEN]
        names = sorted(found, key=lambda name: first.index(name) if name in first else len(first))
        return {
            name: Earnings(name, np.concatenate([each.reward for each in found[name]]), found[name][0].change)
            for name in names
        }


def told(found: Findings, share: float, seed: int) -> dict[str, Any]:
    """The findings as a document: a row an agent and world, claims, and what is missing."""
    earned = {question.world: found.earned(question) for question in found.questions}
    rows = []
    for question in found.questions:
        oracle = earned[question.world].get("oracle")
        for name, each in earned[question.world].items():
            trained = [part for part in found.parts if (part.world, part.earned.agent) == (question.world, name)]
            rows.append({"world": question.world} | summarise(each, oracle).as_json() | _training(trained))
    for world, (through, inside, rate) in found.served.items():
        for each, way in ((through, "through gRPC"), (inside, "in process")):
            row = {"world": world} | summarise(each).as_json() | {"agent": f"{DEFAULT} 0, {way}"}
            rows.append(row | ({"user_steps_a_second": rate} if each is through else {}))
    seconds = [part.seconds for part in found.parts if (part.world, part.earned.agent) == (claims.EXPLORED, DEFAULT)]
    return document(
        command="quickstudy bench simulators" + ("" if share == 1.0 else f" --share {share:g}"),
        rows=rows,
        claims=claims.of(earned, found.served, found.speed, max((x for x in seconds if x), default=None)),
        test_seed=seed,
        share=share,
        missing=found.missing,
        questions=[{**asdict(question), "log": Path(question.log).name} for question in found.questions],
    )


def _training(parts: Sequence[Part]) -> dict[str, Any]:
    """Seeds of the trainings behind a row, and what each took."""
    of = [part for part in parts if part.seed is not None]
    took = {"training_cpu_seconds": [part.seconds for part in of], "iterations": [part.iterations for part in of]}
    return {"seeds": [part.seed for part in of]} | (took if of and of[0].seconds is not None else {})


def printable(result: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    """The rows of a result as tables by world."""
    tables: dict[str, list[dict[str, str]]] = {}
    for row in result["rows"]:
        cells = {"agent": row["agent"], "seeds": str(len(row.get("seeds", ())) or "-"), "users": str(row["users"])}
        for name in ("overall", "regret", "before", "recovery"):
            cells[name] = _figure(row[name])
        tables.setdefault(row["world"], []).append(cells)
    return tables


def _figure(mean: Mapping[str, float] | None) -> str:
    return "-" if mean is None else f"{mean['value']:.3f} ±{(mean['high'] - mean['low']) / 2:.3f}"
