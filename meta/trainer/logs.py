"""Meta-training from a log: learn from users' pasts to rank what they will like, for users never seen.

A task is a user. A gradient step draws users, a window of each one's history and several prefixes of it; one forward
pass adapts to every prefix. The loss is CQL(H) spread over all that the user liked later, which over a catalogue is the
softmax cross-entropy of a sequence recommender, plus a small double-DQN loss with a Polyak target,

    sum_users n^power * H(liked later, softmax(Adv)) + td_weight * Huber(Q(s, a) - r - gamma Q'(s', argmax Q)),

so the first term orders the items and the second gives Q its scale. Each term of the advantage starts where a good
recommender stands: biases at log popularity, the memory at the regression of neighbours.py.

The stopping point is chosen on validation users; the policy that is saved has then learnt from those too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from meta.adapters import finetune
from meta.catalogue import Catalogue
from meta.checkpoint import save
from meta.coldstart import KS, Queries, by_policy, curve, queries
from meta.dataset import DataError, Interactions
from meta.policy import Policy
from meta.tasks import Sequences, Split, sequences, split_users
from meta.trainer.budget import Budget, Pace
from meta.trainer.log_learner import Learner, Settings
from meta.trainer.sampled_learner import SampledLearner
from meta.trainer.settings import from_json
from meta.trainer.snapshots import Snapshot, Snapshots
from meta.trainer.stopping import Stopping
from meta.types import FloatArray, IntArray

CLEARLY = 0.005
"""NDCG@10 by which validation users must prefer another memory than the default: less is noise."""

LARGEST_REWARD = 1e6
"""Larger ones are out of scale, and sums of their squares overflow."""

LOOK, FEWEST, PART = 2e8, 100, 2e7
"""Users times items of a look where items are many, its fewest users, and users times items that are ranked at once."""

TRIAL = 5
"""Steps that are timed where the time is limited."""

SLACK = 1.2
"""What is left of a budget must cover so many times the work that is left."""

AnyLearner = Learner | SampledLearner

__all__ = ["Metrics", "Settings", "train"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one gradient step reports.

    Args:
        iteration: counted from 1 over both rounds, the one that finds the stopping point and the one that is kept.
        iterations: how many there will be at most.
        loss: cross-entropy of the later likes, nats.
        td_loss: Huber loss of Q.
        ndcg: mean NDCG@10 over k on validation users at the best look; 0 before the first.
        curve: NDCG@10 at each of `meta.coldstart.KS` at the latest look; empty before the first.
    """

    iteration: int
    iterations: int
    loss: float
    td_loss: float
    ndcg: float
    curve: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """What there is to learn: a log whose users are dealt out, and what its validation users will be asked."""

    log: Sequences
    catalogue: Catalogue
    split: Split
    asked: Queries
    adapter: str
    seed: int
    sampled: bool = False
    """Whether there are too many items to rank in full, so that the softmax is sampled and the memory is left out."""

    @classmethod
    def of(cls, interactions: Interactions, catalogue: Catalogue, adapter: str, seed: int, how: Settings) -> Task:
        """Deal the users of a log out; DataError where too little is left to learn from."""
        log = sequences(interactions, len(catalogue))
        split = split_users(len(log.users), seed, how.validation, how.test, how.fold)
        sampled = many(interactions, how)
        looked_at = split.validation
        if sampled:  # a look ranks all items, so at more items there are fewer users to look at
            some = int(np.clip(LOOK / len(catalogue), FEWEST, len(looked_at) or 1))
            looked_at = np.random.default_rng(seed).choice(looked_at, min(some, len(looked_at)), replace=False)
        task = cls(log, catalogue, split, queries(log, looked_at), adapter, seed, sampled)
        _check(log, split, task.asked, interactions.name)
        return task

    def look(self, policy: Policy) -> FloatArray:
        """NDCG@10 of validation users at each k."""
        size = max(1, int(PART / len(self.catalogue)))
        parts = [self.asked.part(slice(at, at + size)) for at in range(0, len(self.asked.users), size)]
        reached: FloatArray = np.concatenate([curve(by_policy(policy), part).ndcg for part in parts]).mean(0)
        return reached


