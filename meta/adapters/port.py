"""The one port of every adapter: the shared parameters and a user's support in, the user's copy out."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from meta.adapters.layers import Layers
from meta.arrays import namespace, plus_one, sigmoid, softplus, spread
from meta.choice import Outcomes
from meta.spec import Spec
from meta.types import Array, Events, FloatArray, Params

DECAY = "evidence.decay"


class Support(NamedTuple):
    """The events from which copies are learnt, for P prefixes of each history at once.

    Args:
        events: the histories [B, T] themselves.
        e: float [B, T, E], choice embedding of each event's item in the event's context, already divided by sqrt(E).
        bias: float [B, T], choice bias of each event's item.
        seen: what was chosen.
        inside: float [B, P, D], 1 where the decision or event is in the prefix, D as in `Events`.
        age: float [B, P, D], decisions since then; 0 where it is not in the prefix.
        prior: float [B, 1, E], u0 of each user.
        before: float [B, T, S + X], summary and context that each event was decided in; None but for `network` scope.
    """

    events: Events
    e: Array
    bias: Array
    seen: Outcomes
    inside: Array
    age: Array
    prior: Array
    before: Array = None


class News(NamedTuple):
    """Events that a memory reads on from where it was.

    Args:
        events: the histories [B, T], or the ends of them that are needed.
        e: float [B, T, E], as in `Support`.
        reward: float [B, T], of each event alone, for of a slate only the events so far are known; 0 where padded.
        chosen: float [B, T], how much each event was chosen.
        fresh: bool [B, T], true for the events to be read; the others change nothing.
        first: place of the first event that is fresh for anybody.
    """

    events: Events
    e: Array
    reward: Array
    chosen: Array
    fresh: Array
    first: int = 0


class Fast(NamedTuple):
    """What a user's copy changes of the network.

    Args:
        u: float [B, P, E], the fast vector.
        film: float [B, P, H], by which share the session state is scaled up or down; None: not at all.
        layers: the session network of the user's own, each array [B, P, ...]; None: the shared one.
    """

    u: Array
    film: Array | None = None
    layers: Layers | None = None


class Adapter(Protocol):
    """A way to learn a user's copy; pure, batched, the same on numpy and torch."""

    @property
    def name(self) -> str:
        """As in a manifest."""

    @property
    def sees_session(self) -> bool:
        """Whether h(s) may see the user's events."""

    @property
    def streams(self) -> bool:
        """Whether a copy can be carried on event by event; it is then kept in full precision."""

    @property
    def learns_as(self) -> str:
        """The adapter that training runs with; another one's name where copies are not meta-learnt."""

    def init(self, spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Fresh parameters of this adapter by name, float32."""

    def settle(self, params: Params, spec: Spec) -> Params:
        """The parameters with what follows from them alone: computed once a policy, or once a pass in training."""

    def start(self, params: Params, spec: Spec, prior: Array) -> Array:
        """The copy of somebody without events: u0 [B, P, E] -> [B, P, Z]."""

    def adapt(self, params: Params, spec: Spec, support: Support) -> Array:
        """The copies of all prefixes under settled parameters: [B, P, Z]. An empty prefix gives exactly `start`."""

    def fast(self, params: Params, spec: Spec, copy: Array, prior: Array) -> Fast:
        """What copies [B, P, Z] of users with priors u0 [B, 1 or P, E] change of the network."""


@runtime_checkable
class Streaming(Adapter, Protocol):
    """An adapter whose copies can be carried on."""

    def advance(self, params: Params, spec: Spec, copy: Array, news: News) -> Array:
        """Fold events, oldest first, into copies under settled parameters: [B, Z] -> [B, Z]."""


class HeadScope:
    """What adapters share whose copy is the fast vector itself: Z = E."""

    __slots__ = ()
    streams = False

    def settle(self, params: Params, spec: Spec) -> Params:
        """Nothing follows."""
        return params

    def start(self, params: Params, spec: Spec, prior: Array) -> Array:
        """The prior."""
        return prior

    def fast(self, params: Params, spec: Spec, copy: Array, prior: Array) -> Fast:
        """The copy is u."""
        return Fast(copy)


def prior(support: Support) -> Array:
    """u0 of every user and prefix: [B, P, E]."""
    users, prefixes, _ = support.inside.shape
    return spread(support.prior, (users, prefixes, support.prior.shape[-1]))


def evidence_params(forgetting: float = 4.6) -> dict[str, FloatArray]:
    """Parameters of `evidence`: the logit of the decay per decision, and how outcomes weigh."""
    return {
        DECAY: np.asarray(forgetting, np.float32),
        "evidence.outcome": np.asarray([0.5413, 0.0, 0.0], np.float32),  # softplus(.5413) = 1
    }


def remembering(params: dict[str, FloatArray], share: float) -> dict[str, FloatArray]:
    """Fresh parameters that start to weigh evidence by share ^ age, share in 0..1; those without it unchanged."""
    if DECAY not in params:
        return params
    return {**params, DECAY: np.asarray(np.log(share / (1.0 - share)), np.float32)}


def alert(params: dict[str, FloatArray], by: float) -> dict[str, FloatArray]:
    """Parameters that forget faster, the logit of what they remember less by `by`; those without it unchanged."""
    return {**params, DECAY: (params[DECAY] - by).astype(np.float32)} if DECAY in params else params


def settled_evidence(params: Params) -> dict[str, Array]:
    """What `evidence` takes from the parameters alone: the logarithm of the decay per decision, weights one by one."""
    decay, outcome = sigmoid(params[DECAY]), params["evidence.outcome"]
    weights = {f"evidence.{name}": outcome[i, ...] for i, name in enumerate(("always", "chosen", "reward"))}
    return {"evidence.log_decay": namespace(decay).log(decay), **weights}


def recency(params: Params, support: Support) -> Array:
    """How much each decision or event counts by its age: [B, P, D]."""
    return support.inside * namespace(support.inside).exp(params["evidence.log_decay"] * support.age)


def weighed(params: Params, support: Support, recent: Array) -> Array:
    """How much each counts by its age and by what was chosen: `recency` [B, P, D] -> [B, P, D]."""
    seen = support.seen
    chosen, reward = params["evidence.chosen"] * seen.any_chosen, params["evidence.reward"] * seen.reward
    return recent * softplus(params["evidence.always"] + chosen + reward)[:, None, :]


def evidence(params: Params, support: Support) -> tuple[Array, Array]:
    """How much each decision or event counts, [B, P, D], and the effective number of decisions, [B, P, 1]."""
    recent = recency(params, support)
    return weighed(params, support, recent), recent @ support.seen.share[..., None]


def settled_shrinkage(learnt: Array) -> dict[str, Array]:
    """What `shrinkage` takes from the parameters alone: scale and power, learnt [2] through softplus and sigmoid."""
    return {"shrinkage.scale": softplus(learnt[0]), "shrinkage.power": sigmoid(learnt[1])}


def shrinkage(params: Params, decisions: Array) -> Array:
    """What a summed gradient is divided by, (1 + n / scale)^power; 1 without events, any shape."""
    return plus_one(decisions / params["shrinkage.scale"]) ** params["shrinkage.power"]


def logits(fast: Fast, support: Support) -> Array:
    """Choice logits of the support under copies, the session left out unless it is the user's own: [B, P, T]."""
    if fast.layers is None:
        return fast.u @ support.e.mT + support.bias[:, None, :]
    taste = fast.layers.forward(support.before[:, None])
    return namespace(taste).vecdot(taste, support.e[:, None]) + support.bias[:, None, :]
