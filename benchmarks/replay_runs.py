"""Slates and sequences whose truth is known: how often the intervals of their estimators hold it.

Users have a mood that moves all their rewards. In `cascade` slates a reward depends on its item and the one above, in
`additive` ones on its item and place alone, in `position-based` ones on examination x attraction. Sequences walk
through three states, each step moved by what was chosen; both numbers of users and horizon are drawn by log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any, Literal

import numpy as np

from benchmarks.replay_worlds import PRECISE, count
from benchmarks.report import Claim
from meta.types import FloatArray, IntArray
from replay.contributions import Contributions
from replay.estimators.cascade_dr import cascade_dr
from replay.estimators.fqe import fitted, fqe
from replay.estimators.iips import iips
from replay.estimators.magic import magic
from replay.estimators.per_decision_is import per_decision_is
from replay.estimators.position_based import with_examinations
from replay.estimators.pseudo_inverse import pseudo_inverse
from replay.estimators.rips import rips
from replay.estimators.weighted_dr import weighted_dr
from replay.logged import Predicted, Runs

Behaviour = Literal["cascade", "additive", "position-based"]
TYPES, ITEMS, PLACES, STATES, ACTIONS = 4, 5, 3, 3, 3
MOOD, DISCOUNT, COVERS = 0.1, 0.95, 0.92
EXAMINED = np.array([1.0, 0.6, 0.4])
SLATES: dict[str, tuple[Behaviour, Callable[[Runs], Contributions]]] = {
    "rips": ("cascade", rips),
    "cascade_dr": ("cascade", cascade_dr),
    "iips": ("additive", iips),
    "pseudo_inverse": ("additive", pseudo_inverse),
    "position_based": ("position-based", with_examinations(EXAMINED)),
}
SEQUENCES: dict[str, Callable[[Runs], Contributions]] = {
    "per_decision_is": per_decision_is,
    "weighted_dr": weighted_dr,
    "magic": magic,
    "fqe": fqe,
}
CLAIMED = (*SLATES, "per_decision_is", "weighted_dr")
"""`magic` blends in a model that may be biased, `fqe` is one: their intervals are shown, not promised."""


def slates(seed: int, behaviour: Behaviour) -> tuple[Runs, float]:
    """A log of slates and what the judged policy earns a slate."""
    rng = np.random.default_rng(seed)
    logging, target = _policy(rng, 0.5, TYPES, PLACES, ITEMS), _policy(rng, 0.9, TYPES, PLACES, ITEMS)
    chance = _chances(rng, behaviour)
    user, type_, mood = _users(rng, 8)
    n, places = len(user), np.arange(PLACES)
    item = (rng.random((n, PLACES, 1)) > logging[type_].cumsum(-1)[..., :-1]).sum(-1)
    above = np.concatenate([item[:, :1], item[:, :-1]], 1)
    likely = chance[type_[:, None], places, item, above] + mood[:, None] * _felt(behaviour)
    shown = (type_[:, None], places, item)
    rest: FloatArray = np.broadcast_to(0.5 * (PLACES - places), (n, PLACES))  # the model: half a reward a place
    at_places = [np.swapaxes(policy[type_], 1, 2)[np.arange(n)[:, None], item] for policy in (logging, target)]
    runs = Runs(
        user,
        (rng.random((n, PLACES)) < likely).astype(float),
        logging[shown],
        target[shown],
        1.0,
        Predicted(rest, rest),
        *at_places,
    )
    return runs, _slate_value(target, chance)


def _felt(behaviour: Behaviour) -> FloatArray:
    """How much of a mood is felt at each position; one that nobody looks at cannot earn by it."""
    return EXAMINED if behaviour == "position-based" else np.ones(PLACES)


def _chances(rng: np.random.Generator, behaviour: Behaviour) -> FloatArray:
    """Chance of a reward by type, position, item and the item above: [TYPES, PLACES, ITEMS, ITEMS]."""
    shape = (TYPES, PLACES, ITEMS, ITEMS)
    if behaviour == "position-based":
        attraction = 0.25 + 0.5 * rng.random((TYPES, 1, ITEMS, 1))
        return np.broadcast_to(EXAMINED[:, None, None] * attraction, shape)
    chance = 0.2 + 0.6 * rng.random(shape)
    first = np.broadcast_to(chance[..., :1], shape)
    return first if behaviour == "additive" else np.concatenate([first[:, :1], chance[:, 1:]], 1)


def _slate_value(target: FloatArray, chance: FloatArray) -> float:
    total = 0.0
    for items in product(range(ITEMS), repeat=PLACES):
        likely = np.prod([target[:, k, item] for k, item in enumerate(items)], 0)
        for k, item in enumerate(items):
            total += float((likely * chance[:, k, item, items[max(k - 1, 0)]]).mean())
    return total


def sequences(seed: int) -> tuple[Runs, float]:
    """A log of runs, modelled by fitted Q evaluation in a table, and the judged policy's discounted return."""
    rng = np.random.default_rng(seed)
    horizon = int(rng.integers(2, 7))
    logging, target = _policy(rng, 0.4, STATES, ACTIONS), _policy(rng, 0.6, STATES, ACTIONS)
    move, pay = _policy(rng, 1.0, STATES, ACTIONS, STATES), rng.random((STATES, ACTIONS))
    user, _, mood = _users(rng, 4)
    n = len(user)
    state, action = np.zeros((n, horizon), int), np.zeros((n, horizon), int)
    for t in range(horizon):
        action[:, t] = (rng.random((n, 1)) > logging[state[:, t]].cumsum(1)[:, :-1]).sum(1)
        if t + 1 < horizon:
            odds = move[state[:, t], action[:, t]].cumsum(1)[:, :-1]
            state[:, t + 1] = (rng.random((n, 1)) > odds).sum(1)
    reward = pay[state, action] + mood[:, None] + 0.3 * rng.standard_normal(state.shape)
    runs = Runs(user, reward, logging[state, action], target[state, action], DISCOUNT)
    names = np.eye(horizon * STATES * ACTIONS).reshape(horizon, STATES, ACTIONS, -1)
    steps = np.arange(horizon)
    expected = np.einsum("nta,ntaf->ntf", target[state], names[steps, state])
    modelled = fitted(runs, names[steps, state, action], expected, np.ones(state.shape, bool))
    value = np.zeros(STATES)
    for _ in range(horizon):
        value = (target * (pay + DISCOUNT * move @ value)).sum(1)
    return modelled, float(value[0])


