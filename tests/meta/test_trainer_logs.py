"""Meta-training from logs: what a batch holds, whose likes a memory knows, and that learning learns."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from meta import eras  # noqa: E402  # after the skip
from meta.coldstart import by_policy, by_scores, curve, queries  # noqa: E402
from meta.columns import Encoded  # noqa: E402
from meta.dataset import DataError  # noqa: E402
from meta.policy import Policy  # noqa: E402
from meta.tasks import Sequences, sequences, split_users  # noqa: E402
from meta.trainer import logs  # noqa: E402
from meta.trainer.log_batches import Memories, draw  # noqa: E402
from meta.trainer.log_learner import Learner, Settings, schedule  # noqa: E402
from meta.trainer.log_losses import discounts, initial, losses  # noqa: E402
from tests.meta.tastes import SMALL, tastes  # noqa: E402


def _tiny() -> Sequences:
    """User 0 likes 0, 1, 3 and not 2, in that order; users 1 and 2 like 0 and 2."""
    return Sequences(
        np.array([0, 4, 6, 8]), np.array([0, 1, 2, 3, 0, 2, 0, 2], np.int32),
        np.array([1, 1, 0, 1, 1, 1, 1, 1], np.float32), np.array([10, 20, 30, 40, 0, 0, 0, 0]), ("a", "b", "c"),
        items=5,
    )  # fmt: skip


def test_a_batch_splits_past_from_future() -> None:
    """After n events, the liked are those from event n on, as shares, and the open ones those not met before."""
    batch = draw(
        _tiny(), np.array([0]), np.arange(5), None, np.random.default_rng(1), prefixes=6, length=3, short=3,
        from_start=1.0, met=0.5,
    )  # fmt: skip
    assert [0, 1, 2, 3] == batch.events.item[0].tolist()
    future = {0: [0, 1, 3], 1: [1, 3], 2: [3], 3: [3]}
    for p, n in enumerate(batch.prefix[0, :-1]):
        assert future[n] == np.flatnonzero(batch.liked[0, p]).tolist()
        assert len(future[n]) == batch.weight[0, p]
        assert 1.0 == pytest.approx(batch.liked[0, p].sum())
        assert list(range(n, 5)) == np.flatnonzero(batch.open[0, p]).tolist()
        assert [0.0, 1.0, 2.0, pytest.approx(2 + 0.5 * 8 / 11)][n] == batch.evidence[0, p]
        assert [10, 20, 30, 40][n] == batch.known.now_ms[0, p]


def test_the_last_prefix_is_the_next_state() -> None:
    """The transition of a batch is the event after the first prefix, and the state after it."""
    batch = draw(
        _tiny(), np.array([0, 1, 2]), np.array([0, 2, 3]), None, np.random.default_rng(0), prefixes=2, length=3,
        short=3, from_start=1.0, met=0.5,
    )  # fmt: skip
    assert (batch.prefix[:, 0] + 1).tolist() == batch.prefix[:, -1].tolist()
    log = _tiny()
    at = log.offsets[:3] + batch.prefix[:, 0]
    place = np.array([0, -1, 1, 2, -1])
    assert place[log.item[at]].tolist() == batch.action.tolist()
    assert log.reward[at].tolist() == batch.reward.tolist()


def test_nobody_meets_their_own_likes_in_the_memory() -> None:
    """Items 1 and 3 go together for user 0 alone: the kept memory knows, the one that user 0 is trained on does not."""
    users = np.arange(3)
    memories = Memories(_tiny(), users, np.arange(5), 4, 1.0, 0.5, 0.0, 3, np.random.default_rng(0))
    assert 3 in memories.index[1]
    recalled = memories.recall(np.array([0]), np.array([[1]]), np.ones((1, 1, 1)))
    assert 0.0 == np.abs(recalled).sum()
    others = memories.recall(np.array([1]), np.array([[1]]), np.ones((1, 1, 1)))
    assert others[0, 0, 3] > 0


def test_a_network_without_opinion_has_the_entropy_of_a_uniform_draw() -> None:
    """All parameters 0: the cross-entropy is the log of the number of open items, and Q is 0, so its loss is r / 2."""
    log, catalogue = tastes()
    table = sequences(log, len(catalogue))
    learner = Learner(table, catalogue, np.arange(80), "maml", np.random.default_rng(0), SMALL)
    spec, actions = learner.manifest.spec, np.arange(60)
    start = initial(spec, table.positives(np.arange(80)), actions, np.random.default_rng(0))
    zero = {name: torch.zeros(value.shape) for name, value in start.items()}
    zero |= {name: torch.from_numpy(value) for name, value in eras.init(spec).items()}
    zero["neighbours.fade"] = torch.full((2,), -50.0)
    batch = draw(
        table, np.arange(8), actions, None, np.random.default_rng(0), prefixes=1, length=20, short=20, from_start=1.0,
        met=0.5,
    )  # fmt: skip
    loss, td_loss = losses(zero, zero, spec, torch.zeros((60, 1)), torch.arange(60), batch, 1.0, 0.8)
    expected = np.average(np.log(60 - batch.prefix[:, 0]), weights=batch.weight[:, 0])
    assert expected == pytest.approx(loss.item(), rel=1e-5)
    assert 0.5 * batch.reward.mean() == pytest.approx(td_loss.item())


def test_gamma_counts_days_or_events() -> None:
    """Gamma .25 in two days is .5 after one day and 1 at once; where no days are named, every event counts alike."""
    day = 86_400_000
    now = np.array([[5 * day, 9 * day, 6 * day], [5 * day, 9 * day, 5 * day]])
    np.testing.assert_allclose([0.5, 1.0], discounts(now, 0.25, 2.0))
    np.testing.assert_allclose([0.25, 0.25], discounts(now, 0.25, 0.0))


def test_training_starts_at_popularity_and_learns_tastes(tmp_path: Path) -> None:
    """On held-out users of two tastes five events lift NDCG@10 far above popularity; without any it is popularity."""
    log, catalogue = tastes()
    metrics = list(logs.train(log, catalogue, tmp_path / "policy", settings=SMALL))
    policy = Policy.load(tmp_path / "policy")
    table = sequences(log, len(catalogue))
    split = split_users(80, **policy.manifest.trained_on["split"])
    asked = queries(table, split.test)
    popular = by_scores(lambda events, context: np.tile(table.positives(split.train), (events.users, 1)))
    learnt, base = (curve(ranker, asked).ndcg.mean(0) for ranker in (by_policy(policy), popular))
    assert learnt[4] > base[4] + 0.15
    assert abs(learnt[0] - base[0]) < 0.1
    assert [m.iteration for m in metrics] == list(range(1, len(metrics) + 1))
    assert metrics[-1].iteration == metrics[-1].iterations
    assert (log.fingerprint, 64) == tuple(policy.manifest.trained_on[key] for key in ("fingerprint", "users"))


def test_what_is_known_of_a_user_moves_the_prior(tmp_path: Path) -> None:
    """Where an attribute tells the taste, nobody's first event has to be waited for."""
    log, catalogue = tastes()
    told = Encoded.fit({"taste": ["first", "second"] * 40}, 80)
    for _ in logs.train(replace(log, attributes=told), catalogue, tmp_path, seed=0, settings=replace(SMALL, rate=0.02)):
        pass
    policy = Policy.load(tmp_path)
    asked = queries(sequences(replace(log, attributes=told), 60), split_users(80, 0, SMALL.validation).test)
    shown = by_policy(policy)(*asked.after(0), asked.events.item)[:, :10]
    right = (shown < 30) == (asked.users % 2 == 0)[:, None]
    assert right.mean() > 0.9


