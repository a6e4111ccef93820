"""Meta-training in a world: deterministic, and it learns."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from meta import q_network
from meta.adapters import ADAPTERS
from meta.checkpoint import load
from meta.errors import InputError
from meta.experience import Episodes
from meta.policy import Policy
from meta.spec import Spec
from meta.trainer.rollout import meet
from meta.trainer.worlds import Metrics, Settings, block_losses, train
from meta.types import FloatArray
from simulators.agents.policy import PolicyAgent
from simulators.interest_exploration import InterestExploration
from simulators.run import run

SMALL = Settings(iterations=2, updates=2, batch=8, block=5, memory=32, width=4, hidden=8, steps=1)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Small tensors are slower on several threads."""
    torch.set_num_threads(1)


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
    return float(block_losses(tensors, tensors, spec, torch.tensor(world.documents), random, 0, Settings())[0])


def test_learning_lowers_the_choice_loss_and_finds_what_users_like(tmp_path: Path) -> None:
    """After 12 iterations choices cost less than before them, and clicks late in an episode pass the best constant."""
    list(train(InterestExploration(64, steps=30), tmp_path / "p", settings=Settings(iterations=12, block=10)))
    learnt = load(tmp_path / "p")
    before = q_network.init(learnt.manifest.spec, np.random.default_rng(0))
    assert choice_loss(learnt.params, learnt.manifest.spec) < choice_loss(before, learnt.manifest.spec) - 0.05
    earned = run(InterestExploration(300), PolicyAgent(Policy.load(tmp_path / "p")), 123)
    assert earned[:, 30:].mean() > 0.45


def test_served_and_trained_policy_show_the_same(tmp_path: Path) -> None:
    """The policy in its folder earns what the trainer's own greedy users earned, step by step."""
    trained(tmp_path / "p", 3)
    policy, params = Policy.load(tmp_path / "p"), load(tmp_path / "p").params
    world = small_world()
    world.reset(seed=9)
    np_state = world.np_random.bit_generator.state
    ours = meet(world, world.documents, params, policy.spec, np.random.default_rng(0), epsilon=0.0, temperatures=(0.0,))
    world.np_random.bit_generator.state = np_state
    agent = PolicyAgent(policy)
    agent.begin(world, 0)
    observation, _ = world.reset()
    slates = []
    for _ in range(world.steps):
        rows = observation["candidates"]
        shown = agent.act(rows, observation["features"])
        slates.append(np.take_along_axis(rows, shown, 1))
        observation, reward, _, _, info = world.step(shown)
        agent.see(slates[-1], info["choice"], reward)
    same = (np.stack(slates, 1) == ours.slate).mean()
    assert same > 0.95  # copies are kept as half floats, which may turn a near tie


def one_step_episode(terminated: bool) -> Episodes:
    """A user who was shown items 0 and 1, clicked the first, and is offered 2 and 3 next."""
    return Episodes(
        offer=np.array([[[0, 1], [2, 3]]], np.int32),
        slate=np.array([[[0, 1]]], np.int32),
        choice=np.zeros((1, 1), np.int8),
        reward=np.ones((1, 1), np.float32),
        terminated=np.array([terminated]),
    )


def test_losses_of_a_network_that_knows_nothing_by_hand() -> None:
    """With all logits and values 0 the choice costs log 3, and a terminal reward of 1 costs Huber(1) = .5."""
    spec = Spec(items=4, features=1, width=2, hidden=2, slate="logit", adapter="session", discount=0.5)
    zeros = {k: torch.zeros(v.shape) for k, v in q_network.init(spec, np.random.default_rng(0)).items()}
    how = Settings(discount=0.5)
    choice_loss, td_loss = block_losses(zeros, zeros, spec, torch.ones(4, 1), one_step_episode(True), 0, how)
    np.testing.assert_allclose([np.log(3.0), 0.5], [choice_loss.item(), td_loss.item()], rtol=1e-6)


@pytest.mark.parametrize(("terminated", "expected"), [(True, 0.5), (False, 1.5)])
def test_truncation_bootstraps_and_termination_does_not(terminated: bool, expected: float) -> None:
    """With a target value of 2 and a discount of .5 a cut episode is worth 1 + 1, an ended one 1."""
    spec = Spec(items=4, features=1, width=2, hidden=2, slate="logit", adapter="session", discount=0.5)
    online = {k: torch.zeros(v.shape) for k, v in q_network.init(spec, np.random.default_rng(0)).items()}
    target = online | {"value.b": torch.tensor(2.0)}
    how = Settings(discount=0.5)
    _, td_loss = block_losses(online, target, spec, torch.ones(4, 1), one_step_episode(terminated), 0, how)
    np.testing.assert_allclose(expected, td_loss.item(), rtol=1e-6)
