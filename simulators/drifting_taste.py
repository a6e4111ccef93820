"""The world `drifting_taste`: sweet items win now and tire their user, and one day the taste is another."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np

from meta.catalogue import Catalogue
from meta.errors import InputError
from meta.types import BoolArray, FloatArray, IntArray
from simulators.choice import first_showings, probabilities
from simulators.law import draw
from simulators.ranges import counts, finite, not_negative, shares
from simulators.slates import OneUser, Slates

SMALL = 1e-6
"""Watched shares this near to 0 or 1, and spreads this narrow, are taken as it: log odds stay finite."""


class DriftingTaste(Slates):
    """A batch of users whose hidden taste is to be learnt from slates, planned for, and learnt again.

    ## Description
    An item has a unit vector l (its topic's centre and noise), a quality q ~ N(0, 1) and a sweetness z ~ U(0, 1). A
    user has a taste p = `taste_scale` * unit(`cluster_share` * cluster + n), of one of `clusters` clusters, and once,
    at a step drawn from `change`, another one. Contrary tastes, a share of `contrary`, have minus their cluster: what
    the population likes misleads about them. Item i at position k of a slate (from 0) has the appeal

        a = p·l + `quality_weight` q + `sweetness_weight` z - `satiation_weight` S[topic] - `fatigue_weight` F
            - `no_choice` - `position_weight` k,

    and is chosen with chance e^a / (1 + sum e^a) over the slate, or nothing is. What is chosen is watched for a share
    sigmoid(`watch_taste` p·l + `watch_quality` q + `watch_offset` + `watch_noise` n). A choice makes its user weary:
    at every step S <- `satiation_keep` S and F <- `fatigue_keep` F, and then a chosen item adds `satiation` to its
    topic's S and `fatigue` z to F. F weighs on all items alike, so what wins now is paid for later.
    n is standard normal throughout. Items and clusters are fixed by `catalogue_seed`.

    ## Action Space
    `MultiDiscrete([candidates] * slate_size)` a user: positions among the candidates, first shown first. A position
    given twice shows its item once.

    ## Observation Space
    `Dict` a user; `DriftingTasteEnv` has both, the batch leaves features to `catalogue().features`.
    | key | index | meaning | unit |
    |---|---|---|---|
    | candidates | 0..candidates-1 | row of the item in `catalogue()` | row |
    | features | [candidate, 0..dimensions-1] | 2 l + `vector_noise` n | - |
    | features | [candidate, dimensions] | q + `quality_noise` n | standard deviations |
    | features | [candidate, dimensions + 1] | 2 z - 1 | - |
    | features | [candidate, then on] | the item is of this topic | one-hot |

    Taste, satiation, fatigue and the day of the change are hidden.

    ## Rewards
    The share of the chosen item that was watched, 0..1; 0 without a choice. `info["choice"]` holds the chosen slate
    position, -1 for none.

    ## Starting State
    A fresh user without satiation or fatigue. Candidates are drawn afresh each step.

    ## Episode End
    Terminated after `steps` steps, and for a user who leaves (`patience`) at once; `info["active"]` says whom a step
    found still there. Never truncated. `reset` starts the next users.

    ## Arguments
    * `users`: users in the batch (count).
    * `steps`: length of an episode (steps).
    * `candidates`, `slate_size`, `num_items`: items on offer each step, shown each step, in the catalogue (count).
    * `topics`, `clusters`, `dimensions`: topics, clusters of users, and floats of a taste (count).
    * `topic_spread`: standard deviation of an item about its topic's centre (per coordinate, before scaling to 1).
    * `taste_scale`: length of a taste (logits); `cluster_share`: weight of its cluster (standard deviations);
      `contrary`: share of tastes that have minus their cluster (0..1).
    * `quality_weight`, `sweetness_weight`: appeal of one standard deviation of quality, of full sweetness (logits).
    * `satiation_weight`, `fatigue_weight`: appeal lost by one unit of each (logits).
    * `no_choice`: logit of choosing nothing (logits); `position_weight`: appeal lost by each position down (logits).
    * `satiation`, `fatigue`: what a choice adds (units); `satiation_keep`, `fatigue_keep`: share kept a step (0..1).
    * `watch_taste`, `watch_quality`, `watch_offset`, `watch_noise`: log odds of watching on (a logit of taste, a
      standard deviation of quality, constant, standard deviation).
    * `change`: first and last step of the change of taste (steps, from 0); None: it stays.
    * `vector_noise`, `quality_noise`: standard deviation of what is seen of an item about its truth.
    * `patience`: steps in a row without a choice after which a user leaves (steps); None: nobody leaves.
    * `catalogue_seed`: seed of the generator of items, topics and clusters.

    ## Version History
    * v0: first version.
    """

    name = "drifting_taste"

    def __init__(
        self,
        users: int = 1,
        *,
        steps: int = 40,
        candidates: int = 40,
        slate_size: int = 5,
        num_items: int = 1_000,
        topics: int = 10,
        clusters: int = 5,
        dimensions: int = 6,
        topic_spread: float = 0.25,
        taste_scale: float = 7.0,
        cluster_share: float = 0.8,
        contrary: float = 0.0,
        quality_weight: float = 0.4,
        sweetness_weight: float = 2.0,
        satiation_weight: float = 0.8,
        fatigue_weight: float = 5.0,
        no_choice: float = 4.5,
        position_weight: float = 0.25,
        satiation: float = 0.5,
        satiation_keep: float = 0.8,
        fatigue: float = 0.3,
        fatigue_keep: float = 0.9,
        watch_taste: float = 0.35,
        watch_quality: float = 0.3,
        watch_offset: float = -0.5,
        watch_noise: float = 0.5,
        change: tuple[int, int] | None = (16, 24),
        vector_noise: float = 0.1,
        quality_noise: float = 0.3,
        patience: int | None = None,
        catalogue_seed: int = 2,
    ) -> None:
        counts(num_items=num_items, topics=topics, clusters=clusters, dimensions=dimensions)
        finite(quality_weight=quality_weight, sweetness_weight=sweetness_weight, satiation_weight=satiation_weight)
        finite(fatigue_weight=fatigue_weight, no_choice=no_choice, position_weight=position_weight)
        finite(watch_taste=watch_taste, watch_quality=watch_quality, watch_offset=watch_offset)
        not_negative(topic_spread=topic_spread, taste_scale=taste_scale, cluster_share=cluster_share)
        not_negative(satiation=satiation, fatigue=fatigue, watch_noise=watch_noise, catalogue_seed=catalogue_seed)
        not_negative(vector_noise=vector_noise, quality_noise=quality_noise)
        shares(contrary=contrary, satiation_keep=satiation_keep, fatigue_keep=fatigue_keep)
        if change is not None and not 0 <= change[0] <= change[1]:
            raise InputError(f"change must be a first step of at least 0 and a last one not before it, got {change}")
        law = np.random.default_rng(catalogue_seed)
        centres = _unit(law.standard_normal((topics, dimensions)))
        self._clusters: FloatArray = law.standard_normal((clusters, dimensions))
        self.topic: IntArray = law.integers(topics, size=num_items)
        self.vector = _unit(centres[self.topic] + topic_spread * law.standard_normal((num_items, dimensions)))
        self.quality: FloatArray = law.standard_normal(num_items)
        self.sweetness: FloatArray = law.random(num_items)
        seen = [
            2.0 * self.vector + vector_noise * law.standard_normal(self.vector.shape),
            (self.quality + quality_noise * law.standard_normal(num_items))[:, None],
            2.0 * self.sweetness[:, None] - 1.0,
            np.eye(topics)[self.topic],
        ]
        names = [*(f"vector_{d}" for d in range(dimensions)), "quality", "sweetness"]
        names += [f"topic_{j}" for j in range(topics)]
        ids = [f"item-{i:06d}" for i in range(num_items)]
        catalogue = Catalogue.from_features(ids, np.concatenate(seen, 1), names)
        super().__init__(users, steps, candidates, slate_size, catalogue, law, patience)
        self.days = change
        self.kinds, self.width = clusters, dimensions + (contrary > 0.0)
        self._contrary = math.inf if contrary == 1.0 else NormalDist().inv_cdf(contrary) if contrary else -math.inf
        self.taste_scale, self.cluster_share = taste_scale, cluster_share
        self.satiation_weight, self.fatigue_weight = satiation_weight, fatigue_weight
        self.satiation, self.fatigue = satiation, fatigue
        self.fatigue_keep = fatigue_keep
        self.watch_taste, self.watch_noise = watch_taste, watch_noise
        self.position_cost: FloatArray = position_weight * np.arange(slate_size)
        self._constant = quality_weight * self.quality + sweetness_weight * self.sweetness - no_choice
        self._watch = watch_quality * self.quality + watch_offset
        self._keep = np.array([satiation_keep] * topics + [fatigue_keep])

    def minds(self, kind: IntArray, noise: FloatArray) -> FloatArray:
        """Tastes [..., dimensions] of users of these clusters [...] and normal numbers [..., width].

        The last number, where there is one more than dimensions, tells who is contrary.
        """
        own = noise[..., : self._clusters.shape[1]]
        side = np.where(noise[..., -1:] < self._contrary, -self.cluster_share, self.cluster_share)
        tastes: FloatArray = self.taste_scale * _unit(side * self._clusters[kind] + own)
        return tastes

    def pull(self, minds: FloatArray, rows: IntArray) -> FloatArray:
        """Liking p·l, logits [B, P, n], of items [B, n] by tastes [B, P, dimensions]."""
        pull: FloatArray = minds @ self.vector[rows].astype(minds.dtype, copy=False).swapaxes(1, 2)
        return pull

    def payoff(self, pull: FloatArray, rows: IntArray) -> FloatArray:
        """Share [B, P, n] that would be watched, at the median of its noise."""
        return _sigmoid(self.watch_taste * pull + self._watch[rows][:, None].astype(pull.dtype, copy=False))

    def outcome(self, pull: FloatArray, row: IntArray, reward: FloatArray) -> FloatArray:
        """Log density [B, P] of the watched shares [B] of items [B]: their log odds are normal."""
        share = np.clip(reward, SMALL, 1.0 - SMALL)
        seen = np.log(share / (1.0 - share)) - self._watch[row]
        density: FloatArray = -0.5 * ((seen[:, None] - self.watch_taste * pull) / max(self.watch_noise, SMALL)) ** 2
        return density

    def rested(self, users: int) -> FloatArray:
        """No satiation [users, topics] and no fatigue [users, 1], side by side."""
        return np.zeros((users, len(self._keep)))

    def tire(self, weariness: FloatArray, row: IntArray) -> FloatArray:
        """Satiation and fatigue [B, topics + 1] one step later, after choosing the items [B] (-1: nothing)."""
        user = np.flatnonzero(row >= 0)
        item = row[user]
        tired: FloatArray = weariness * self._keep
        tired[user, self.topic[item]] += self.satiation
        tired[user, -1] += self.fatigue * self.sweetness[item]
        return tired

    def offset(self, weariness: FloatArray, rows: IntArray) -> FloatArray:
        """Quality and sweetness less satiation and fatigue [B, topics + 1], logits [B, n]."""
        satiated = np.take_along_axis(weariness, self.topic[rows], 1)
        weary = self.satiation_weight * satiated + self.fatigue_weight * weariness[:, -1:]
        offset: FloatArray = self._constant[rows] - weary
        return offset

    def aftermath(self, rows: IntArray, steps: int) -> FloatArray:
        """Appeal of all items lost to the fatigue of each choice [B, n], summed over so many steps (logits)."""
        lasting = float((self.fatigue_keep ** np.arange(steps)).sum())
        lost: FloatArray = self.fatigue_weight * self.fatigue * lasting * self.sweetness[rows]
        return lost

    def change(self, step: int) -> float:
        """Chance that a first taste is replaced before this step: the day is uniform over the stated days."""
        if self.days is None or not self.days[0] <= step <= self.days[1]:
            return 0.0
        return 1.0 / (self.days[1] - step + 1)

    def appeal(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: the logit [B, n] of the items in `rows` [B, n], were they first in their slate."""
        appeal: FloatArray = self.pull(self.taste[:, None], rows)[:, 0] + self.offset(self._weariness, rows)
        return appeal

    def worth(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: the share [B, n] that would be watched of these items, at the median of its noise."""
        return self.payoff(self.pull(self.taste[:, None], rows), rows)[:, 0]

    def chances(self, slate: IntArray) -> FloatArray:
        """Hidden from policies: chance [B, K] of a choice at each position of the slates in `slate` [B, K] (rows)."""
        return probabilities(self.appeal(slate) - self.position_cost, 0.0, first_showings(slate))

    @property
    def taste(self) -> FloatArray:
        """Hidden from policies: the taste [B, dimensions] of this step."""
        taste: FloatArray = np.where(self.changed[:, None], self._tastes[1], self._tastes[0])
        return taste

    @property
    def changed(self) -> BoolArray:
        """Hidden from policies: whose taste [B] is no longer the first."""
        changed: BoolArray = self._step >= self.change_step
        return changed

    def _meet(self, rng: np.random.Generator) -> None:
        users = self.num_envs
        self._tastes = self.minds(*draw(self, (2 * users,), rng)).reshape(2, users, -1)
        first, last = (self.steps, self.steps) if self.days is None else self.days
        self.change_step: IntArray = rng.integers(first, last + 1, size=users)
        self._weariness = self.rested(users)

    def _answer(self, slate: IntArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
        choice = self._choose(self.chances(slate), rng)
        user = np.flatnonzero(choice >= 0)
        chosen: IntArray = np.full(len(choice), -1)
        chosen[user] = slate[user, choice[user]]
        item = chosen[user]
        liking = (self.taste[user] * self.vector[item]).sum(1)
        noise = self.watch_noise * rng.standard_normal(len(choice))[user]
        reward = np.zeros(len(choice))
        reward[user] = _sigmoid(self.watch_taste * liking + self._watch[item] + noise)
        self._weariness = self.tire(self._weariness, chosen)
        return choice, reward


class DriftingTasteEnv(OneUser):
    """One user of `DriftingTaste`; takes its arguments other than `users`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(DriftingTaste, **arguments)


def _unit(x: FloatArray) -> FloatArray:
    unit: FloatArray = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return unit


def _sigmoid(x: FloatArray) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-x))