def test_graded_rewards_are_what_q_predicts(tmp_path: Path) -> None:
    """With a discount of 0, Q of an item that earns everybody .75 is .75, and .25 where it earns .25."""
    log, catalogue = tastes()
    graded = replace(log, reward=np.where(log.item < 30, 0.75, 0.25).astype(np.float32))
    how = replace(
        SMALL, slate="graded", discount=0.0, td_weight=100.0, eras=0, iterations=200, judge_every=200, rate=0.03
    )
    for _ in logs.train(graded, catalogue, tmp_path, seed=0, settings=how):
        pass
    policy = Policy.load(tmp_path)
    events, context = queries(sequences(graded, 60), np.arange(4)).after(3)
    ranking = policy.rank(
        policy.adapt(events).copy, events, None, slate_size=np.full(4, 60), temperature=np.zeros(4),
        seed=np.zeros(4, np.uint64), context=context,
    )  # fmt: skip
    expected = np.where(ranking.row < 30, 0.75, 0.25)
    assert np.abs(ranking.q_value - expected).mean() < 0.05


def test_the_same_seed_trains_the_same_policy(tmp_path: Path) -> None:
    """Twin seeds give the same version, another seed another."""
    log, catalogue = tastes()
    how = Settings(**{**{name: getattr(SMALL, name) for name in SMALL.__slots__}, "iterations": 3, "judge_every": 3})
    versions = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        for _ in logs.train(log, catalogue, tmp_path / name, seed=seed, settings=how):
            pass
        versions.append(Policy.load(tmp_path / name).version)
    assert versions[0] == versions[1]
    assert versions[0] != versions[2]


def test_a_log_too_small_is_refused(tmp_path: Path) -> None:
    """Four users teach nothing; the error counts what there is."""
    log, catalogue = tastes(users=4)
    with pytest.raises(DataError, match=r"tastes is too small to learn from: .*, got 3 users"):
        next(logs.train(log, catalogue, tmp_path, settings=SMALL))


def test_the_step_size_warms_up_and_falls() -> None:
    """From a share of the peak at the first step to a fiftieth at the last."""
    how = Settings(iterations=200, warm_up=20)
    assert 0.05 == pytest.approx(schedule(0, how))
    assert 0.02 == pytest.approx(schedule(200, how))
    assert 1.0 > max(schedule(step, how) for step in range(200)) > 0.95
    assert math.isfinite(schedule(400, how))
