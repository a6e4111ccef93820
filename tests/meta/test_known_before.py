"""What training makes of user attributes, contexts and items that nobody has liked yet."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `train`")

from meta.catalogue import Catalogue  # after the skip
from meta.coldstart import by_policy, curve, queries
from meta.columns import Column, Encoded
from meta.dataset import Interactions
from meta.policy import Policy
from meta.tasks import Sequences, sequences, split_users, windows
from meta.trainer import logs
from meta.trainer.log_groups import Groups
from meta.trainer.log_learner import Learner
from meta.types import FloatArray
from tests.meta.tastes import SMALL, tastes


def _trained(log: Interactions, catalogue: Catalogue, out: Path, iterations: int = 30) -> FloatArray:
    """NDCG@10 of held-out users at each k after a short training."""
    for _ in logs.train(log, catalogue, out, settings=replace(SMALL, iterations=iterations)):
        pass
    policy = Policy.load(out)
    table = sequences(log, len(catalogue))
    split = split_users(len(log.users), **policy.manifest.trained_on["split"])
    return curve(by_policy(policy), queries(table, split.test)).ndcg.mean(0)


def test_attributes_tell_tastes_before_the_first_event(tmp_path: Path) -> None:
    """Where a column of the users names their taste, a stranger of that taste is ranked for as one known by events."""
    log, catalogue = tastes()
    plan = Column("plan", "category", vocabulary=("even", "odd"))
    known = np.eye(2, dtype=np.float32)[np.arange(80) % 2]
    told = _trained(replace(log, attributes=Encoded((plan,), known)), catalogue, tmp_path / "told")
    plain = _trained(log, catalogue, tmp_path / "plain")
    assert told[0] > plain[0] + 0.15
    assert told[-1] > plain[-1] - 0.05
    assert (plan,) == Policy.load(tmp_path / "told").manifest.attributes


def test_the_context_of_a_request_tells_what_is_wanted(tmp_path: Path) -> None:
    """Where the context of a user's events names their taste, the context of the first request already ranks by it."""
    log, catalogue = tastes()
    device = Column("device", "category", vocabulary=("phone", "tv"))
    known = np.eye(2, dtype=np.float32)[log.user % 2]
    told = _trained(replace(log, context=Encoded((device,), known)), catalogue, tmp_path / "told", iterations=120)
    plain = _trained(log, catalogue, tmp_path / "plain")
    assert told[0] > plain[0] + 0.15
    assert (device,) == Policy.load(tmp_path / "told").manifest.context


def test_nobody_finds_their_own_likes_among_those_of_their_group() -> None:
    """Of six users of one plan each likes an item that the others do not: what a user is told does not tell which."""
    users = np.arange(12)
    item = np.concatenate([np.arange(12) % 6, np.full(12, 6)]).astype(np.int32)
    order = np.argsort(np.tile(users, 2), kind="stable")
    table = Sequences(
        2 * np.arange(13), item[order], np.ones(24, np.float32), np.arange(24), tuple(map(str, users)), items=7,
        attributes=np.eye(2, dtype=np.float32)[users // 6],
    )  # fmt: skip
    told = Groups(table, users, np.arange(7), 9, 12, np.random.default_rng(0)).told(users)
    own = told[users, users % 6]
    assert (own < np.delete(told[0], [0, 6]).max()).all()


def test_an_item_without_likes_ranks_by_its_features(tmp_path: Path) -> None:
    """Items that came after training rank by genre above others that came with them, for users who like that genre."""
    log, catalogue = tastes()
    genre = (np.arange(60) < 30).astype(np.float32)
    plain = Catalogue.from_features(catalogue.ids, np.stack([genre, 1 - genre], 1), ["low", "high"])
    unseen = np.isin(log.item, [27, 28, 29, 57, 58, 59])
    kept = Interactions(log.user[~unseen], log.item[~unseen], log.reward[~unseen], log.time_ms[~unseen], log.users)
    for _ in logs.train(kept, plain, tmp_path / "p", settings=SMALL):
        pass
    policy = Policy.load(tmp_path / "p")
    table = sequences(kept, 60)
    split = split_users(80, **policy.manifest.trained_on["split"])
    start = table.offsets[split.test]
    events = windows(table, start, np.minimum(start + 10, table.offsets[split.test + 1]), 10)
    new = np.array([27, 57, 28, 58, 29, 59])
    ranking = policy.rank(
        policy.adapt(events).copy, events, np.tile(new, (len(split.test), 1)), slate_size=np.full(len(split.test), 3),
        temperature=np.zeros(len(split.test)), seed=np.zeros(len(split.test), np.uint64),
    )  # fmt: skip
    wanted = (ranking.row < 30) == (split.test % 2 == 0)[:, None]
    assert wanted.mean() > 0.9


def test_grades_make_no_groups() -> None:
    """Groups count likes; where rewards are graded there are none, and attributes move the prior alone."""
    log, catalogue = tastes()
    table = replace(sequences(log, 60), attributes=np.eye(2, dtype=np.float32)[np.arange(80) % 2])
    found = []
    for slate in ("independent", "graded"):
        how = replace(SMALL, slate=slate)
        spec = Learner(table, catalogue, np.arange(80), "maml", np.random.default_rng(0), how).manifest.spec
        found.append((spec.attributes, spec.groups))
    assert [(2, 2), (2, 0)] == found
