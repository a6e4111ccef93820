"""The world `interest_exploration`: whoever shows users what most people like never learns what this one likes."""

from __future__ import annotations

from typing import Any

import numpy as np

from meta.catalogue import Catalogue
from meta.types import FloatArray, IntArray
from simulators.choice import first_showings, probabilities
from simulators.law import draw
from simulators.ranges import counts, finite, not_negative
from simulators.slates import OneUser, Slates


class InterestExploration(Slates):
    """A batch of users of hidden types who click documents of the topic they favour.

    ## Description
    RecSim's interest exploration (Ie et al. 2019, "RecSim: A Configurable Simulation Platform for Recommender Systems")
    with as many user types as topics, restated for a batch of users. A user of type k likes topic j by
    g_j = exp(m_j + s n), m = `own_affinity` for j = k and `other_affinity` else. A document has one topic, drawn
    uniformly, and a quality exp(`quality_mean` + `quality_std` n). From a slate the user clicks document i with chance
    e^score_i / (e^no_click + sum_j e^score_j), score = g[topic] + quality. n is standard normal throughout.
    Documents come from a catalogue that is fixed by `catalogue_seed`, so a policy and a service can know them.

    ## Action Space
    `MultiDiscrete([candidates] * slate_size)` a user: positions among the candidates, first shown first. A position
    given twice shows its document once.

    ## Observation Space
    `Dict` a user; `InterestExplorationEnv` has both, the batch leaves features to `catalogue().features`.
    | key | index | meaning | min | max | unit |
    |---|---|---|---|---|---|
    | candidates | 0..candidates-1 | row of the document in `catalogue()` | 0 | num_items - 1 | row |
    | features | [candidate, 0..topics-1] | the document is of this topic | 0 | 1 | one-hot |
    | features | [candidate, topics] | quality of the document | 0 | the catalogue's best | logits |

    The user's type and affinities are hidden.

    ## Rewards
    1 for a click, 0 otherwise. `info["choice"]` holds the clicked slate position, -1 without a click.

    ## Starting State
    A type drawn uniformly and affinities drawn for it; the first candidates. Candidates are drawn afresh each step,
    uniformly without replacement from the catalogue.

    ## Episode End
    Terminated after `steps` steps, and for a user who leaves (`patience`) at once; `info["active"]` says whom a step
    found still there. Never truncated. `reset` starts the next users.

    ## Arguments
    * `users`: users in the batch (count).
    * `steps`: length of an episode (steps).
    * `candidates`: documents on offer each step (count).
    * `slate_size`: documents shown each step (count).
    * `num_items`: documents in the catalogue (count).
    * `topics`: topics and user types (count).
    * `own_affinity`, `other_affinity`, `affinity_std`: mean log affinity for the type's own topic and for any other,
      and the spread of both (log logits).
    * `quality_mean`, `quality_std`: mean and spread of log quality (log logits).
    * `no_click`: logit of clicking nothing (logits).
    * `patience`: steps in a row without a click after which a user leaves (steps); None: nobody leaves.
    * `catalogue_seed`: seed of the catalogue's own generator.

    ## Version History
    * v0: first version.
    """

    name = "interest_exploration"

    def __init__(
        self,
        users: int = 1,
        *,
        steps: int = 60,
        candidates: int = 20,
        slate_size: int = 2,
        num_items: int = 10_000,
        topics: int = 8,
        own_affinity: float = 1.4,
        other_affinity: float = 0.1,
        affinity_std: float = 0.1,
        quality_mean: float = 0.5,
        quality_std: float = 0.1,
        no_click: float = 5.0,
        patience: int | None = None,
        catalogue_seed: int = 0,
    ) -> None:
        counts(num_items=num_items, topics=topics)
        finite(own_affinity=own_affinity, other_affinity=other_affinity, quality_mean=quality_mean, no_click=no_click)
        not_negative(affinity_std=affinity_std, quality_std=quality_std, catalogue_seed=catalogue_seed)
        law = np.random.default_rng(catalogue_seed)
        self.documents = _documents(num_items, topics, quality_mean, quality_std, law)
        names = [f"topic_{j}" for j in range(topics)] + ["quality"]
        ids = [f"doc-{i:06d}" for i in range(num_items)]
        catalogue = Catalogue.from_features(ids, self.documents, names)
        super().__init__(users, steps, candidates, slate_size, catalogue, law, patience)
        self.topics, self.no_choice = topics, no_click
        self.kinds = self.width = topics
        self.position_cost: FloatArray = np.zeros(slate_size)
        self._topic: IntArray = self.documents[:, :-1].argmax(1)
        self.own_affinity, self.other_affinity, self.affinity_std = own_affinity, other_affinity, affinity_std

    def minds(self, kind: IntArray, noise: FloatArray) -> FloatArray:
        """Affinities [..., topics] of users of these types [...] and normal numbers [..., topics]."""
        own = np.arange(self.topics) == kind[..., None]
        affinity: FloatArray = np.exp(np.where(own, self.own_affinity, self.other_affinity) + self.affinity_std * noise)
        return affinity

    def pull(self, minds: FloatArray, rows: IntArray) -> FloatArray:
        """Affinities [B, P, n] of minds [B, P, topics] to the topics of documents [B, n]."""
        pull: FloatArray = np.take_along_axis(minds, self._topic[rows][:, None], 2)
        return pull

    def payoff(self, pull: FloatArray, rows: IntArray) -> FloatArray:
        """A click is worth 1, [B, P, n]."""
        return np.ones_like(pull)

    def outcome(self, pull: FloatArray, row: IntArray, reward: FloatArray) -> FloatArray:
        """A click tells nothing beyond the choice: 0, [B, P]."""
        return np.zeros_like(pull)

    def rested(self, users: int) -> FloatArray:
        """Nobody tires here: [users, 0]."""
        return np.zeros((users, 0))

    def tire(self, weariness: FloatArray, row: IntArray) -> FloatArray:
        """Nobody tires here: [B, 0]."""
        return weariness

    def offset(self, weariness: FloatArray, rows: IntArray) -> FloatArray:
        """Qualities [B, n]."""
        offset: FloatArray = self.documents[rows, -1]
        return offset

    def aftermath(self, rows: IntArray, steps: int) -> FloatArray:
        """A click has no consequences: 0, [B, n]."""
        return np.zeros(rows.shape)

    def change(self, step: int) -> float:
        """Nobody changes."""
        return 0.0

    def appeal(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: the score [B, n] that each user gives the documents in `rows` [B, n]."""
        appeal: FloatArray = self.pull(self.affinity[:, None], rows)[:, 0] + self.offset(self.rested(0), rows)
        return appeal

    def chances(self, slate: IntArray) -> FloatArray:
        """Hidden from policies: chance [B, K] of a click on each document of the slates in `slate` [B, K] (rows)."""
        return probabilities(self.appeal(slate), self.no_choice, first_showings(slate))

    def _meet(self, rng: np.random.Generator) -> None:
        self.affinity = self.minds(*draw(self, (self.num_envs,), rng))

    def _answer(self, slate: IntArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
        choice = self._choose(self.chances(slate), rng)
        return choice, (choice >= 0).astype(np.float64)


class InterestExplorationEnv(OneUser):
    """One user of `InterestExploration`; takes its arguments other than `users`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(InterestExploration, **arguments)


def _documents(count: int, topics: int, mean: float, std: float, rng: np.random.Generator) -> FloatArray:
    """Features float32 [N, topics + 1] of documents drawn by the law."""
    topic = rng.integers(topics, size=count)
    quality = np.exp(mean + std * rng.standard_normal(count))
    return np.concatenate([np.eye(topics)[topic], quality[:, None]], 1).astype(np.float32)
