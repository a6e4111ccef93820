"""Meta-training from a service's own decision log: what was shown, how likely, and what users did then.

The losses are those of worlds (`world_losses`), on blocks of a logbook instead of remembered episodes: the likelihood
of choices, conditional on what was shown, and the TD error of the values they led to. As another policy decided, TD
errors are weighed by how likely the policy that learns would have shown the same slate, clipped and self-normalised,
and returns are cut where it would not have (`off_policy`). A logged policy that goes on learning from what it has
shown starts with weights of 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meta.adapters import ADAPTERS
from meta.adapters.port import alert
from meta.catalogue import Catalogue
from meta.checkpoint import Checkpoint, Manifest, PolicyError, save
from meta.columns import Column
from meta.errors import InputError
from meta.logbook import Logbook
from meta.spec import Spec
from meta.trainer import descent
from meta.trainer.budget import Budget, Pace
from meta.trainer.off_policy import Logged
from meta.trainer.settings import from_json
from meta.trainer.slate_learner import Learning, SlateLearner
from meta.trainer.snapshots import Snapshot, Snapshots
from meta.trainer.world_losses import Block, Targets, spread
from meta.types import BoolArray, IntArray

SHAPE = ("width", "hidden", "tower", "steps", "order", "inner_rate", "remember", "alert", "history")
"""Settings that a policy which goes on learning brings along."""
VALUES = ("item.q.", "taste.q", "taste.m", "advantage.")
"""How the names of parameters begin that say what items are worth."""
WHOLE = 256
"""Items that stand for the whole catalogue on offer where it has more; such decisions are not weighed."""
TRIAL = 2
"""Iterations that are timed where the time is limited."""


@dataclass(frozen=True, slots=True)
class Settings(Learning):
    """How to learn from a decision log, beside how to learn from slates.

    Args:
        revalue: whether a policy that goes on learning also learns anew what items are worth to the future, or only
            what is chosen. Regressed on clicks, items are worth too much, which a world mends by trying prices
            (`prices`); nothing can be tried in a log.
        largest: what an importance weight of a decision is clipped at; without exploration nothing is weighed.
        step_s: seconds between two decisions that count as one step of time; 0: every decision is one step.
        gone_s: seconds before the log's last decision from which on who has not come back is gone for good, so that
            nothing more is to be earned of them; 0: everybody may still come back, and nothing is learnt of the value
            of what was last shown to them.
    """

    iterations: int = 40
    rate: float = 2e-3
    exploration: float = 0.3
    revalue: bool = False
    largest: float = 1.0
    step_s: float = 0.0
    gone_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one iteration reports.

    Args:
        iteration: counted from 1.
        iterations: how many there will be.
        choice_loss, td_loss: means over the iteration's gradient steps.
    """

    iteration: int
    iterations: int
    choice_loss: float
    td_loss: float


