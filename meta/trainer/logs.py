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
from meta.tasks import Sequences, Split, sequences, split_users
from meta.trainer.log_learner import Learner, Settings
from meta.types import FloatArray, IntArray

CLEARLY = 0.005
"""NDCG@10 by which validation users must prefer another memory than the default: less is noise."""

SMOOTH = 3
"""Looks at the validation users that are averaged to choose the stopping point."""

__all__ = ["Metrics", "Settings", "train"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one gradient step reports.

    Args:
        iteration: counted from 1 over both rounds, the one that finds the stopping point and the one that is kept.
        iterations: how many there will be at most.
        loss: cross-entropy of the later likes, nats.
        td_loss: Huber loss of Q.
        ndcg: latest mean NDCG@10 over k on validation users; 0 before the first look.
    """

    iteration: int
    iterations: int
    loss: float
    td_loss: float
    ndcg: float


def train(
    interactions: Interactions,
    catalogue: Catalogue,
    out: Path,
    *,
    adapter: str = "maml",
    seed: int = 0,
    settings: Settings | None = None,
    git_revision: str = "",
) -> Iterator[Metrics]:
    """Train a policy on a log and save it to `out` after the last metrics.

    Args:
        interactions: the log.
        catalogue: its items.
        out: the policy folder to write.
        adapter: a key of `meta.adapters.ADAPTERS`.
        seed: decides the split of the users, parameters and batches.
        settings: how to train.
        git_revision: of the code, for the manifest.

    Raises:
        DataError: the log has too few users or likes to learn from.
        FloatingPointError: the loss is no longer finite.
    """
    how = settings or Settings()
    log = sequences(interactions, len(catalogue))
    split = split_users(len(log.users), seed, how.validation, how.test, how.fold)
    asked = queries(log, split.validation)
    _check(log, split, asked, interactions.name)
    how = _with_best_memory(log, catalogue, split, asked, adapter, how)
    curve_at: FloatArray = np.zeros(len(KS))
    best, best_at, since, done = -1.0, 0, 0, 0
    looks: list[FloatArray] = []
    for learner in _rounds(log, catalogue, split.train, adapter, seed, how, how.iterations):
        done = learner.iteration
        if done % how.judge_every == 0 or done == how.iterations:
            looks.append(curve(by_policy(learner.policy()), asked).ndcg.mean(0))
            reached = np.mean(looks[-SMOOTH:], 0)  # one look at few users is noise
            since = since + 1
            early = done < how.earliest * how.iterations
            if early or reached.mean() > best:
                best, best_at, curve_at, since = float(reached.mean()), done, looks[-1], 0
        yield Metrics(done, 2 * how.iterations, learner.loss, learner.td_loss, max(best, 0.0))
        if since >= how.patience:
            break
    extra = _transfer(learner, adapter, asked) if learner.manifest.spec.adapter != adapter else {}
    everybody = np.concatenate([split.train, split.validation])
    for learner in _rounds(log, catalogue, everybody, adapter, seed, how, best_at):
        yield Metrics(done + learner.iteration, done + best_at, learner.loss, learner.td_loss, best)
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
    metrics = {f"validation_ndcg_at_{k}": float(value) for k, value in zip(KS, curve_at, strict=True)}
    span = (min(0.0, float(log.reward.min())), max(1.0, float(log.reward.max())))
    manifest = replace(
        learner.manifest,
        spec=replace(learner.manifest.spec, adapter=adapter),
        reward_range=span,
        trained_on=trained_on,
        metrics=metrics | {"iterations": best_at},
        git_revision=git_revision,
    )
    save(out, manifest, learner.learnt() | extra, catalogue)


def _rounds(
    log: Sequences, catalogue: Catalogue, users: IntArray, adapter: str, seed: int, how: Settings, stop: int
) -> Iterator[Learner]:
    """Learn from some users, step by step up to `stop`; the same learner is yielded after each."""
    learner = Learner(log, catalogue, users, adapter, np.random.default_rng(seed), how)
    for _ in range(stop):
        learner.step()
        yield learner


def _transfer(learner: Learner, adapter: str, asked: Queries) -> dict[str, FloatArray]:
    """What an adapter adds to a pooled model: its rate, chosen on validation users."""

    def reached(params: dict[str, FloatArray]) -> float:
        return float(curve(by_policy(learner.policy(adapter, params)), asked).ndcg.mean())

    return {finetune.RATE: finetune.tuned(learner.learnt(), reached)[finetune.RATE]}


def _with_best_memory(
    log: Sequences, catalogue: Catalogue, split: Split, asked: Queries, adapter: str, how: Settings
) -> Settings:
    """The settings with the penalty and the weight of dislikes whose memory, before learning, ranks clearly best."""
    best, chosen = -CLEARLY, how
    for penalty, met in product(how.penalty, how.met):
        tried = replace(how, penalty=(penalty,), met=(met,), folds=1)
        start = Learner(log, catalogue, split.train, adapter, np.random.default_rng(0), tried)
        reached = float(curve(by_policy(start.policy()), asked).ndcg.mean())
        if reached > best + CLEARLY:
            best, chosen = reached, replace(tried, folds=how.folds)
    return chosen


def _check(log: Sequences, split: Split, asked: Queries, name: str) -> None:
    """Refuse a log that nothing can be learnt from, before an hour is spent on it."""
    liked = int((log.positives(split.train) > 0).sum())
    if len(split.train) < 10 or liked < 10 or not len(asked.users):
        raise DataError(
            f"{name} is too small to learn from: it needs 10 training users, 10 items with a reward above 0 and a "
            f"validation user who likes something after 20 events, got {len(split.train)} users, {liked} items and "
            f"{len(asked.users)} such users of {len(split.validation)}"
        )