def train(
    interactions: Interactions,
    catalogue: Catalogue,
    out: Path,
    *,
    adapter: str = "maml",
    seed: int = 0,
    settings: Settings | None = None,
    git_revision: str = "",
    resume: bool = False,
    budget: Budget | None = None,
    keep_every: float = 10.0,
) -> Iterator[Metrics]:
    """Train a policy on a log and save it to `out` after the last metrics.

    Users are dealt out by the seed: test users are never looked at, validation users decide the stopping point (and the
    memory, where it matters) and are learnt from only after that. Killed and resumed, a training ends in the same
    policy, to the bit, as one that was left alone; so does one in a budget and one of as many iterations.

    Args:
        interactions: the log.
        catalogue: its items.
        out: the policy folder to write; the state of the training is `OUT.training` beside it until then.
        adapter: a key of `meta.adapters.ADAPTERS`.
        seed: decides the split of the users, parameters and batches.
        settings: how to train.
        git_revision: of the code, for the manifest.
        resume: go on from a killed training's state, where there is one.
        budget: wall time; `settings.iterations` is lowered where they do not fit.
        keep_every: seconds between states, at least.

    Raises:
        DataError: the log has too few users or likes to learn from.
        SnapshotError: the state to resume is damaged or of another training.
        BudgetError: too little time to learn anything.
        FloatingPointError: the loss is no longer finite; nothing is saved.
    """
    how, budget = settings or Settings(), budget or Budget()
    task = Task.of(interactions, catalogue, adapter, seed, how)
    known = [told.fingerprint for told in (interactions.attributes, interactions.context) if told]
    data = " ".join([interactions.fingerprint, catalogue.fingerprint, *known])
    run = {"kind": "log", "data": data, "adapter": adapter, "seed": seed, "settings": asdict(how)}
    snapshots = Snapshots(out, run, keep_every)
    state = snapshots.found() if resume else None
    if state is None:
        how = with_best_memory(task, how)
        how = replace(how, iterations=_fitting(task, how, budget))
        stopping, second = stopping_of(how), False
        extra: dict[str, FloatArray] = {}
    else:
        how, second = from_json(Settings, state.facts["settings"]), state.facts["second"]
        stopping, budget = Stopping(**state.facts["stopping"]), budget.after(state.facts["seconds"])
        extra = {name.removeprefix("extra."): v for name, v in state.arrays.items() if name.startswith("extra.")}

    def keep(learner: AnyLearner) -> None:
        snapshots.keep(lambda: _snapshot(learner, how, stopping, second, extra, budget))

    if not second:
        learner = learner_of(task, task.split.train, how, state)
        pace = Pace(learner.iteration)
        for _ in search(task, learner, how, stopping):
            keep(learner)
            yield _metrics(learner, stopping, learner.iteration, 2 * how.iterations)
            if stopping.best_at and budget.left < SLACK * pace.seconds(learner.iteration) * stopping.best_at:
                break
        extra = _transfer(task, learner) if learner.manifest.spec.adapter != adapter else {}
        state, second = None, True
    everybody = np.concatenate([task.split.train, task.split.validation])
    learner = learner_of(task, everybody, how, state)
    done = stopping.looked_at
    while learner.iteration < stopping.best_at:
        if budget.overdrawn and 2 * learner.iteration >= stopping.best_at:
            break  # late, and most of it is learnt: the manifest says how many iterations were kept
        learner.step()
        keep(learner)
        yield _metrics(learner, stopping, done + learner.iteration, done + stopping.best_at)
    log, spec = task.log, replace(learner.manifest.spec, adapter=adapter)
    trained_on = {
        "kind": "log",
        "name": interactions.name,
        "fingerprint": interactions.fingerprint,
        "users": len(everybody),
        "events": int(log.lengths[everybody].sum()),
        "seed": seed,
        "split": {"seed": seed, "validation": how.validation, "test": how.test, "fold": how.fold},
        "settings": asdict(how),
    }
    metrics = {f"validation_ndcg_at_{k}": value for k, value in zip(KS, stopping.curve, strict=True)}
    span = (min(0.0, float(log.reward.min())), max(1.0, float(log.reward.max())))
    manifest = replace(
        learner.manifest, spec=spec, reward_range=span, trained_on=trained_on,
        metrics=metrics | {"iterations": learner.iteration}, git_revision=git_revision,
        attributes=interactions.attributes.columns if interactions.attributes else (),
        context=interactions.context.columns if interactions.context else (),
    )  # fmt: skip
    save(out, manifest, learner.learnt() | extra, catalogue)
    snapshots.remove()


def many(interactions: Interactions, how: Settings) -> bool:
    """Whether a log has more items with likes enough for an embedding than are ranked in full."""
    likes = np.bincount(interactions.item[interactions.reward > 0])
    return int((likes >= how.least).sum()) > how.full


