"""Meta-training in a world: deterministic, and it learns."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from meta import q_network
from meta.adapters import ADAPTERS
from meta.checkpoint import load
from meta.errors import InputError
from meta.policy import Policy
from meta.spec import Spec
from meta.trainer.rollout import meet
from meta.trainer.world_learner import Settings
from meta.trainer.world_losses import Block, Targets, losses
from meta.trainer.worlds import Metrics, train
from meta.types import FloatArray
from simulators.agents.policy import PolicyAgent
from simulators.interest_exploration import InterestExploration
from simulators.run import run

SMALL = Settings(iterations=2, updates=2, batch=8, block=5, memory=32, width=4, hidden=8, steps=1, prices=1)


def small_world() -> InterestExploration:
    """Few users, items and steps."""
    return InterestExploration(8, steps=8, num_items=200, candidates=6)


def trained(out: Path, seed: int, adapter: str = "maml") -> list[Metrics]:
    """The metrics of a short training."""
    return list(train(small_world(), out, adapter=adapter, seed=seed, settings=SMALL))


def test_twin_seeds_train_twin_policies(tmp_path: Path) -> None:
    """The same seed gives the same metrics and the same policy version, another seed does not."""
    first, second, other = (trained(tmp_path / str(i), seed) for i, seed in enumerate((0, 0, 1)))
    assert first == second
    assert first != other
    assert Policy.load(tmp_path / "0").version == Policy.load(tmp_path / "1").version


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_every_adapter_trains_into_a_folder_that_serves(adapter: str, tmp_path: Path) -> None:
    """The saved policy ranks the world's candidates, and its manifest says where it comes from."""
    metrics = trained(tmp_path / "policy", 0, adapter)
    assert [1, 2] == [m.iteration for m in metrics]
    policy = Policy.load(tmp_path / "policy")
    assert adapter == policy.spec.adapter
    assert "logit" == policy.spec.slate
    assert 128 == policy.manifest.history_cap
    assert "interest_exploration" == policy.manifest.trained_on["name"]
    assert (8, 8) == run(small_world(), PolicyAgent(policy), 0).shape


def test_an_unknown_adapter_is_named(tmp_path: Path) -> None:
    """The error lists what there is, before any user is met."""
    with pytest.raises(InputError, match=r"adapter must be one of frozen, session, .* got 'magic'"):
        trained(tmp_path / "p", 0, "magic")
    assert not (tmp_path / "p").exists()


def choice_loss(params: Mapping[str, FloatArray], spec: Spec) -> float:
    """How badly these parameters foretell what fresh users choose from random slates."""
    world = InterestExploration(64, steps=20)
    world.reset(seed=77)
    rng = np.random.default_rng(77)
    random = meet(world, world.documents, params, spec, rng, epsilon=1.0, temperatures=(0.0,))
    tensors = {k: torch.tensor(v) for k, v in params.items()}
    block = Block.of(random, 0, 20)
    return losses(tensors, tensors, spec, torch.tensor(world.documents), block, Targets()).choice.item()


def test_learning_lowers_the_choice_loss_and_finds_what_users_like(tmp_path: Path) -> None:
    """After 12 iterations choices cost less than before them, and clicks late in an episode pass the best constant."""
    list(
        train(
            InterestExploration(64, steps=30),
            tmp_path / "p",
            settings=Settings(iterations=12, block=10, discount=0.9, prices=0, alert=0.0),
        )
    )
    learnt = load(tmp_path / "p")
    before = q_network.init(learnt.manifest.spec, np.random.default_rng(0))
    assert choice_loss(learnt.params, learnt.manifest.spec) < choice_loss(before, learnt.manifest.spec) - 0.05
    earned = run(InterestExploration(300), PolicyAgent(Policy.load(tmp_path / "p")), 123)
    assert earned[:, 30:].mean() > 0.45


@pytest.mark.parametrize("history", [128, 6])
def test_served_and_trained_policy_show_the_same(history: int, tmp_path: Path) -> None:
    """The policy in its folder shows what the trainer showed, who adapted to as many slates as it keeps events of."""
    list(train(small_world(), tmp_path / "p", seed=3, settings=replace(SMALL, history=history)))
    policy, params = Policy.load(tmp_path / "p"), load(tmp_path / "p").params
    world = small_world()
    world.reset(seed=9)
    np_state = world.np_random.bit_generator.state
    spec = replace(policy.spec, history=history // world.slate_size)
    ours = meet(world, world.documents, params, spec, np.random.default_rng(0), epsilon=0.0, temperatures=(0.0,))
    world.np_random.bit_generator.state = np_state
    agent = PolicyAgent(policy)
    agent.begin(world, 0)
    observation, _ = world.reset()
    slates = []
    for _ in range(world.steps):
        rows = observation["candidates"]
        shown = agent.act(rows)
        slates.append(np.take_along_axis(rows, shown, 1))
        observation, reward, _, _, info = world.step(shown)
        agent.see(slates[-1], info["choice"], reward)
    same = (np.stack(slates, 1) == ours.slate).mean()
    assert same > 0.95  # copies are kept as half floats, which may turn a near tie


def test_every_setting_of_the_dqn_side_trains_and_twin_seeds_stay_twins(tmp_path: Path) -> None:
    """Prioritised replay, n-step returns, one network for choice and judgement, multi-step loss and annealed order."""
    how = replace(SMALL, iterations=4, steps=2, priority=0.6, n_steps=3, double=False, first_order=0.5, multi_step=0.75)
    first, second = (list(train(small_world(), tmp_path / name, settings=how)) for name in "ab")
    assert first == second
    assert Policy.load(tmp_path / "a").version == Policy.load(tmp_path / "b").version


def test_users_who_leave_are_remembered_up_to_their_last_step(tmp_path: Path) -> None:
    """Whoever leaves has terminated at the last active step; a training on such users gives twins for twin seeds."""
    world = InterestExploration(40, steps=8, num_items=200, candidates=6, patience=2)
    spec = Spec(items=200, features=9, width=4, hidden=8, slate="logit", adapter="session")
    rng = np.random.default_rng(0)
    world.reset(seed=0)
    met = meet(world, world.documents, q_network.init(spec, rng), spec, rng, epsilon=1.0, temperatures=(0.0,))
    last = met.active.sum(1)
    assert 2 == last.min() < last.max() == 8
    np.testing.assert_array_equal(np.arange(8) < last[:, None], met.active)
    assert met.terminated.all()
    assert not met.reward[~met.active].any()
    gone = last < 8
    ends = np.stack([met.choice[i, n - 2 : n] for i, n in enumerate(last) if n < 8])
    np.testing.assert_array_equal(np.full((gone.sum(), 2), -1), ends)
    first, second = (list(train(world, tmp_path / name, adapter="maml", seed=1, settings=SMALL)) for name in "ab")
    assert first == second


def test_a_training_that_diverges_says_so_and_saves_nothing(tmp_path: Path) -> None:
    """A step size of 1e30 leaves numbers behind at once."""
    with pytest.raises(FloatingPointError, match=r"smaller rate: training stopped in iteration \d, nothing was"):
        list(train(small_world(), tmp_path / "p", settings=replace(SMALL, rate=1e30)))
    assert not (tmp_path / "p").exists()


def test_shares_are_refused_in_words() -> None:
    """A share of the iterations is a number from 0 to 1."""
    with pytest.raises(ValueError, match=r"first_order must be in 0..1, got 1.5"):
        Settings(first_order=1.5)
