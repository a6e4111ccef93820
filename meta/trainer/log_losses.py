"""Where a learner of logged data starts, and what it minimises."""

from __future__ import annotations

import math

import numpy as np
import torch

from meta import eras, groups, neighbours, q_network
from meta.spec import Spec
from meta.td import conservatism, double_q_target, elapsed_discount, huber
from meta.trainer.log_batches import Batch
from meta.types import FloatArray, IntArray

Tensors = dict[str, torch.Tensor]
DAY_MS = 86_400_000


def initial(spec: Spec, likes: FloatArray, actions: IntArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    """Fresh parameters that rank by popularity.

    Args:
        spec: the shape of the network.
        likes: float [N], positive training events of each item.
        actions: int [A], rows of the items with an embedding of their own.
        rng: draws the embeddings.
    """
    params = q_network.init(spec, rng)
    rare = np.ones(spec.items, bool)
    rare[actions] = False
    for head in ("v", "q"):
        for name in (f"item.{head}.id", f"item.{head}.linear"):
            std = 0.05 * math.sqrt(spec.width)  # e is divided by sqrt(E): .05 a coordinate is what worked
            params[name] = (std * rng.standard_normal(params[name].shape)).astype(np.float32)
        params[f"item.{head}.id"][rare] = 0.0
    params["item.q.id_bias"] = (np.log1p(likes) - 2.0 * rare).astype(np.float32)
    params["prior"] = np.zeros(spec.width, np.float32)  # nobody known: popularity itself
    params["advantage.log_scale"] = np.asarray(-3.0, np.float32)  # rewards are in 0..1, logits in 0..8
    if "maml.met" in params:
        params["maml.met"] = np.asarray(0.3, np.float32)  # in a log of choices, to meet an item is a choice too
    return params


def losses(
    params: Tensors,
    target: Tensors,
    spec: Spec,
    features: torch.Tensor,
    actions: torch.Tensor,
    batch: Batch,
    power: float,
    discount: torch.Tensor | float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross-entropy of all later likes, nats, and the Huber loss of Q at each first prefix's next event.

    Args:
        params, target: online parameters, which learn, and the target's, which do not; the levels of `eras` are those
            of the actions.
        spec: their shape.
        features: float [N, F].
        actions: int [A], rows of the items that are ranked.
        batch: what was drawn.
        power: a user counts as (number of later likes) ^ power.
        discount: gamma of each first prefix's next event, float [B] or one for all, see `discounts`.
    """
    value, advantage = evaluate(params, spec, features, actions, batch)
    open_ = torch.from_numpy(batch.open)
    weight = torch.from_numpy(batch.weight) ** power * torch.from_numpy(batch.weight > 0)
    # At the scale of the advantage, where it is the cross-entropy of all that the user liked later.
    entropy = conservatism(advantage[:, :-1], open_[:, :-1], torch.from_numpy(batch.liked))
    loss = (weight * entropy).sum() / weight.sum().clamp(min=1.0)
    scale = params["advantage.log_scale"].exp()
    action = torch.from_numpy(batch.action)
    q = value[:, 0] + scale * advantage[:, 0].gather(-1, action.clamp(min=0)[:, None])[:, 0]
    with torch.no_grad():
        next_online = value[:, -1:] + scale * advantage[:, -1]
        then, judged = evaluate(target, spec, features, actions, batch, slice(-1, None))
        next_target = then + target["advantage.log_scale"].exp() * judged[:, -1]
        reward = torch.from_numpy(batch.reward)
        y = double_q_target(reward, torch.zeros_like(reward) + discount, next_online, next_target, open_[:, -1])
    known = (action >= 0).to(q.dtype)
    return loss, (known * huber(q - y)).sum() / known.sum().clamp(min=1.0)


def discounts(now_ms: IntArray, discount: float, days: float) -> torch.Tensor:
    """Discounts, float [B], of the step from each first prefix to the state after its next event.

    Args:
        now_ms: int [B, P + 1], time of the event that follows each prefix, the first one's next state last.
        discount: gamma, 0..1.
        days: the days that are discounted by gamma; 0 discounts every event alike.
    """
    if not days:
        return torch.full((len(now_ms),), discount)
    elapsed = torch.from_numpy((now_ms[:, -1] - now_ms[:, 0]) / DAY_MS).float()
    between: torch.Tensor = elapsed_discount(discount, elapsed, days)
    return between


def evaluate(
    params: Tensors,
    spec: Spec,
    features: torch.Tensor,
    actions: torch.Tensor,
    batch: Batch,
    some: slice = slice(None),  # a slice is immutable
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return V(s) [B, P] and the unscaled advantages [B, P, A] of some prefixes of a batch."""
    table = q_network.items(params, spec, features)
    events = batch.events.map(lambda x: torch.from_numpy(np.ascontiguousarray(x)))
    known, prefix = batch.known.some(some), torch.from_numpy(batch.prefix[:, some])
    belief = q_network.believe(params, spec, table, events, prefix, known.map(torch.from_numpy))
    advantage = belief.taste_q @ table.e_q[actions].T + table.b_q[actions]
    if spec.neighbours:
        fade = neighbours.fade(params, torch.from_numpy(batch.evidence[:, some]))
        advantage = advantage + fade[..., None] * torch.from_numpy(batch.recalled[:, some])
    if spec.eras:
        era = torch.from_numpy(eras.place(params, known.now_ms))
        advantage = advantage + eras.term(params, params[eras.LEVEL][era], params[eras.EVER], era > 0)
    if spec.groups:
        fade = groups.fade(params, prefix.clamp(max=spec.history).to(advantage.dtype))
        advantage = advantage + fade[..., None] * torch.from_numpy(batch.told)[:, None]
    return belief.value, advantage
