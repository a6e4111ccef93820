"""A log of users of two tastes, small enough to learn from in a second."""

from __future__ import annotations

import numpy as np

from meta.catalogue import Catalogue
from meta.dataset import Interactions
from meta.trainer.log_learner import Settings

SMALL = Settings(
    iterations=30,
    batch=24,
    prefixes=2,
    judge_every=10,
    width=8,
    hidden=4,
    neighbours=10,
    penalty=(20.0,),
    validation=0.25,
)


def tastes(users: int = 80, items: int = 60) -> tuple[Interactions, Catalogue]:
    """Users of two tastes, 30 events each: they like all of their half of the catalogue, nothing of the other."""
    rng = np.random.default_rng(0)
    item = np.stack([rng.permutation(items)[:30] for _ in range(users)])
    reward = (item < items // 2) == (np.arange(users) % 2 == 0)[:, None]
    log = Interactions(
        np.repeat(np.arange(users), 30).astype(np.int32), item.ravel().astype(np.int32),
        reward.ravel().astype(np.float32), np.tile(np.arange(30) * 1000, users), tuple(map(str, range(users))),
        "tastes",
    )  # fmt: skip
    return log, Catalogue.from_features([f"i{row}" for row in range(items)], np.zeros((items, 1)), ["nothing"])
