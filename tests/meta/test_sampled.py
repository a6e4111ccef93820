"""Learning from logs of very many items: an estimate of the full softmax, made of the items in play alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `train`")

from meta.coldstart import by_policy, by_scores, curve, queries  # noqa: E402  # after the skip
from meta.policy import Policy  # noqa: E402
from meta.tasks import Sequences, sequences, split_users  # noqa: E402
from meta.trainer import logs  # noqa: E402
from meta.trainer.item_rows import BETA, ItemRows, positions  # noqa: E402
from meta.trainer.log_losses import initial  # noqa: E402
from meta.trainer.sampled_batches import Sampler  # noqa: E402
from meta.trainer.sampled_learner import TABLES, SampledLearner, losses  # noqa: E402
from tests.meta.tastes import SMALL, tastes  # noqa: E402

SPARSE = replace(SMALL, full=10, sampled=40, met=(0.5,))


def _tiny() -> Sequences:
    """User 0 likes 0, 1, 3 and not 2, then 0 again; user 1 likes 2."""
    return Sequences(
        np.array([0, 5, 7]), np.array([0, 1, 2, 3, 0, 2, 4], np.int32), np.array([1, 1, 0, 1, 1, 1, 0], np.float32),
        np.arange(7) * 10, ("a", "b"), items=6,
    )  # fmt: skip


def test_a_sample_holds_only_items_in_play_and_later_first_likes() -> None:
    """After n events the targets are the likes first met from event n on; met items are no candidates."""
    sampler = Sampler(_tiny(), np.array([2.0, 1, 1, 1, 0, 0]), 50)
    drawn = sampler.draw(np.array([0]), np.random.default_rng(1), prefixes=8, length=4, short=4, from_start=1.0)
    later = {0: {0, 1, 3}, 1: {1, 3}, 2: {3}, 3: {3}, 4: set()}
    for p, n in enumerate(drawn.prefix[0, :-1]):
        assert len(later[n]) == drawn.weight[0, p]
        if later[n]:
            assert later[n] == set(drawn.rows[drawn.target[0, p]].tolist())
            assert len(later[n]) == drawn.distinct[0, p].sum()
        met = set(range(min(n, 4)))
        open_ = set(drawn.rows[drawn.candidate[drawn.open[0, p]]].tolist())
        assert set() == open_ & met
        assert set() == set(drawn.rows[drawn.candidate[drawn.other[0, p]]].tolist()) & (met | later[n])
    assert drawn.rows[drawn.candidate].tolist() == sorted(set(drawn.rows[drawn.candidate].tolist()))


def test_the_sampled_loss_estimates_the_full_one() -> None:
    """With all parameters 0 a like costs the log of the number of open items; 4,000 draws come within 1%."""
    log, catalogue = tastes()
    table = sequences(log, len(catalogue))
    likes = table.positives(np.arange(80))
    learner = SampledLearner(table, catalogue, np.arange(80), "maml", np.random.default_rng(0), SPARSE)
    spec = learner.manifest.spec
    drawn = Sampler(table, likes, 4000).draw(
        np.arange(16), np.random.default_rng(0), prefixes=2, length=20, short=20, from_start=1.0
    )
    start = initial(spec, likes, np.arange(60), np.random.default_rng(0))
    spec = replace(spec, eras=0)
    zero = {n: torch.zeros((len(drawn.rows), *v.shape[1:]) if n in TABLES else v.shape) for n, v in start.items()}
    loss, td_loss = losses(zero, zero, spec, torch.zeros((len(drawn.rows), 1)), drawn, 1.0, torch.full((16,), 0.8))
    expected = np.average(np.log(60 - drawn.prefix[:, :-1]), weights=drawn.weight)
    assert expected == pytest.approx(loss.item(), rel=0.01)
    assert 0.5 * drawn.reward.mean() == pytest.approx(td_loss.item())


def test_rows_out_of_play_do_not_move_and_their_average_catches_up() -> None:
    """A row touched at the first step alone: its value stands, its average nears it as if averaged at every step."""
    rows = ItemRows({"w": np.zeros((3, 2), np.float32)}, {"w": 0.5}, {})
    seen = []
    for step in range(6):
        row = positions(np.array([0] if step == 0 else [1]))
        gathered, averaged = rows.gather(row)
        (2.0 * gathered["w"]).sum().backward()
        rows.step(row, gathered, averaged, 1.0, kept=0.9)
        seen.append(rows.online["w"][0, 0].item())
    average = 0.0
    for value in seen:
        average = 0.9 * average + 0.1 * value
    assert [-0.5] * 6 == pytest.approx(seen, rel=1e-4)  # Adam's first step is the step size itself
    learnt = rows.learnt()["w"]
    np.testing.assert_allclose([[average] * 2, [0.0, 0.0]], learnt[[0, 2]], rtol=1e-4)
    assert [1.0, 5.0, 0.0] == rows.touches.tolist()
    assert (1 - BETA) * 4.0 == pytest.approx(rows.moments["w"][0].item(), rel=1e-4)


def test_very_many_items_are_learnt_by_sampling(tmp_path: Path) -> None:
    """On held-out users of two tastes five events lift NDCG@10 far above popularity, without a memory."""
    log, catalogue = tastes()
    list(logs.train(log, catalogue, tmp_path / "policy", settings=replace(SPARSE, iterations=60, rate=1e-2, warm_up=5)))
    policy = Policy.load(tmp_path / "policy")
    table = sequences(log, len(catalogue))
    split = split_users(80, **policy.manifest.trained_on["split"])
    asked = queries(table, split.test)
    popular = by_scores(lambda events, _: np.tile(table.positives(split.train), (events.users, 1)))
    learnt, base = (curve(ranker, asked).ndcg.mean(0) for ranker in (by_policy(policy), popular))
    assert learnt[4] > base[4] + 0.15
    assert 0 == policy.spec.neighbours


def test_attributes_and_context_take_part() -> None:
    """A log that has them trains parameters for them, and saves them: their gradients are not 0."""
    log, catalogue = tastes()
    rng = np.random.default_rng(0)
    table = replace(
        sequences(log, len(catalogue)),
        attributes=rng.standard_normal((80, 3)).astype(np.float32),
        context=rng.standard_normal((len(log), 2)).astype(np.float32),
    )
    learner = SampledLearner(table, catalogue, np.arange(80), "maml", np.random.default_rng(0), SPARSE)
    before = learner.learnt()
    learner.step()
    learner.step()
    after = learner.learnt()
    assert (3, 2) == (learner.manifest.spec.attributes, learner.manifest.spec.context)
    assert all((before[name] != after[name]).any() for name in ("prior.attributes", "context.w1"))


def test_a_learner_that_goes_on_from_a_snapshot_is_its_twin() -> None:
    """Three steps, a snapshot, three more: the same weights as six in a row."""
    log, catalogue = tastes()
    table = sequences(log, len(catalogue))

    def fresh() -> SampledLearner:
        return SampledLearner(table, catalogue, np.arange(80), "maml", np.random.default_rng(0), SPARSE)

    twin, first, second = fresh(), fresh(), fresh()
    for learner, steps in ((twin, 6), (first, 3)):
        for _ in range(steps):
            learner.step()
    second.resume(first.snapshot())
    for _ in range(3):
        second.step()
    for name, value in twin.learnt().items():
        np.testing.assert_array_equal(value, second.learnt()[name])
