"""Small random inputs shared by the tests of the learning core."""

from __future__ import annotations

import numpy as np

from meta import q_network
from meta.catalogue import Catalogue
from meta.checkpoint import Manifest
from meta.spec import Spec
from meta.types import Events, FloatArray

ITEMS, FEATURES = 50, 3


def histories(rng: np.random.Generator, users: int = 4, decisions: int = 6, slate: int = 2) -> Events:
    """Random histories of slates in which at most one item is chosen; user 0 has no history."""
    events = decisions * slate
    length = rng.integers(1, decisions + 1, users)
    length[0] = 0
    group = np.broadcast_to(np.arange(events) // slate, (users, events))
    mask = group < length[:, None]
    item = np.where(mask, rng.integers(0, ITEMS, (users, events)), -1)
    chosen = rng.integers(0, slate + 1, (users, decisions))
    reward = (np.arange(slate) == chosen[..., None]).reshape(users, events).astype(np.float32) * mask
    time_ms = np.where(mask, 1_700_000_000_000 + 1000 * np.arange(events), 0)
    return Events(item, reward, np.where(mask, group, 0), mask, length, time_ms)


def catalogue(rng: np.random.Generator) -> Catalogue:
    """`ITEMS` items of `FEATURES` plain features."""
    features = rng.standard_normal((ITEMS, FEATURES)).astype(np.float32)
    return Catalogue.from_features([f"item-{i}" for i in range(ITEMS)], features, ["a", "b", "c"])


def spec(adapter: str, **changes: object) -> Spec:
    """A small network."""
    values = {"items": ITEMS, "features": FEATURES, "width": 5, "hidden": 7, "steps": 2, "slate": "logit", "tower": 4}
    return Spec(**(values | {"adapter": adapter, "item_ids": True} | changes))  # type: ignore[arg-type]  # test shorthand


def lively(params: dict[str, FloatArray], rng: np.random.Generator) -> dict[str, FloatArray]:
    """Parameters with nothing left at zero, so that every term of the maths shows."""
    return {k: (v + 0.3 * rng.standard_normal(v.shape)).astype(np.float32) for k, v in params.items()}


def checkpoint_parts(adapter: str = "maml", **changes: object) -> tuple[Manifest, dict[str, FloatArray], Catalogue]:
    """What `meta.checkpoint.save` takes."""
    rng = np.random.default_rng(5)
    shape = spec(adapter, **changes)
    return Manifest(shape), lively(q_network.init(shape, rng), rng), catalogue(rng)
