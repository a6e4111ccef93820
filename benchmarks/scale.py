"""What ranking a whole catalogue costs by its size: `Policy.rank` of one user among all items, in process.

Parameters and features are drawn, not learnt: what is timed does not depend on their values. Items are described by 8
numbers, tastes have 32 floats, the user has 50 events, and what was seen is left out. Rows tell items that are judged
alone from slates, and the best slate from a draw with its propensities.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.report import RESULTS, Claim, write
from meta import q_network
from meta.catalogue import Catalogue
from meta.checkpoint import Checkpoint, Manifest
from meta.policy import Policy
from meta.spec import Slate, Spec
from meta.types import Events

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LIMITS_MS = {100_000: 6.0, 1_000_000: 40.0}
"""What is promised of the best ten items, judged alone, at the median."""
FEATURES, WIDTH, EVENTS = 8, 32, 50


def run(out: Path = RESULTS / "scale.json", sizes: tuple[int, ...] = SIZES, rounds: int = 50) -> dict[str, Any]:
    """Times every size, writes the result and returns it."""
    rows = []
    medians = {}
    kinds: tuple[Slate, ...] = ("independent", "logit")
    for items in sizes:
        catalogue = _catalogue(items)
        for kind in kinds:
            policy = _policy(catalogue, kind)
            for temperature in (0.0, 0.5):
                p50, p99 = np.quantile(_times(policy, temperature, rounds), (0.5, 0.99)).tolist()
                rows.append(
                    {"items": items, "items are": kind, "temperature": temperature, "p50_ms": p50, "p99_ms": p99}
                )
                medians[items, kind, temperature] = p50
    claims = [
        Claim(
            f"p50 ms, best of {items:,} items judged alone, in process",
            medians.get((items, "independent", 0.0)),
            "<=",
            limit,
        )
        for items, limit in LIMITS_MS.items()
    ]
    return write(out, command="quickstudy bench scale", rows=rows, claims=claims, rounds=rounds)


def _catalogue(items: int) -> Catalogue:
    features = np.random.default_rng(0).standard_normal((items, FEATURES)).astype(np.float32)
    return Catalogue.from_features([f"i{n}" for n in range(items)], features, [f"f{n}" for n in range(FEATURES)])


def _policy(catalogue: Catalogue, kind: Slate) -> Policy:
    spec = Spec(items=len(catalogue), features=FEATURES, width=WIDTH, hidden=16, slate=kind)
    params = q_network.init(spec, np.random.default_rng(0))
    return Policy(Checkpoint(Manifest(spec), params, catalogue, "0"))


def _times(policy: Policy, temperature: float, rounds: int) -> list[float]:
    """Milliseconds of each ranking, after two that do not count."""
    rng = np.random.default_rng(1)
    at = np.arange(EVENTS)[None]
    reward = (rng.random((1, EVENTS)) < 0.5).astype(np.float32)
    events = Events(
        rng.integers(0, len(policy.items), (1, EVENTS)), reward, at, np.ones((1, EVENTS), bool),
        np.array([EVENTS]), 1_700_000_000_000 + 60_000 * at,
    )  # fmt: skip
    copy = policy.adapt(events).copy
    times = []
    for n in range(rounds + 2):
        started = perf_counter()
        policy.rank(
            copy,
            events,
            None,
            slate_size=np.array([10]),
            temperature=np.array([temperature], np.float32),
            seed=np.array([n], np.uint64),
            excluded=events.item,
        )
        times.append(1e3 * (perf_counter() - started))
    return times[2:]
