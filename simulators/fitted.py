"""The world `fitted`: users of a log, by the tastes that the log tells of."""

from __future__ import annotations

from typing import Any

import numpy as np

from meta.errors import InputError
from meta.types import FloatArray, IntArray
from simulators.choice import first_showings, probabilities
from simulators.law import draw
from simulators.population import Population
from simulators.ranges import finite, not_negative, shares
from simulators.slates import OneUser, Slates

PARTS = ("all", "met", "held_out")


class Fitted(Slates):
    """A batch of users of a log, who choose by the tastes that were learnt from it.

    ## Description
    A user is one of a `Population` that `factors.fit` learnt from a log: a taste x; an item has factors y and a bias b.
    The catalogue is the log's, so a policy that was trained on the log can be met; on offer are the items that enough
    users liked for their y and b to be known.
    Item i at position k of a slate (from 0) has the appeal a = x·y + b - `position_weight` k, and is chosen with chance
    e^a / (e^c + sum e^a) over the slate, or nothing is. c is the population's logit of choosing nothing + log K: a
    slate of K items that are alike is answered as often as one of them would be alone, and what the log shows is
    answered as often as an event of the log is a like. Tastes stay, nobody tires, and an item may be chosen again.
    A log tells nothing of positions, so `position_weight` is 0 unless it is given.

    ## Action Space
    `MultiDiscrete([candidates] * slate_size)` a user: positions among the candidates, first shown first. A position
    given twice shows its item once.

    ## Observation Space
    `Dict` a user; `FittedEnv` has both, the batch leaves features to `catalogue().features`.
    | key | index | meaning | unit |
    |---|---|---|---|
    | candidates | 0..candidates-1 | row of the item in `catalogue()` | row |
    | features | [candidate, 0..F-1] | the log's own columns (genres, year, ...) | as `meta.columns` encodes |

    Taste, factors and biases are hidden.

    ## Rewards
    The mean reward of the chosen item's likes in the log (1 where a like is a like); 0 without a choice.
    `info["choice"]` holds the chosen slate position, -1 for none.

    ## Starting State
    A user drawn uniformly from `part`. Candidates are drawn afresh each step, uniformly without replacement.

    ## Episode End
    Terminated after `steps` steps, and for a user who leaves (`patience`) at once; `info["active"]` says whom a step
    found still there. Never truncated. `reset` starts the next users.

    ## Arguments
    * `users`: users in the batch (count).
    * `population`: whom they are drawn from.
    * `steps`: length of an episode (steps).
    * `candidates`, `slate_size`: items on offer each step, shown each step (count).
    * `part`: which users are met: all, met (those that are not held out) or held_out.
    * `held_out`: share of the population that is held out (0..1); `split_seed` decides who.
    * `no_choice`: logit c of choosing nothing from a slate (logits); None: the log's own.
    * `position_weight`: appeal lost by each position down (logits).
    * `patience`: steps in a row without a choice after which a user leaves (steps); None: nobody leaves.
    * `offer_seed`: seed of the patterns of offers.

    ## Version History
    * v0: first version.
    """

    name = "fitted"

    def __init__(
        self,
        users: int = 1,
        *,
        population: Population,
        steps: int = 40,
        candidates: int = 20,
        slate_size: int = 5,
        part: str = "all",
        held_out: float = 0.2,
        split_seed: int = 0,
        no_choice: float | None = None,
        position_weight: float = 0.0,
        patience: int | None = None,
        offer_seed: int = 0,
    ) -> None:
        finite(position_weight=position_weight, **({} if no_choice is None else {"no_choice": no_choice}))
        not_negative(split_seed=split_seed, offer_seed=offer_seed)
        shares(held_out=held_out)
        offers = np.random.default_rng(offer_seed)
        catalogue, rows = population.catalogue, population.rows
        super().__init__(users, steps, candidates, slate_size, catalogue, offers, patience, rows)
        if no_choice is None and population.no_choice is None:
            raise InputError("every event of the log is a like, so it does not tell how often none is: give no_choice")
        learnt = (population.no_choice or 0.0) + float(np.log(slate_size))
        self.no_choice = learnt if no_choice is None else no_choice
        self.name = f"{self.name} {population.name}".rstrip()
        self.tastes = population.taste[_members(len(population), part, held_out, split_seed)]
        self.kinds, self.width = len(self.tastes), 0
        self.position_cost: FloatArray = position_weight * np.arange(slate_size)
        self._item = np.zeros((len(catalogue), population.item.shape[1]))
        self._bias, self._worth = np.full(len(catalogue), -np.inf), np.zeros(len(catalogue))
        self._item[rows], self._bias[rows], self._worth[rows] = population.item, population.bias, population.worth

    def minds(self, kind: IntArray, noise: FloatArray) -> FloatArray:
        """Tastes [..., E] of these users [...] of the part; there is no noise [..., 0]."""
        minds: FloatArray = self.tastes[kind]
        return minds

    def pull(self, minds: FloatArray, rows: IntArray) -> FloatArray:
        """Liking x·y, logits [B, P, n], of items [B, n] by tastes [B, P, E]."""
        pull: FloatArray = minds @ self._item[rows].astype(minds.dtype, copy=False).swapaxes(1, 2)
        return pull

    def payoff(self, pull: FloatArray, rows: IntArray) -> FloatArray:
        """What likes of these items earn [B, P, n], whoever likes them."""
        return np.broadcast_to(self._worth[rows][:, None], pull.shape)

    def outcome(self, pull: FloatArray, row: IntArray, reward: FloatArray) -> FloatArray:
        """A reward tells nothing beyond the choice: 0, [B, P]."""
        return np.zeros_like(pull)

    def rested(self, users: int) -> FloatArray:
        """Nobody tires here: [users, 0]."""
        return np.zeros((users, 0))

    def tire(self, weariness: FloatArray, row: IntArray) -> FloatArray:
        """Nobody tires here: [B, 0]."""
        return weariness

    def offset(self, weariness: FloatArray, rows: IntArray) -> FloatArray:
        """Biases [B, n], logits."""
        offset: FloatArray = self._bias[rows]
        return offset

    def aftermath(self, rows: IntArray, steps: int) -> FloatArray:
        """A choice has no consequences: 0, [B, n]."""
        return np.zeros(rows.shape)

    def change(self, step: int) -> float:
        """Nobody changes."""
        return 0.0

    def appeal(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: the logit [B, n] of the items in `rows` [B, n], were they first in their slate."""
        appeal: FloatArray = np.einsum("be,bne->bn", self.taste, self._item[rows]) + self._bias[rows]
        return appeal

    def worth(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: what likes of these items earn [B, n]."""
        worth: FloatArray = self._worth[rows]
        return worth

    def chances(self, slate: IntArray) -> FloatArray:
        """Hidden from policies: chance [B, K] of a choice at each position of the slates in `slate` [B, K] (rows)."""
        return probabilities(self.appeal(slate) - self.position_cost, self.no_choice, first_showings(slate))

    def _meet(self, rng: np.random.Generator) -> None:
        self.taste = self.minds(*draw(self, (self.num_envs,), rng))

    def _answer(self, slate: IntArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
        choice = self._choose(self.chances(slate), rng)
        chosen = np.take_along_axis(slate, np.maximum(choice, 0)[:, None], 1)[:, 0]
        return choice, np.where(choice >= 0, self._worth[chosen], 0.0)


class FittedEnv(OneUser):
    """One user of `Fitted`; takes its arguments other than `users`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(Fitted, **arguments)


def _members(users: int, part: str, held_out: float, seed: int) -> IntArray:
    """Rows of the users of a part; the parts are the same whatever their order."""
    if part not in PARTS:
        raise InputError(f"part must be one of {', '.join(PARTS)}, got {part!r}")
    order = np.random.default_rng(seed).permutation(users)
    cut = round(held_out * users)
    rows: IntArray = np.sort({"all": order, "held_out": order[:cut], "met": order[cut:]}[part])
    if not rows.size:
        raise InputError(f"part {part} must have at least one of {users} users, got none: change held_out ({held_out})")
    return rows