def train(
    book: Logbook,
    catalogue: Catalogue,
    out: Path,
    *,
    start: Checkpoint | None = None,
    context: tuple[Column, ...] = (),
    about: dict[str, Any] | None = None,
    adapter: str = "maml",
    seed: int = 0,
    settings: Settings | None = None,
    git_revision: str = "",
    resume: bool = False,
    budget: Budget | None = None,
    keep_every: float = 10.0,
) -> Iterator[Metrics]:
    """Train a policy on a log and save it to `out` after the last metrics.

    Args:
        book: the log, in the rows of `catalogue`.
        catalogue: all items.
        out: the policy folder to write.
        start: a policy that goes on learning (see `fitting`); None: one from fresh parameters.
        context: how the requests' contexts are encoded.
        about: what the log is, for the manifest.
        adapter, seed, settings, git_revision, resume, budget, keep_every: as in `worlds.train`.

    Raises:
        InputError: no adapter has this name, or the log is empty.
        PolicyError: `start` cannot learn from this.
        SnapshotError, BudgetError, FloatingPointError: as in `worlds.train`.
    """
    how, budget = settings or Settings(), budget or Budget()
    if adapter not in ADAPTERS or ADAPTERS[adapter].learns_as != adapter:
        able = ", ".join(name for name, each in ADAPTERS.items() if each.learns_as == name)
        raise InputError(f"adapter must be one of {able} to learn from decisions, got {adapter!r}")
    if not len(book):
        raise InputError("there are no decisions to learn from")
    spec = _spec(book, catalogue, adapter, how) if start is None else fitting(start, catalogue)
    how = replace(how, steps=spec.steps)
    run = {
        "kind": "decisions", "data": f"{len(book)} {catalogue.fingerprint} {float(book.reward.sum())}", "seed": seed,
        "start": "" if start is None else start.version, "adapter": spec.adapter, "settings": asdict(how),
    }  # fmt: skip
    snapshots = Snapshots(out, run, keep_every)
    state = snapshots.found() if resume else None
    drawer = _Drawer(book, len(catalogue), spec.history, how)

    def fresh() -> tuple[SlateLearner, np.random.Generator]:
        rng = np.random.default_rng(seed)
        by_slate = replace(spec, history=max(1, round(spec.history / book.events_by_slate)))
        returns = Targets(how.discount, 1.0, how.mix, 0, how.double, how.exploration, how.largest)
        params = None if start is None else start.params
        fixed = () if start is None or how.revalue else VALUES
        return SlateLearner(by_slate, catalogue.features, rng, how, returns, params, fixed), rng

    if state is not None:
        how = from_json(Settings, state.facts["settings"])
    elif budget.limited:
        learner, rng = fresh()
        _iterate(learner, drawer, rng, how, 0)  # the first one warms up
        pace = Pace()
        for iteration in range(TRIAL):
            _iterate(learner, drawer, rng, how, iteration)
        how = replace(how, iterations=budget.fitting(how.iterations, pace.seconds(TRIAL)))
    learner, rng = fresh()
    done, choice, td = 0, 0.0, 0.0
    if state is not None:
        learner.resume(state)
        rng.bit_generator.state = state.facts["rng"]
        done, (choice, td) = state.facts["iteration"], state.facts["losses"]
    for iteration in range(done, how.iterations):
        with descent.iteration(iteration + 1):
            choice, td = _iterate(learner, drawer, rng, how, iteration)
        facts = {"settings": asdict(how), "iteration": iteration + 1, "losses": [choice, td]}
        snapshots.keep(lambda: _snapshot(learner, rng, facts))  # noqa: B023 - at once
        yield Metrics(iteration + 1, how.iterations, choice, td)
    learnt = learner.learnt()
    if start is None:  # who goes on learning has been made alert before
        learnt = alert(learnt, how.alert)
    scale = spread(learner.params, learner.spec, learner.features, drawer.draw(rng)) if how.exploration else 0.0
    trained_on = {"kind": "decisions", "decisions": len(book), "users": len(np.unique(book.user)), "seed": seed}
    trained_on |= {"start": run["start"], **(about or {}), "settings": asdict(how)}
    manifest = Manifest(
        spec,
        temperature=how.exploration * scale,
        reward_range=(min(0.0, float(book.reward.min())), max(1.0, float(book.reward.max()))),
        trained_on=trained_on,
        metrics={"choice_loss": choice, "td_loss": td},
        git_revision=git_revision,
        context=context,
    )
    save(out, manifest, learnt, catalogue)
    snapshots.remove()


def fitting(start: Checkpoint, catalogue: Catalogue) -> Spec:
    """The shape of a policy that goes on learning from a log, of these items.

    Raises:
        PolicyError: it knows what no log tells, or items by other features.
    """
    spec, anew = start.manifest.spec, "train without --from, with --items"
    if spec.slate != "logit" or spec.neighbours or spec.eras or spec.groups:
        raise PolicyError(f"the policy to go on from must choose among slates, not judge items one by one; {anew}")
    if spec.attributes:
        raise PolicyError(f"the policy to go on from reads users' attributes, and a decision log names nobody; {anew}")
    if catalogue.columns != start.catalogue.columns:
        raise PolicyError(f"the items must have the features of the policy to go on from; {anew}")
    if spec.item_ids and catalogue.fingerprint != start.catalogue.fingerprint:
        raise PolicyError(f"the policy to go on from has learnt its items one by one and takes no others; {anew}")
    return replace(spec, items=len(catalogue))


