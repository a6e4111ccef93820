"""What is asked of a log, and its answer: one way for the command line and for the service."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meta.errors import InputError
from meta.policy import Policy
from replay import judging
from replay.decisions import Log
from replay.estimators import DECISIONS, SLATES
from replay.judging import Contender

ESTIMATORS = tuple(DECISIONS | SLATES)
"""By which a verdict can be given."""
DEFAULT = "snips"
Parts = tuple[int, Iterator[Log]]
"""How many decisions a log has, about, and its parts."""
Tell = Callable[[str, int, int], None]
"""Hears of a phase, and how much of how much is done: in `REPLAYING` decisions, each once for each policy."""
REPLAYING, JUDGING = "replaying", "judging"


@dataclass(frozen=True, slots=True)
class Question:
    """Whether the first policy would have done better than what the log shows.

    Args:
        policies: folders by name; the first is the one that is asked about.
        estimator: by which verdicts are given.
        temperature: of the policies' draws, units of scores; None: each policy's own.
        reward_window_s: seconds after a decision in which rewards count; None: as the log says.
        default_reward: of a position that no event names; None: as the log says.
        history: newest events of a user that the service keeps.
        frozen: whether the first policy is also asked about without anybody's history.
        not_worse: whether it passes wherever it is not WORSE, instead of only where it is BETTER.
        seed: of the bootstrap.
    """

    policies: Mapping[str, str]
    estimator: str = DEFAULT
    temperature: float | None = None
    reward_window_s: float | None = None
    default_reward: float | None = None
    history: int = 64
    frozen: bool = True
    not_worse: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses an estimator that nobody knows."""
        if self.estimator not in ESTIMATORS:
            raise InputError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {self.estimator!r}")

    def contenders(self) -> list[Contender]:
        """Those who are judged, loaded. Raises PolicyError."""
        found = [
            Contender(name, Policy.load(Path(folder)), temperature=self.temperature)
            for name, folder in self.policies.items()
        ]
        if self.frozen:
            first = found[0]
            found.append(Contender(f"{first.name}, nobody's history", first.policy, False, self.temperature))
        return found

    def answer(self, contenders: list[Contender], source: str, parts: Parts, tell: Tell) -> dict[str, Any]:
        """Replays and judges; the result as plain values.

        Args:
            contenders: of this question.
            source: how the log is called in the result.
            parts: of the log.
            tell: hears how far it is.

        Raises:
            InputError: the log holds nothing that can be used, or breaks a rule.
        """
        about, logs = parts
        total, done = about * len(contenders), 0

        def advance(n: int) -> None:
            nonlocal done
            done += n
            tell(REPLAYING, done, max(total, done))

        advance(0)
        places, found = judging.replayed(logs, contenders, cap=self.history, tell=advance)
        if not places:
            raise InputError(
                f"{source} holds no decision that can be used; {found['bad_rows']} rows are bad: {found['bad']}"
            )
        tell(JUDGING, 0, 0)
        told = judging.judge(places, contenders, estimator=self.estimator, rng=np.random.default_rng(self.seed))
        verdict = told[0]["verdicts"]["the log"]
        passed = verdict["outcome"] == "BETTER" or (self.not_worse and verdict["outcome"] != "WORSE")
        return {
            "log": found | {"path": source}, "estimator": self.estimator, "seed": self.seed, "policies": told,
            "passed": passed,
        }  # fmt: skip
