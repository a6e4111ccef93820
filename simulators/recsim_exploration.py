"""The world `recsim_interest_exploration`: the real RecSim package, which `interest_exploration` restates."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from meta.catalogue import Catalogue
from meta.types import FloatArray, IntArray
from simulators import foreign
from simulators.ranges import counts, not_negative
from simulators.recsim import DISTRIBUTION, RecSim
from simulators.slates import OneUser
from simulators.variants import Variant

TYPES = 8
"""User types, and topics: each type favours one topic."""
DOCUMENTS: Mapping[str, Any] = {
    "topic_distribution": (1 / TYPES,) * TYPES,
    "topic_quality_mean": (0.5,) * TYPES,
    "topic_quality_stddev": (0.1,) * TYPES,
}
"""Arguments of `IETopicDocumentSampler` that leave headroom for those who explore."""
USERS: Mapping[str, Any] = {
    "user_type_distribution": (1 / TYPES,) * TYPES,
    "user_document_mean_affinity_matrix": tuple(
        tuple(1.4 if topic == kind else 0.1 for topic in range(TYPES)) for kind in range(TYPES)
    ),
    "user_document_stddev_affinity_matrix": ((0.1,) * TYPES,) * TYPES,
}
"""Arguments of `IEClusterUserSampler` that go with them."""


class RecSimInterestExploration(RecSim):
    """RecSim's interest exploration, 8 topics and 8 user types, by the package itself.

    ## Description
    Interest exploration of Ie et al. 2019 ("RecSim: A Configurable Simulation Platform for Recommender Systems"), in
    the package's own code: `IEUserModel` with its multinomial logit, in a `SingleUserEnvironment` a user. A document
    has a topic and a quality, a user a hidden affinity to each topic; from a slate a document is clicked with chance
    e^score / (e^no_click_mass + sum e^score), score = affinity + quality.
    The package makes new documents at each step; here its `IETopicDocumentSampler` draws a catalogue once, and offers
    come from that, uniformly without replacement. Users step in a Python loop: for judging rather than for training,
    which `interest_exploration`, the same law for a whole batch, is there for.

    ## Action Space
    `MultiDiscrete([candidates] * slate_size)` a user: positions among the candidates, first shown first. A position
    given twice shows its document once.

    ## Observation Space
    `Dict` a user; `RecSimInterestExplorationEnv` has both, the batch leaves features to `catalogue().features`.
    | key | index | meaning | min | max | unit |
    |---|---|---|---|---|---|
    | candidates | 0..candidates-1 | row of the document in `catalogue()` | 0 | num_items - 1 | row |
    | features | [candidate, 0..topics-1] | the document is of this topic | 0 | 1 | one-hot |
    | features | [candidate, topics] | quality of the document | 0 | the catalogue's best | logits |

    ## Rewards
    1 for a click, 0 otherwise (`total_clicks_reward`). `info["choice"]` is the clicked position, -1 without a click.

    ## Starting State
    A user of the package's `IEClusterUserSampler`; the first candidates.

    ## Episode End
    Terminated after `steps` steps, for all users together. Never truncated; the package itself never ends an episode.

    ## Arguments
    * `users`: users in the batch (count).
    * `steps`: length of an episode (steps).
    * `candidates`, `slate_size`, `num_items`: documents on offer each step, shown each step, in the catalogue (count).
    * `no_click_mass`: logit of clicking nothing (logits).
    * `document_sampler`: arguments of `IETopicDocumentSampler`: shares of topics, mean and spread of log quality by
      topic (log logits). Empty: the package's own defaults.
    * `user_sampler`: arguments of `IEClusterUserSampler`: shares of user types, mean and spread of log affinity by type
      and topic (log logits). Empty: the package's own defaults.
    * `catalogue_seed`: seed of the document sampler and of what else belongs to the world.

    ## Version History
    * v0: recsim-no-tf 0.2.3.
    """

    name = "recsim_interest_exploration"

    def __init__(
        self,
        users: int = 1,
        *,
        steps: int = 60,
        candidates: int = 20,
        slate_size: int = 2,
        num_items: int = 10_000,
        no_click_mass: float = 5.0,
        document_sampler: Mapping[str, Any] = DOCUMENTS,
        user_sampler: Mapping[str, Any] = USERS,
        catalogue_seed: int = 0,
    ) -> None:
        counts(num_items=num_items)
        not_negative(no_click_mass=no_click_mass)
        foreign.seeds(catalogue_seed=catalogue_seed)
        ie = self.load()
        maker = ie.IETopicDocumentSampler(seed=catalogue_seed, **document_sampler)
        documents = [maker.sample_document() for _ in range(num_items)]
        self.topic = np.array([document.cluster_id for document in documents])
        self.quality = np.array([document.quality for document in documents])
        features = np.concatenate([np.eye(maker.num_clusters)[self.topic], self.quality[:, None]], 1)
        names = [*(f"topic_{j}" for j in range(maker.num_clusters)), "quality"]
        super().__init__(
            users,
            steps,
            candidates,
            slate_size,
            Catalogue.from_features([f"doc-{i:06d}" for i in range(num_items)], features, names),
            documents=documents,
            model=lambda: ie.IEUserModel(
                slate_size,
                no_click_mass=no_click_mass,
                user_state_ctor=ie.IEUserState,
                response_model_ctor=ie.IEResponse,
            ),
            sampler=partial(ie.IEClusterUserSampler, user_ctor=ie.IEUserState, **user_sampler),
            reward=ie.total_clicks_reward,
            rng=np.random.default_rng(catalogue_seed),
        )
        self.no_choice = no_click_mass

    @classmethod
    def load(cls) -> Any:
        """Import RecSim's interest exploration."""
        return foreign.load("recsim.environments.interest_exploration", DISTRIBUTION)

    def appeal(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: the score [B, n] that each user gives the documents in `rows` [B, n]."""
        affinity = np.stack([user.topic_affinity for user in self.users])
        score: FloatArray = np.take_along_axis(affinity, self.topic[rows], 1) + self.quality[rows]
        return score


class RecSimInterestExplorationEnv(OneUser):
    """One user of `RecSimInterestExploration`; takes its arguments other than `users`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(RecSimInterestExploration, **arguments)


DEFAULTS = Variant(
    "recsim_interest_exploration_default",
    RecSimInterestExploration,
    {"candidates": 10, "document_sampler": {}, "user_sampler": {}},
)
"""The package's own defaults: two topics, one of which nearly all users prefer.

Whoever shows the best quality does nearly as well as an oracle: there is next to nothing to learn about a user, so this
world tells whether adaptation does harm.
"""