def _users(rng: np.random.Generator, most: int) -> tuple[IntArray, IntArray, FloatArray]:
    """By run: whose it is, the user's type and mood."""
    users = int(rng.integers(150, 500))
    user = np.repeat(np.arange(users), rng.integers(1, most + 1, users))
    return user, rng.integers(0, TYPES, users)[user], rng.uniform(-MOOD, MOOD, users)[user]


def _policy(rng: np.random.Generator, spread: float, *shape: int) -> FloatArray:
    odds = np.exp(spread * rng.standard_normal(shape))
    return np.asarray(odds / odds.sum(-1, keepdims=True))


def coverage(seed: int, logs: int) -> tuple[list[dict[str, Any]], list[Claim]]:
    """How often intervals hold the truth, clustered by user and, in every fifth log, as if there were no users."""
    clustered: dict[str, list[bool]] = {name: [] for name in (*SLATES, *SEQUENCES)}
    alone: dict[str, list[bool]] = {name: [] for name in clustered}
    for each in range(seed, seed + logs):
        asked = [(slates(each, behaviour), {name: run}) for name, (behaviour, run) in SLATES.items()]
        asked += [(sequences(each), SEQUENCES)]
        for (runs, truth), which in asked:
            found = {name: run(runs) for name, run in which.items()}
            count(clustered, truth, found, each)
            if each % PRECISE == seed % PRECISE:
                alike = np.arange(len(runs.user))
                found = {name: replace(one, user=alike) for name, one in found.items()}
                count(alone, truth, found, each, rounds=200)
    shares = {name: float(np.mean(held)) for name, held in clustered.items()}
    rows = [
        {"estimator": name, "clustered by user": share, "i.i.d.": float(np.mean(alone[name]))}
        for name, share in shares.items()
    ]
    return rows, [
        Claim(f"{name}: share of {logs} clustered 95% intervals that hold the truth", shares[name], ">=", COVERS)
        for name in CLAIMED
    ]
