"""What one user's adaptation costs: each adapter by number of events, in numpy, and the size of the stored copy.

The policy has the shape of the default on MovieLens latest-small (10,000 items, 48 floats of taste). What is timed is
what the service does: `Policy.adapt` of one user's whole history with its gate, `Policy.rank` of 100 candidates, and
for a streaming adapter `Policy.advance` by one event. Adapters take turns of ten calls each: a noisy machine is noisy
for all. The first call of each turn meets caches that eight other policies have filled, which no server does, as it has
one policy; what those calls cost is a column of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.report import RESULTS, Claim, write
from meta import q_network
from meta.adapters import ADAPTERS
from meta.catalogue import Catalogue
from meta.checkpoint import Checkpoint, Manifest
from meta.policy import Policy
from meta.spec import Scope, Spec
from meta.types import Events, FloatArray
from service.store.copies import Packing

EVENTS = (1, 5, 20, 50, 64, 128)
CLAIMED = 50
"""Events at which times are promised."""
ITEMS, FEATURES, CANDIDATES = 10_000, 20, 100
TURN = 10
"""Calls in a row of one adapter."""
LIMITS_MS = {"head": 0.15, "network": 0.5}
STEP_MS, COPY_BYTES = 0.05, 300


@dataclass(frozen=True, slots=True)
class Contestant:
    """An adapter in a policy of random weights."""

    name: str
    scope: Scope
    policy: Policy

    @property
    def label(self) -> str:
        """As in the table."""
        return self.name if self.scope == "head" else f"{self.name}, network"


def run(out: Path = RESULTS / "adapt.json", rounds: int = 300) -> dict[str, Any]:
    """Time every adapter at every length, write the result and return it."""
    rng = np.random.default_rng(0)
    field = [_contestant(name, "head") for name in ADAPTERS] + [_contestant("maml", "network")]
    adapt: dict[tuple[str, int], FloatArray] = {}
    advance: dict[str, FloatArray] = {}
    for events in EVENTS:
        history = _history(events, rng)
        for each, times in zip(field, _timed([_adapt(each, history) for each in field], rounds), strict=True):
            adapt[each.label, events] = times
        if events == CLAIMED:
            streaming = [each for each in field if each.policy.streams]
            advance = {
                each.label: times
                for each, times in zip(
                    streaming, _timed([_step(each, history) for each in streaming], rounds), strict=True
                )
            }
            score = dict(
                zip(
                    [each.label for each in field],
                    _timed([_rank(each, history) for each in field], rounds),
                    strict=True,
                )
            )
    rows = [_row(each, adapt, advance, score) for each in field]
    return write(out, command="quickstudy bench adapt", rows=rows, claims=_claims(field, adapt, advance), rounds=rounds)


def _contestant(name: str, scope: Scope) -> Contestant:
    rng = np.random.default_rng(0)
    spec = Spec(
        items=ITEMS, features=FEATURES, width=48, hidden=16, item_ids=True, adapter=name, scope=scope, history=128
    )
    features = rng.standard_normal((ITEMS, FEATURES)).astype(np.float32)
    catalogue = Catalogue.from_features(
        [f"i{row}" for row in range(ITEMS)], features, [f"f{column}" for column in range(FEATURES)]
    )
    return Contestant(name, scope, Policy(Checkpoint(Manifest(spec), q_network.init(spec, rng), catalogue, "0")))


def _history(events: int, rng: np.random.Generator) -> Events:
    at = np.arange(events)[None]
    item = rng.integers(0, ITEMS, (1, events))
    reward = (rng.random((1, events)) < 0.5).astype(np.float32)
    return Events(item, reward, at, np.ones((1, events), bool), np.array([events]), 1_700_000_000_000 + 60_000 * at)


def _adapt(each: Contestant, history: Events) -> Any:
    return lambda: each.policy.adapt(history)


def _step(each: Contestant, history: Events) -> Any:
    newest = np.arange(CLAIMED)[None] == CLAIMED - 1
    before = each.policy.adapt(history)
    return lambda: each.policy.advance(before, history, newest)


def _rank(each: Contestant, history: Events) -> Any:
    copy = each.policy.adapt(history).copy
    rows = np.random.default_rng(1).permutation(ITEMS)[None, :CANDIDATES]
    one, cold = np.full(1, 10), np.zeros(1)
    return lambda: each.policy.rank(copy, history, rows, slate_size=one, temperature=cold, seed=one.astype(np.uint64))


def _timed(calls: list[Any], rounds: int) -> list[FloatArray]:
    """Milliseconds of each call, [rounds] each, in turns of `TURN`, after one turn that does not count."""
    times = np.empty((len(calls), rounds))
    for start in range(-TURN, rounds, TURN):
        for place, call in enumerate(calls):
            for round_ in range(start, min(start + TURN, rounds)):
                started = perf_counter()
                call()
                times[place, round_] = 1e3 * (perf_counter() - started)
    return list(times)


def _row(
    each: Contestant,
    adapt: dict[tuple[str, int], FloatArray],
    advance: dict[str, FloatArray],
    score: dict[str, FloatArray],
) -> dict[str, Any]:
    cells = {f"{events} events": _cell(adapt[each.label, events]) for events in EVENTS}
    step = _cell(advance[each.label]) if each.label in advance else ""
    rest = {
        f"{CLAIMED}, first of a turn": _cell(adapt[each.label, CLAIMED][::TURN]),
        "one more event": step,
        f"rank {CANDIDATES}": _cell(score[each.label]),
    }
    return {"ms p50 / p99": each.label} | cells | rest | {"copy, bytes": Packing(each.policy).size}


def _cell(times: FloatArray) -> str:
    low, high = np.quantile(times, (0.5, 0.99))
    return f"{low:.3f} / {high:.3f}"


def _claims(
    field: list[Contestant], adapt: dict[tuple[str, int], FloatArray], advance: dict[str, FloatArray]
) -> list[Claim]:
    claims = []
    for each in field:
        if each.label in advance:
            p50 = float(np.median(advance[each.label]))
            claims.append(Claim(f"{each.label}: p50 of one more event, ms", p50, "<=", STEP_MS))
        else:
            p50 = float(np.median(adapt[each.label, CLAIMED]))
            claims.append(Claim(f"{each.label}: p50 at {CLAIMED} events, ms", p50, "<=", LIMITS_MS[each.scope]))
        if each.scope == "head":
            claims.append(Claim(f"{each.label}: stored copy, bytes", Packing(each.policy).size, "<=", COPY_BYTES))
    return claims
