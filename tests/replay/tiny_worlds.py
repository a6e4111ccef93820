"""Worlds so small that every log they can produce is written down with its probability: expectations are exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from replay.contributions import Contributions
from replay.logged import Candidates, Logged, Predicted, Runs

LOGGING = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
"""Probability of three items in two contexts, which come alike often."""
TARGET = np.array([[0.1, 0.1, 0.8], [0.5, 0.4, 0.1]])
CHANCE = np.array([[0.2, 0.5, 0.9], [0.7, 0.1, 0.4]])
"""Of a reward of 1."""
WRONG = np.array([[0.5, 0.1, 0.3], [0.0, 0.2, 0.9]])
"""A bad reward model."""
KIND = np.array([[0, 0, 1], [0, 0, 1]])
BY_KIND = np.array([[0.3, 0.3, 0.8], [0.6, 0.6, 0.1]])
"""Chances that differ between kinds only."""


def value(chance: np.ndarray = CHANCE, policy: np.ndarray = TARGET) -> float:
    """What a policy earns a decision."""
    return float((policy * chance).sum(1).mean())


def log_of(x: np.ndarray, action: np.ndarray, reward: np.ndarray, user: np.ndarray | None = None) -> Logged:
    """A log of the tiny world, of as many users as decisions unless told otherwise."""
    candidates = Candidates(action, TARGET[x], LOGGING[x], KIND[x])
    user = np.arange(len(x)) if user is None else user
    return Logged(
        user, reward.astype(float), LOGGING[x, action], TARGET[x, action], candidates, candidates.predicted(WRONG[x])
    )


def expectation(estimator: Callable[[Logged], Contributions], chance: np.ndarray = CHANCE, decisions: int = 2) -> float:
    """The mean of an estimator over all logs of so many decisions."""
    total = 0.0
    for outcomes in product(product((0, 1), (0, 1, 2), (0, 1)), repeat=decisions):
        x, action, reward = np.array(outcomes).T
        likely = 0.5 * LOGGING[x, action] * np.where(reward, chance[x, action], 1 - chance[x, action])
        total += likely.prod() * estimator(log_of(x, action, reward)).value
    return total


def drawn(rng: np.random.Generator, decisions: int, users: int = 20) -> Logged:
    """A random log of the tiny world."""
    x = rng.integers(0, 2, decisions)
    action = (rng.random(decisions)[:, None] > LOGGING[x].cumsum(1)[:, :2]).sum(1)
    return log_of(x, action, rng.random(decisions) < CHANCE[x, action], rng.integers(0, users, decisions))


FIRST = {"logging": np.array([0.7, 0.3]), "target": np.array([0.2, 0.8])}
"""Probability of two items at the first position."""
SECOND = {"logging": np.array([[0.4, 0.6], [0.9, 0.1]]), "target": np.array([[0.5, 0.5], [0.3, 0.7]])}
"""At the second, given the first; items may repeat."""
ALIKE = {name: np.stack([row.mean(0)] * 2) for name, row in SECOND.items()}
"""At the second, whatever the first."""
Chances = Callable[[int, int], tuple[float, float]]
"""Chances of a reward at both positions, given both items."""


def cascade(first: int, second: int) -> tuple[float, float]:
    """The second reward depends on the first item, the first not on the second."""
    return (0.3 + 0.4 * first), (0.1 + 0.5 * second * first + 0.2 * (1 - first))


def alone(first: int, second: int) -> tuple[float, float]:
    """Each reward depends on its own item and position."""
    return (0.3 + 0.4 * first), (0.6 - 0.5 * second)


EXAMINED = np.array([1.0, 0.5])


def examined(first: int, second: int) -> tuple[float, float]:
    """Position-based: the second position is looked at half as often."""
    attraction = (0.8, 0.3)
    return EXAMINED[0] * attraction[first], EXAMINED[1] * attraction[second]


def slates(second: dict[str, np.ndarray], chances: Chances) -> Iterator[tuple[float, Runs]]:
    """Every slate with its rewards that can be logged: how likely it is, and the log of it alone."""
    at_second = {name: FIRST[name] @ second[name] for name in second}
    model = np.array([[0.9, 0.2], [0.3, 0.6]])
    for a, b, r, s in product((0, 1), repeat=4):
        p, q = chances(a, b)
        likely = FIRST["logging"][a] * second["logging"][a, b] * (p if r else 1 - p) * (q if s else 1 - q)
        chosen = np.array([[model[0, a], model[1, b]]])
        expected = np.array([[model[0] @ FIRST["target"], model[1] @ second["target"][a]]])
        logging, target = (np.array([[FIRST[name][a], second[name][a, b]]]) for name in ("logging", "target"))
        places = (
            np.array([[[FIRST[name][item], at_second[name][item]] for item in (a, b)]])
            for name in ("logging", "target")
        )
        yield (
            likely,
            Runs(
                np.zeros(1, int),
                np.array([[r, s]], float),
                logging,
                target,
                1.0,
                Predicted(chosen, expected),
                *places,
            ),
        )


def slate_value(second: dict[str, np.ndarray], chances: Chances) -> float:
    """What the judged policy earns a slate."""
    return float(
        sum(FIRST["target"][a] * second["target"][a, b] * sum(chances(a, b)) for a, b in product((0, 1), repeat=2))
    )
