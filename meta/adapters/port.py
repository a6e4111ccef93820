"""The one port of every adapter: the shared parameters and a user's support in, the user's fast vector u out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from meta.arrays import namespace, sigmoid, softplus
from meta.choice import Outcomes
from meta.spec import Spec
from meta.types import Array, FloatArray, Params


@dataclass(frozen=True, slots=True)
class Support:
    """The events from which copies are learnt, for P prefixes of each history at once.

    Args:
        e: float [B, T, E], choice embedding of each event's item, already divided by sqrt(E).
        bias: float [B, T], choice bias of each event's item.
        seen: what was chosen.
        inside: float [B, P, T], 1 where the event is in the prefix.
        age: float [B, P, T], decisions since the event; 0 where it is not in the prefix.
    """

    e: Array
    bias: Array
    seen: Outcomes
    inside: Array
    age: Array


class Adapter(Protocol):
    """A way to learn a user's copy; pure, batched, the same on numpy and torch."""

    @property
    def name(self) -> str:
        """As in a manifest."""

    @property
    def sees_session(self) -> bool:
        """Whether h(s) may see the user's events."""

    def init(self, spec: Spec, rng: np.random.Generator) -> dict[str, FloatArray]:
        """Fresh parameters of this adapter by name, float32."""

    def adapt(self, params: Params, spec: Spec, support: Support) -> Array:
        """The fast vectors of all prefixes: [B, P, E]. An empty prefix gives exactly the prior."""


def prior(params: Params, support: Support) -> Array:
    """u0 of every user and prefix: [B, P, E]."""
    xp = namespace(support.inside)
    users, prefixes, _ = support.inside.shape
    return xp.broadcast_to(params["prior"], (users, prefixes, params["prior"].shape[-1]))


def evidence_params(forgetting: float = 4.6) -> dict[str, FloatArray]:
    """Parameters of `evidence`: the logit of the decay per decision, and how outcomes weigh."""
    return {
        "evidence.decay": np.asarray(forgetting, np.float32),
        "evidence.outcome": np.asarray([0.5413, 0.0, 0.0], np.float32),  # softplus(.5413) = 1
    }


def evidence(params: Params, support: Support) -> tuple[Array, Array]:
    """How much each event counts: older ones less, and by what was chosen.

    Returns:
        float [B, P, T] weights, and float [B, P, 1] effective number of decisions.
    """
    xp = namespace(support.inside)
    recency = support.inside * xp.exp(xp.log(sigmoid(params["evidence.decay"])) * support.age)
    w = params["evidence.outcome"]
    outcome = softplus(w[0] + w[1] * support.seen.any_chosen + w[2] * support.seen.reward)
    decisions = xp.sum(recency * support.seen.share[:, None, :], axis=-1)[..., None]
    return recency * outcome[:, None, :], decisions


def logits(u: Array, support: Support) -> Array:
    """Choice logits of the support under fast vectors: u [B, P, E] -> [B, P, T]."""
    xp = namespace(u)
    return u @ xp.matrix_transpose(support.e) + support.bias[:, None, :]