def _spec(book: Logbook, catalogue: Catalogue, adapter: str, how: Settings) -> Spec:
    return Spec(
        items=len(catalogue), features=catalogue.features.shape[1], width=how.width, hidden=how.hidden, tower=how.tower,
        slate="logit", adapter=adapter, context=book.context.shape[1], steps=how.steps, order=how.order,
        history=how.history, discount=how.discount,
    )  # fmt: skip


def _iterate(
    learner: SlateLearner, drawer: _Drawer, rng: np.random.Generator, how: Settings, iteration: int
) -> tuple[float, float]:
    """Mean choice loss and TD loss of an iteration's steps."""
    progress = iteration / how.iterations
    found = [learner.learn(drawer.draw(rng), None, progress) for _ in range(how.updates)]
    return float(np.mean([x.choice.item() for x in found])), float(np.mean([x.td.item() for x in found]))


def _snapshot(learner: SlateLearner, rng: np.random.Generator, facts: dict[str, Any]) -> Snapshot:
    of = learner.snapshot()
    return Snapshot(of.arrays, of.facts | {"rng": rng.bit_generator.state} | facts)


class _Drawer:
    """Draws blocks of a logbook: `how.batch` users, `how.block` decisions in a row."""

    def __init__(self, book: Logbook, items: int, history: int, how: Settings) -> None:
        self._book, self._items, self._history, self._how = book, items, history, how
        self._everything: BoolArray = ~np.asarray((book.offer >= 0).any(1))
        self._gone = np.zeros(len(book), bool)
        if how.gone_s:
            self._gone = book.time_ms < book.time_ms.max() - 1_000 * how.gone_s

    def draw(self, rng: np.random.Generator) -> Block:
        """A block."""
        book, how = self._book, self._how
        at, active = book.window(book.starts(how.batch, how.block, rng), how.block + 1)
        now, active, last = at[:, :-1], active[:, :-1], at[:, :-1] == book.last[at[:, :-1]]
        events, prefix = book.histories(at, _after(at, book.last), self._history)
        offer = self._offers(at, rng)
        reward = book.reward[now]
        liked = reward > 0
        elapsed = np.ones(now.shape, np.float32)
        if how.step_s:
            elapsed = ((book.time_ms[at[:, 1:]] - book.time_ms[now]) / (1_000 * how.step_s)).astype(np.float32)
        tensor = torch.from_numpy
        weighed, followed = ~self._sampled(now), ~last | self._gone[now]
        logged = Logged(tensor(offer[:, :-1]), tensor(book.log_propensity[now]), tensor(weighed), tensor(followed))
        return Block(
            events.map(tensor), tensor(prefix), tensor(book.slate[now].astype(np.int64)),
            tensor((liked / np.maximum(liked.sum(-1, keepdims=True), 1)).astype(np.float32)),
            tensor(reward.sum(-1)), tensor(book.context[at]), tensor(offer[:, 1:]), tensor(elapsed),
            tensor(last & self._gone[now]), tensor(active), logged,
        )  # fmt: skip

    def _sampled(self, at: IntArray) -> BoolArray:
        """Where the offer is a part only of what could be shown."""
        return self._everything[at] & (self._items > WHOLE)

    def _offers(self, at: IntArray, rng: np.random.Generator) -> IntArray:
        """Rows on offer [B, P, C]; of a whole catalogue that is too large, what was shown and others at random."""
        given, everything = self._book.offer[at], self._everything[at]
        if not everything.any():
            return given.astype(np.int64)
        some = np.arange(self._items) if self._items <= WHOLE else rng.choice(self._items, WHOLE, replace=False)
        shown = self._book.slate[at]
        others = np.broadcast_to(some, (*at.shape, len(some)))
        all_ = np.concatenate([shown, np.where((others[..., None] == shown[..., None, :]).any(-1), -1, others)], -1)
        width = max(all_.shape[-1], given.shape[-1])
        wide = np.full((*at.shape, width), -1, np.int64)
        wide[..., : given.shape[-1]] = given
        full = np.full_like(wide, -1)
        full[..., : all_.shape[-1]] = all_
        return np.where(everything[..., None], full, wide)


def _after(at: IntArray, last: IntArray) -> BoolArray:
    """Where a place [B, P] is after its user's last decision: where that stands for it once more."""
    return np.concatenate([np.zeros((len(at), 1), bool), (at[:, 1:] == at[:, :-1]) & (at[:, 1:] == last[at[:, 1:]])], 1)
