"""The best ranking found that is the same for everyone: what a policy that knows nobody can reach."""

from __future__ import annotations

import numpy as np

from meta.arrays import top
from meta.types import FloatArray, IntArray
from simulators.agents.linear import described, fit
from simulators.agents.port import JudgedWorld
from simulators.agents.practice import Answers, practise
from simulators.agents.random import Random


class Constant:
    """Ranks all items for all users by one score.

    Args:
        score: float [N].
        name: in tables.
    """

    def __init__(self, score: FloatArray, name: str = "constant") -> None:
        self._score, self.name = score, name

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Note the slate size."""
        self._size = world.slate_size

    def act(self, rows: IntArray) -> IntArray:
        """Show the best score on offer."""
        slate: IntArray = top(np.where(rows < 0, -np.inf, self._score[rows]), self._size)
        return slate

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Learn nothing."""


class BestConstant(Constant):
    """Ranks by what items earned of practice users, or by one column where that earns more of other practice users.

    Args:
        tried: columns tried, those that move rewards most; each costs an episode of practice.
    """

    name = "best constant"

    def __init__(self, tried: int = 2) -> None:
        self._tried = tried

    def begin(self, world: JudgedWorld, seed: int) -> None:
        """Practise with random slates, and then with every score that may be the best."""
        super().begin(world, seed)
        features = described(world.catalogue())
        answers = practise(world, Random(), seed)
        weight = fit(features, answers).mean
        scores = [item_scores(features @ weight, answers)]
        moving = top(np.abs(weight * features.std(0)), len(weight))[: self._tried]
        scores += [np.sign(weight[column]) * features[:, column] for column in moving]
        found = [practise(world, Constant(score), seed + 1).mean for score in scores] if self._tried else [0.0]
        self._score = scores[int(np.argmax(found))]


def item_scores(expected: FloatArray, answers: Answers) -> FloatArray:
    """What each item earns when shown, float [N]: `expected` [N] from its features, corrected by what it did earn.

    The correction is shrunk by empirical Bayes: its spread over items is estimated by the method of moments, so
    where features say everything, chance says nothing.
    """
    shown = np.repeat(answers.active[..., None], answers.slate.shape[2], 2)
    item = answers.slate[shown]
    surprise = answers.earned[shown] - expected[item]
    count = np.bincount(item, minlength=len(expected)).astype(np.float64)
    total = np.bincount(item, surprise, len(expected))
    noise = surprise.var()
    spread = max(float((total**2 - count * noise).sum() / (count**2).sum()), 0.0)
    corrected: FloatArray = expected + total * spread / (count * spread + noise)
    return corrected
