"""A small population that is known to the last number, and the log that it leaves."""

from __future__ import annotations

import numpy as np

from meta.catalogue import Catalogue
from meta.dataset import Interactions
from simulators.population import Population

USERS, ITEMS, WIDTH = 400, 40, 2


def catalogue(items: int = ITEMS + 3) -> Catalogue:
    """Items of two plain features; the last three are liked by nobody."""
    features = np.random.default_rng(0).standard_normal((items, 2))
    return Catalogue.from_features([f"item-{i}" for i in range(items)], features, ["a", "b"])


def population() -> Population:
    """Users and items of normal factors; an item shown alone is chosen about two times in five."""
    rng = np.random.default_rng(1)
    taste, item = 1.2 * rng.standard_normal((USERS, WIDTH)), rng.standard_normal((ITEMS, WIDTH))
    bias = 0.7 * rng.standard_normal(ITEMS)
    rows = np.arange(ITEMS)
    return Population("known", catalogue(), rows, taste, item, bias - bias.mean(), np.ones(ITEMS), 1.0, 0.0)


def log(likes: int = 40, others: int = 10) -> Interactions:
    """So many likes of each user by the known chances, and events of random items that were not liked."""
    rng, chances = np.random.default_rng(2), population().chances()
    liked = (rng.random((USERS, likes, 1)) > chances.cumsum(1)[:, None]).sum(-1)
    item = np.concatenate([np.minimum(liked, ITEMS - 1), rng.integers(ITEMS, size=(USERS, others))], 1)
    reward = np.broadcast_to(np.arange(likes + others) < likes, item.shape)
    user = np.repeat(np.arange(USERS), likes + others)
    return Interactions(
        user.astype(np.int32), item.ravel().astype(np.int32), reward.ravel().astype(np.float32),
        np.arange(item.size), tuple(f"user-{u}" for u in range(USERS)), "small.csv",
    )  # fmt: skip
