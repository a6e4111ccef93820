"""Prices: worlds in which it is known what showing an item costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from meta import q_network
from meta.catalogue import Catalogue
from meta.checkpoint import load
from meta.spec import Spec
from meta.trainer.prices import clear_slope, lowered, priced
from meta.trainer.rollout import meet
from meta.trainer.worlds import Settings, train
from meta.types import FloatArray, IntArray

SPEC = Spec(items=2, features=1, width=2, hidden=2, slate="logit", adapter="frozen")
PLAIN, SWEET = 0, 1


class Sweets:
    """Users who take the one item they are shown, of a plain one and a sweet one.

    The plain item earns .6 and the sweet one 1, unless the step before was sweet: then nothing is earned. So it pays to
    be plain throughout: .6 a step, where sweet throughout earns 1 once.

    Args:
        luck: each user's every reward is multiplied by 1 + luck * n, n standard normal; what is shown counts for
            nothing then.
    """

    name, num_envs, steps, candidates, slate_size, context = "sweets", 16, 10, 2, 1, 0

    def __init__(self, luck: float = 0.0) -> None:
        self.np_random = np.random.default_rng(0)
        self._luck = luck

    def catalogue(self) -> Catalogue:
        """Items known by their sweetness."""
        return Catalogue.from_features(["plain", "sweet"], np.array([[0.0], [1.0]], np.float32), ["sweetness"])

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Meet users who had nothing sweet yet."""
        if seed is not None:
            self.np_random = np.random.default_rng(seed)
        self._step, self._tired = 0, np.zeros(self.num_envs, bool)
        self._lucky = 1.0 + self._luck * self.np_random.standard_normal(self.num_envs)
        return self._observe(), {}

    def step(self, actions: IntArray, /) -> tuple[Any, FloatArray, Any, Any, dict[str, Any]]:
        """Show an item each, which is taken."""
        sweet = actions[:, 0] == SWEET
        reward = np.where(self._tired, 0.0, np.where(sweet, 1.0, 0.6))
        if self._luck:
            reward = self._lucky
        self._tired = sweet
        self._step += 1
        ended = np.full(self.num_envs, self._step >= self.steps)
        return self._observe(), reward, ended, np.zeros_like(ended), {"choice": np.zeros(self.num_envs, np.int8)}

    def _observe(self) -> dict[str, Any]:
        return {"candidates": np.tile(np.array([PLAIN, SWEET], np.int32), (self.num_envs, 1))}


def greedy(sweeter: float) -> dict[str, FloatArray]:
    """Parameters that hold the sweet item to be worth so much more than the plain one, whose advantage is .6."""
    zero = {k: np.zeros_like(v) for k, v in q_network.init(SPEC, np.random.default_rng(0)).items()}
    return zero | {"item.q.bias": np.full(1, sweeter, np.float32), "item.q.bias0": np.full((), 0.6, np.float32)}


def earned(params: dict[str, FloatArray]) -> float:
    """Reward a step of fresh users."""
    world = Sweets()
    features, rng = world.catalogue().features, np.random.default_rng(0)
    return float(meet(world, features, params, SPEC, rng, epsilon=0.0, temperatures=(0.0,)).reward.mean())


def test_a_sweet_item_that_costs_the_future_gets_its_price() -> None:
    """Who takes the sweet item to be worth .05 more earns 1 in ten steps; priced, the same shows what is plain."""
    world = Sweets()
    myopic = greedy(0.05)
    wise = priced(world, world.catalogue().features, myopic, SPEC, np.random.default_rng(1), 20)
    np.testing.assert_allclose([0.1, 0.6], [earned(myopic), earned(wise)], rtol=1e-6)


def test_what_changes_no_reward_is_free() -> None:
    """Where users are lucky or not whatever they are shown, twins earn alike and nothing gets a price."""
    world = Sweets(luck=1.0)
    before = greedy(0.4)
    after = priced(world, world.catalogue().features, before, SPEC, np.random.default_rng(1), 5)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name])


def test_a_price_lowers_advantages_by_feature() -> None:
    """With advantages of 2 (bias + feature), a charge of 3 a feature and 1 for any item leaves 2 (.6 + .4) - 4."""
    params = greedy(0.4) | {"advantage.log_scale": np.full((), np.log(2.0), np.float32)}
    table = q_network.items(lowered(params, np.array([3.0, 1.0])), SPEC, np.array([[0.0], [1.0]], np.float32))
    np.testing.assert_allclose([2 * 0.6 - 1.0, 2 * 1.0 - 4.0], 2.0 * table.b_q, rtol=1e-6)


def test_disturbances_are_credited_by_correlation_where_it_is_clear() -> None:
    """Of 9 differences, 6 of 1 and 3 of -1, a sign that is always right tells 1, one right 7 times in 9 too little."""
    difference = np.array([1.0] * 6 + [-1.0] * 3)
    hesitant = np.where(np.arange(9) < 2, -difference, difference)
    np.testing.assert_allclose([1.0, 0.0], clear_slope(np.stack([difference, hesitant], 1), difference))
    np.testing.assert_array_equal([0.0, 0.0], clear_slope(np.ones((9, 2)), np.zeros(9)))


@pytest.mark.parametrize(("discount", "same"), [(0.0, True), (0.9, False)])
def test_nothing_is_charged_where_the_future_does_not_count(discount: float, same: bool, tmp_path: Path) -> None:
    """At a discount of 0 the policy is the one that was learnt without prices."""
    learnt = []
    for rounds in (0, 2):
        how = Settings(
            iterations=1, updates=1, batch=4, block=5, memory=16, width=2, hidden=2, discount=discount, prices=rounds
        )
        list(train(Sweets(), tmp_path / f"{rounds}", adapter="frozen", settings=how))
        learnt.append(load(tmp_path / f"{rounds}").params["item.q.bias"])
    assert same == np.array_equal(*learnt)
