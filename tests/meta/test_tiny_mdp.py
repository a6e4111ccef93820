"""Training must reach what value iteration knows: Q* of a tiny MDP, whatever the discount, the mask or the time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from meta import q_network
from meta.checkpoint import load
from meta.experience import history
from meta.trainer.rollout import requests, values
from meta.trainer.world_learner import Settings
from meta.trainer.worlds import train
from meta.types import BoolArray, FloatArray
from tests.meta.tiny_mdp import ACTIONS, AVAILABLE, ELAPSED, STATES, TinyMdp

EVERYTHING = np.ones_like(AVAILABLE)
ALIKE = np.ones_like(ELAPSED)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small tensors are slower on several threads."""
    torch.set_num_threads(1)


def learnt(folder: Path) -> FloatArray:
    """Q [states, actions] of the saved policy for somebody without a history."""
    checkpoint = load(folder)
    params, spec = checkpoint.params, checkpoint.manifest.spec
    table = q_network.items(params, spec, checkpoint.catalogue.features)
    nobody = history(np.zeros((STATES, 0, 1), int), np.zeros((STATES, 0), int), np.zeros((STATES, 0)))
    states = requests(nobody, spec, np.eye(STATES, dtype=np.float32)[:, None])
    belief = q_network.believe(params, spec, table, nobody, nobody.length[:, None], states)
    _, advantage = values(params, belief, table, np.tile(np.arange(ACTIONS), (STATES, 1, 1)))
    q: FloatArray = (belief.value[..., None] + advantage)[:, 0]
    return q


@pytest.mark.parametrize(
    ("discount", "available", "elapsed", "priority"),
    [
        (0.0, EVERYTHING, ALIKE, 0.0),
        (0.5, EVERYTHING, ALIKE, 0.0),
        (0.9, EVERYTHING, ALIKE, 0.6),
        (0.97, EVERYTHING, ALIKE, 0.0),
        (0.9, AVAILABLE, ALIKE, 0.0),
        (0.9, EVERYTHING, ELAPSED, 0.0),
    ],
    ids=["myopic", "half", "far, prioritised", "farther", "masked", "by the hour"],
)
def test_training_reaches_the_values_of_value_iteration(
    discount: float, available: BoolArray, elapsed: FloatArray, priority: float, tmp_path: Path
) -> None:
    """Every available action of every state is within .01 of Q*, and what is best in Q* is best."""
    world = TinyMdp(available, elapsed)
    how = Settings(
        iterations=15, updates=20, batch=32, block=4, memory=512, priority=priority, rate=1e-2, warm_up=10, polyak=0.5,
        td_weight=2.0, discount=discount, mix=0.0, epsilon=(0.6, 0.6), temperatures=(0.0,), width=8, hidden=32,
        prices=0,
    )  # fmt: skip
    list(train(world, tmp_path / "policy", adapter="frozen", settings=how))
    expected = world.solve(discount)
    q = np.where(available, learnt(tmp_path / "policy"), -np.inf)
    np.testing.assert_allclose(q[available], expected[available], atol=1e-2)
    np.testing.assert_allclose(expected.max(1), expected[np.arange(STATES), q.argmax(1)], rtol=1e-6)


def test_the_tiny_mdp_is_solved_differently_by_discount_mask_and_time() -> None:
    """The way round from state 0 pays at .97 and not at .9 (0 for staying), and so on, by hand."""
    whole = TinyMdp(EVERYTHING, ALIKE)
    near, far = whole.solve(0.9), whole.solve(0.97)
    assert [0, 2] == [near[0].argmax(), far[0].argmax()]
    np.testing.assert_allclose([-0.6 - 0.27 + 0.81, 0.0], [near[0, 2], near[0, 0]])
    np.testing.assert_allclose((-0.6 - 0.97 * 0.3 + 0.97**2) / (1 - 0.97**3), far[0, 2])
    assert 0 == TinyMdp(AVAILABLE, ALIKE).solve(0.97)[0].argmax()  # the jackpot is masked
    hours = TinyMdp(EVERYTHING, ELAPSED).solve(0.9)
    np.testing.assert_allclose(-0.6 + 0.9**2 * (-0.3 + 0.9 * 1.0), hours[0, 2], rtol=1e-6)  # two hours, then one
