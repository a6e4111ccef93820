"""The world `interest_exploration`: whoever shows users what most people like never learns what this one likes."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from meta.catalogue import Catalogue
from meta.types import FloatArray, IntArray
from simulators.choice import choose, first_showings, probabilities

Observation = dict[str, Any]


class InterestExploration(VectorEnv[Observation, IntArray, Any]):
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
    `Dict` a user:
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
    Terminated after `steps` steps, for all users together. Never truncated. `reset` starts the next users.

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
    * `catalogue_seed`: seed of the catalogue's own generator.

    ## Version History
    * v0: first version.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.DISABLED}  # type: ignore[misc]  # gymnasium declares it an instance attribute
    name = "interest_exploration"
    context = 0

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
        catalogue_seed: int = 0,
    ) -> None:
        for argument, value, low in (("users", users, 1), ("steps", steps, 1), ("topics", topics, 1)):
            if value < low:
                raise ValueError(f"{argument} must be at least {low}, got {value}")
        if not 1 <= slate_size <= candidates <= num_items:
            raise ValueError(f"1 <= slate_size <= candidates <= num_items, got {slate_size}, {candidates}, {num_items}")
        self.num_envs, self.steps, self.candidates, self.slate_size = users, steps, candidates, slate_size
        self.topics, self.no_click = topics, no_click
        self.own_affinity, self.other_affinity, self.affinity_std = own_affinity, other_affinity, affinity_std
        self.documents = _documents(num_items, topics, quality_mean, quality_std, np.random.default_rng(catalogue_seed))
        self.single_action_space = spaces.MultiDiscrete([candidates] * slate_size)
        self.action_space = spaces.MultiDiscrete(np.full((users, slate_size), candidates))
        self.single_observation_space = _observation_space((candidates,), self.documents)
        self.observation_space = _observation_space((users, candidates), self.documents)
        self._affinity: FloatArray = np.zeros((users, topics))
        self._offer: IntArray = np.zeros((users, candidates), np.int32)
        self._step = steps

    def catalogue(self) -> Catalogue:
        """Return the documents as a policy and the service know them: ids "doc-000000" on, topic one-hot, quality."""
        names = [f"topic_{j}" for j in range(self.topics)] + ["quality"]
        return Catalogue.from_features([f"doc-{i:06d}" for i in range(len(self.documents))], self.documents, names)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw new users and their first candidates; without a seed the generator goes on where it stands."""
        super().reset(seed=seed)
        kind = self.np_random.integers(self.topics, size=self.num_envs)
        log_affinity = np.where(np.arange(self.topics) == kind[:, None], self.own_affinity, self.other_affinity)
        self._affinity = np.exp(log_affinity + self.affinity_std * self.np_random.standard_normal(log_affinity.shape))
        self._step = 0
        return self._observe(), {}

    def step(
        self, actions: IntArray
    ) -> tuple[Observation, FloatArray, np.ndarray[Any, Any], np.ndarray[Any, Any], dict[str, Any]]:
        """Show the slates at these candidate positions int [B, K]; the users click or do not."""
        actions = np.asarray(actions)
        if self._step >= self.steps:
            raise RuntimeError("the episode has ended (or never begun): call reset before step")
        if actions.shape != (self.num_envs, self.slate_size):
            raise ValueError(f"actions must have shape {(self.num_envs, self.slate_size)}, got {actions.shape}")
        if actions.min() < 0 or actions.max() >= self.candidates:
            raise ValueError(f"actions must be in 0..{self.candidates - 1}, got {actions.min()}..{actions.max()}")
        slate = np.take_along_axis(self._offer, actions, 1)
        choice = choose(self.chances(slate), self.np_random)
        self._step += 1
        ended = np.full(self.num_envs, self._step >= self.steps)
        reward = (choice >= 0).astype(np.float64)
        return self._observe(), reward, ended, np.zeros_like(ended), {"choice": choice}

    def appeal(self, rows: IntArray) -> FloatArray:
        """Hidden from policies: the score [B, n] that each user gives the documents in `rows` [B, n]."""
        documents = self.documents[rows]
        topic = documents[..., :-1].argmax(-1)
        return np.take_along_axis(self._affinity, topic, 1) + documents[..., -1]

    def chances(self, slate: IntArray) -> FloatArray:
        """Hidden from policies: chance [B, K] of a click on each document of the slates in `slate` [B, K] (rows)."""
        return probabilities(self.appeal(slate), self.no_click, first_showings(slate))

    def _observe(self) -> Observation:
        self._offer = _distinct(len(self.documents), (self.num_envs, self.candidates), self.np_random)
        return {"candidates": self._offer, "features": self.documents[self._offer]}


class InterestExplorationEnv(gymnasium.Env[Observation, IntArray]):
    """One user of `InterestExploration`; takes its arguments other than `users`."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]  # gymnasium declares it an instance attribute

    def __init__(self, **arguments: Any) -> None:
        self._batch = InterestExploration(1, **arguments)
        self.action_space = self._batch.single_action_space
        self.observation_space = self._batch.single_observation_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw a new user."""
        super().reset(seed=seed)
        observation, info = self._batch.reset(seed=seed, options=options)
        return _one(observation), info

    def step(self, action: IntArray) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Show the slate at these candidate positions int [K]."""
        observation, reward, terminated, truncated, info = self._batch.step(np.asarray(action)[None])
        choice = int(info["choice"][0])
        return _one(observation), float(reward[0]), bool(terminated[0]), bool(truncated[0]), {"choice": choice}


def _documents(count: int, topics: int, mean: float, std: float, rng: np.random.Generator) -> FloatArray:
    """Features float32 [N, topics + 1] of documents drawn by the law."""
    topic = rng.integers(topics, size=count)
    quality = np.exp(mean + std * rng.standard_normal(count))
    return np.concatenate([np.eye(topics)[topic], quality[:, None]], 1).astype(np.float32)


def _distinct(items: int, shape: tuple[int, int], rng: np.random.Generator) -> IntArray:
    """Rows int32 of this shape, uniform without replacement along the last axis."""
    users, count = shape
    if items < 4 * count * count:  # too crowded to redraw rows with a repetition
        return rng.permuted(np.tile(np.arange(items, dtype=np.int32), (users, 1)), axis=1)[:, :count]
    rows = rng.integers(items, size=shape, dtype=np.int32)
    while True:
        ordered = np.sort(rows, 1)
        again = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(1))
        if not again.size:
            return rows
        rows[again] = rng.integers(items, size=(again.size, count), dtype=np.int32)


def _observation_space(shape: tuple[int, ...], documents: FloatArray) -> spaces.Dict:
    highest = np.append(np.ones(documents.shape[1] - 1, np.float32), documents[:, -1].max())
    return spaces.Dict(
        {
            "candidates": spaces.Box(0, len(documents) - 1, shape, np.int32),
            "features": spaces.Box(np.float32(0.0), np.broadcast_to(highest, (*shape, len(highest))), dtype=np.float32),
        }
    )


def _one(observation: Observation) -> Observation:
    return {key: value[0] for key, value in observation.items()}