def learner_of(task: Task, users: IntArray, how: Settings, state: Snapshot | None = None) -> AnyLearner:
    """A learner of some users, where a state left off or at its beginning."""
    kind = SampledLearner if task.sampled else Learner
    learner = kind(task.log, task.catalogue, users, task.adapter, np.random.default_rng(task.seed), how)
    if state is not None:
        learner.resume(state)
    return learner


def stopping_of(how: Settings) -> Stopping:
    """Early stopping as the settings want it."""
    return Stopping(how.earliest * how.iterations, how.patience)


def search(task: Task, learner: AnyLearner, how: Settings, stopping: Stopping) -> Iterator[None]:
    """Learn step by step, look at validation users now and then, until it is time to stop."""
    while learner.iteration < how.iterations and not stopping.over:
        learner.step()
        if learner.iteration % how.judge_every == 0 or learner.iteration == how.iterations:
            stopping.look(learner.iteration, task.look(learner.policy()))
        yield


def _fitting(task: Task, how: Settings, budget: Budget) -> int:
    """The iterations that fit into a budget, measured on a learner that is thrown away."""
    if not budget.limited:
        return how.iterations
    pace = Pace()
    learner = learner_of(task, task.split.train, how)
    start = pace.seconds(1)
    learner.step()  # the first one warms up
    pace = Pace()
    for _ in range(TRIAL):
        learner.step()
    step, pace = pace.seconds(TRIAL), Pace()
    task.look(learner.policy())
    look = pace.seconds(1)
    beside = 2 * start + SLACK * look  # two rounds begin, and the last step is looked at whatever its number
    return budget.fitting(how.iterations, 2 * step + look / how.judge_every, beside, least=how.warm_up)


def _snapshot(
    learner: AnyLearner, how: Settings, stopping: Stopping, second: bool, extra: dict[str, FloatArray], budget: Budget
) -> Snapshot:
    """The learner's state and that of the rounds."""
    of = learner.snapshot()
    facts = {"settings": asdict(how), "stopping": asdict(stopping), "second": second, "seconds": budget.spent}
    return Snapshot(of.arrays | {f"extra.{name}": value for name, value in extra.items()}, of.facts | facts)


def _metrics(learner: AnyLearner, stopping: Stopping, iteration: int, iterations: int) -> Metrics:
    ndcg, last = max(stopping.best, 0.0), tuple(stopping.looks[-1]) if stopping.looks else ()
    return Metrics(iteration, iterations, learner.loss, learner.td_loss, ndcg, last)


def _transfer(task: Task, learner: AnyLearner) -> dict[str, FloatArray]:
    """What an adapter adds to a pooled model: its rate, chosen on validation users."""

    def reached(params: dict[str, FloatArray]) -> float:
        return float(task.look(learner.policy(task.adapter, params)).mean())

    return {finetune.RATE: finetune.tuned(learner.learnt(), reached)[finetune.RATE]}


def with_best_memory(task: Task, how: Settings) -> Settings:
    """The settings with the penalty and the weight of dislikes whose memory, before learning, ranks clearly best."""
    if task.sampled or not how.neighbours or len(how.penalty) * len(how.met) == 1:
        return how
    best, chosen = -CLEARLY, how
    for penalty, met in product(how.penalty, how.met):
        tried = replace(how, penalty=(penalty,), met=(met,), folds=1)
        start = learner_of(replace(task, seed=0), task.split.train, tried)
        reached = float(task.look(start.policy()).mean())
        if reached > best + CLEARLY:
            best, chosen = reached, replace(tried, folds=how.folds)
    return chosen


def _check(log: Sequences, split: Split, asked: Queries, name: str) -> None:
    """Refuse a log that nothing can be learnt from, before an hour is spent on it."""
    largest = float(np.abs(log.reward).max(initial=0.0))
    if largest > LARGEST_REWARD:
        raise DataError(
            f"the rewards of {name} must be at most {LARGEST_REWARD:g} in size, got {largest:g}: rescale them"
        )
    liked = int((log.positives(split.train) > 0).sum())
    if len(split.train) < 10 or liked < 10 or not len(asked.users):
        raise DataError(
            f"{name} is too small to learn from: it needs 10 training users, 10 items with a reward above 0 and a "
            f"validation user who likes something after 20 events, got {len(split.train)} users, {liked} items and "
            f"{len(asked.users)} such users of {len(split.validation)}"
        )
