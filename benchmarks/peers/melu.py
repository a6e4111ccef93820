"""MeLU (Lee et al. 2019): MAML (Finn et al. 2017) on rewards, the decision layers of a rating network adapted by user.

A user and an item are embedded, and a decision network of two hidden layers predicts the reward of the pair. Only its
layers take inner gradient steps on the squared errors of the support; embeddings move in the outer loop, on the events
after the support, at the adapted layers and to second order. Deviations: items have an id embedding beside their
features, without which one item is much like another, and the inner rate is tuned instead of 5e-6.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.peers.group import Group
from meta.coldstart import Scorer
from meta.tasks import windows
from meta.types import Context, Events, FloatArray

WIDTH, HIDDEN = 16, 32
"""Width of an embedding, units of a decision layer."""
ITERATIONS, BATCH, RATE, DECAY = 300, 32, 3e-3, 0.3
"""Outer steps, users in each, AdamW's step size and weight decay: rare items must not keep what a few rewards said."""
SUPPORT, QUERY = 20, 40
"""Longest support, and events after it that are predicted."""
LEAST = 3
"""Likes that an item needs to be ranked by its predicted reward."""
TOGETHER = 8
"""Users scored at once."""

Tensors = dict[str, torch.Tensor]
LAYERS = ("w1", "b1", "w2", "b2", "w3", "b3")


def melu(group: Group, inner_rate: float, inner_steps: int, least: int = LEAST) -> Scorer:
    """Score by the reward that the network predicts once its decision layers have seen the support.

    Items that hardly anybody liked come last, as in our own policy: what is said of them rests on their features alone.

    Args:
        group: who is learnt from.
        inner_rate: step size on the support.
        inner_steps: steps on the support.
        least: likes that an item needs not to come last; 0 where rewards are what is wanted.
    """
    features = torch.from_numpy(group.catalogue.features)
    rare = np.flatnonzero(group.log.positives(group.users) < least)
    params = _learn(group, features, inner_rate, inner_steps)

    def score(events: Events, context: Context) -> FloatArray:
        parts = np.array_split(np.arange(events.users), -(-events.users // TOGETHER))
        with torch.no_grad():
            items = _items(params, features)
        done = []
        for rows in parts:
            some = events.map(lambda x, rows=rows: x[rows])  # type: ignore[misc]
            user = _user(params, context.attributes[rows])
            fast = adapt(params, user, items[np.maximum(some.item, 0)], some, inner_rate, inner_steps)
            with torch.no_grad():
                done.append(decide(fast, user, items[None]).numpy())
        scores = np.concatenate(done)
        scores[:, rare] = scores.min() - 1.0  # no row where least is 0
        return scores

    return score


def decide(layers: Tensors, user: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """The decision network with layers of each user's own: user [B, W], items [B or 1, n, W] -> rewards [B, n]."""
    x = torch.relu(items @ layers["w1"][:, WIDTH:] + (user[:, None] @ layers["w1"][:, :WIDTH]) + layers["b1"])
    x = torch.relu(x @ layers["w2"] + layers["b2"])
    return (x @ layers["w3"] + layers["b3"])[..., 0]


def adapt(params: Tensors, user: torch.Tensor, items: torch.Tensor, events: Events, rate: float, steps: int) -> Tensors:
    """The layers after gradient steps on the mean squared error of each support; as they were without an event.

    Args:
        params: shared parameters.
        user: float [B, W].
        items: float [B, T, W], of the events.
        events: the supports [B, T].
        rate: step size.
        steps: number of steps.
    """
    fast = {name: params[name].expand(len(user), *params[name].shape[1:]) for name in LAYERS}
    reward, mask = torch.as_tensor(events.reward), torch.as_tensor(events.mask).float()
    for _ in range(steps):
        error = mask * (decide(fast, user, items) - reward) ** 2
        loss = (error.sum(1) / mask.sum(1).clamp(min=1.0)).sum()
        slopes = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
        fast = {name: layer - rate * slope for (name, layer), slope in zip(fast.items(), slopes, strict=True)}
    return fast


def _learn(group: Group, features: torch.Tensor, inner_rate: float, inner_steps: int) -> Tensors:
    log, rng = group.log, np.random.default_rng(0)
    params = _initial(log.items, features.shape[1], group.attributes.shape[1])
    optimiser = torch.optim.AdamW(params.values(), RATE, weight_decay=DECAY)
    users = group.users[log.lengths[group.users] >= 2]
    for _ in range(ITERATIONS):
        chosen = rng.choice(users, BATCH)
        size = rng.integers(0, np.minimum(SUPPORT, log.lengths[chosen] - 1) + 1)
        start = log.offsets[chosen] + (rng.random(BATCH) * (log.lengths[chosen] - size)).astype(np.int64)
        support = windows(log, start, start + size, SUPPORT)
        query = windows(log, start + size, log.offsets[chosen + 1], QUERY)
        items = _items(params, features)
        user = _user(params, group.attributes[chosen])
        fast = adapt(params, user, items[np.maximum(support.item, 0)], support, inner_rate, inner_steps)
        mask = torch.as_tensor(query.mask).float()
        error = mask * (decide(fast, user, items[np.maximum(query.item, 0)]) - torch.as_tensor(query.reward)) ** 2
        optimiser.zero_grad()
        torch.autograd.backward(error.sum() / mask.sum())
        torch.nn.utils.clip_grad_norm_(params.values(), 10.0)
        optimiser.step()
    return {name: value.detach().requires_grad_() for name, value in params.items()}


def _initial(items: int, features: int, attributes: int) -> Tensors:
    """Fresh parameters; the decision layers with one user in front, to be spread over all."""
    noise = torch.Generator().manual_seed(0)
    shapes = {
        "id": (items, WIDTH), "features": (features, WIDTH), "attributes": (attributes, WIDTH), "nobody": (WIDTH,),
        "w1": (1, 2 * WIDTH, HIDDEN), "b1": (1, 1, HIDDEN), "w2": (1, HIDDEN, HIDDEN), "b2": (1, 1, HIDDEN),
        "w3": (1, HIDDEN, 1), "b3": (1, 1, 1),
    }  # fmt: skip
    spread = {"features": 0.3, "attributes": 0.3, "nobody": 0.1, "w1": 0.18, "w2": 0.18, "w3": 0.18}
    return {
        name: (spread.get(name, 0.0) * torch.randn(shape, generator=noise)).requires_grad_()
        for name, shape in shapes.items()
    }


def _items(params: Tensors, features: torch.Tensor) -> torch.Tensor:
    return params["id"] + features @ params["features"]


def _user(params: Tensors, attributes: FloatArray) -> torch.Tensor:
    return params["nobody"] + torch.as_tensor(attributes) @ params["attributes"]
