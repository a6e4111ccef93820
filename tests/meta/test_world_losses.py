"""What is minimised in a world, against numbers worked out by hand, and the steps that minimise it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from meta import q_network
from meta.adapters.port import alert
from meta.experience import Episodes
from meta.spec import Spec
from meta.trainer.descent import descend
from meta.trainer.slate_learner import fading
from meta.trainer.world_learner import Learner, Settings
from meta.trainer.world_losses import Block, Losses, Targets, Tensors, losses
from tests.meta import worlds_of_numbers

SPEC = Spec(items=4, features=4, width=2, hidden=2, slate="logit", adapter="session")
FEATURES = torch.eye(4)


def zeros(**changed: list[float] | float) -> Tensors:
    """A network that knows nothing but what is changed; its item biases are by item, as features are one-hot."""
    start = {k: torch.zeros(v.shape) for k, v in q_network.init(SPEC, np.random.default_rng(0)).items()}
    return start | {name.replace("__", "."): torch.tensor(value) for name, value in changed.items()}


def episode(rewards: list[float], choice: int, terminated: bool) -> Episodes:
    """A user who is shown item 0 of 0 and 1 in every step, and offered items 2 and 3 after each."""
    steps = len(rewards)
    offer = np.array([[[0, 1]] + [[2, 3]] * steps], np.int32)
    return Episodes(
        offer, np.zeros((1, steps + 1, 0), np.float32), np.zeros((1, steps, 1), np.int32),
        np.full((1, steps), choice, np.int8), np.array([rewards], np.float32), np.ones((1, steps), np.float32),
        np.array([terminated]), np.ones((1, steps), bool),
    )  # fmt: skip


def found(online: Tensors, target: Tensors, rewards: list[float], terminated: bool, how: Targets) -> Losses:
    """The losses of such a user who never chooses."""
    block = Block.of(episode(rewards, -1, terminated), 0, len(rewards))
    return losses(online, target, SPEC, FEATURES, block, how)


def test_losses_of_a_network_that_knows_nothing() -> None:
    """With all logits and values 0 a choice between one item and nothing costs log 2, a reward of 1 Huber(1) = .5."""
    block = Block.of(episode([1.0], 0, True), 0, 1)
    nothing = losses(zeros(), zeros(), SPEC, FEATURES, block, Targets(discount=0.5))
    np.testing.assert_allclose([np.log(2.0), 0.5, 1.0], [nothing.choice, nothing.td, nothing.surprise[0]], rtol=1e-6)


@pytest.mark.parametrize(("terminated", "expected"), [(True, 0.5), (False, 1.5)])
def test_truncation_bootstraps_and_termination_does_not(terminated: bool, expected: float) -> None:
    """With a target value of 2 and a discount of .5 a cut episode is worth 1 + 1, an ended one 1."""
    td = found(zeros(), zeros(value__b=2.0), [1.0], terminated, Targets(discount=0.5)).td
    np.testing.assert_allclose(expected, td.item(), rtol=1e-6)


def test_the_target_is_the_next_states_slate() -> None:
    """Item 0, shown now, is worth 100; of what is offered next the best is worth 4, chosen half the time: y = 1 + 1."""
    params = zeros(item__q__bias=[100.0, 0.0, 4.0, 0.0])
    np.testing.assert_allclose(1.5, found(params, params, [1.0], False, Targets(discount=0.5)).td.item(), rtol=1e-6)


@pytest.mark.parametrize(("double", "expected"), [(True, 0.5), (False, 1.5)])
def test_the_online_network_chooses_the_next_slate_where_learning_is_double(double: bool, expected: float) -> None:
    """Online prefers item 3, of which the target says 0 (y = 1); the target itself would take item 2 for 4 (y = 2)."""
    online = zeros(item__q__bias=[0.0, 0.0, 1.0, 2.0])
    target = zeros(item__q__bias=[0.0, 0.0, 4.0, 0.0])
    td = found(online, target, [1.0], False, Targets(discount=0.5, double=double)).td
    np.testing.assert_allclose(expected, td.item(), rtol=1e-6)


@pytest.mark.parametrize(("steps", "expected"), [(1, (4.5 + 5.5 + 7.5) / 3), (2, (3.5 + 5.5 + 7.5) / 3)])
def test_returns_take_as_many_rewards_as_asked(steps: int, expected: float) -> None:
    """Rewards 1, 2, 4 and a value of 8 at gamma 1/2: y = 5, 6, 8 after one reward, 4, 6, 8 after two."""
    td = found(zeros(), zeros(value__b=8.0), [1.0, 2.0, 4.0], False, Targets(discount=0.5, steps=steps)).td
    np.testing.assert_allclose(expected, td.item(), rtol=1e-6)


def test_a_users_losses_count_by_the_users_weight() -> None:
    """Of two users with Huber losses .5 and 1.5 the second counts a third: (.5 + .5) / 2."""
    one, two = episode([1.0], -1, True), episode([2.0], -1, True)
    both = Episodes(*(np.concatenate([getattr(one, n), getattr(two, n)]) for n in Episodes.__slots__))
    weighed = losses(zeros(), zeros(), SPEC, FEATURES, Block.of(both, 0, 1), Targets(), torch.tensor([1.0, 1 / 3]))
    np.testing.assert_allclose([0.5, 2 / 3 * np.log(2.0)], [weighed.td, weighed.choice], rtol=1e-6)
    np.testing.assert_allclose([1.0, 2.0], weighed.surprise)


def test_what_follows_a_users_leaving_teaches_nothing() -> None:
    """Losses are those of episodes that end where all users left, whatever stands in the steps after it."""
    rng = np.random.default_rng(3)
    spec = worlds_of_numbers.spec("maml")
    tensors = {k: torch.as_tensor(v) for k, v in worlds_of_numbers.lively(q_network.init(spec, rng), rng).items()}
    features = torch.from_numpy(worlds_of_numbers.catalogue(rng).features)
    whole, ended = random_episodes(rng, steps=7), np.ones(6, bool)
    left = replace(whole, terminated=ended, active=np.tile(np.arange(7) < 4, (6, 1)))
    cut = Episodes(
        whole.offer[:, :5], whole.context[:, :5], whole.slate[:, :4], whole.choice[:, :4], whole.reward[:, :4],
        whole.elapsed[:, :4], ended, np.ones((6, 4), bool),
    )  # fmt: skip
    for how in (Targets(), Targets(steps=2)):
        expected, actual = (losses(tensors, tensors, spec, features, Block.of(x, 1, 6), how) for x in (cut, left))
        np.testing.assert_allclose(expected.choice.item(), actual.choice.item(), rtol=1e-6)
        np.testing.assert_allclose(expected.td.item(), actual.td.item(), rtol=1e-6)
        np.testing.assert_allclose(expected.surprise, actual.surprise, rtol=1e-6)


def test_a_block_that_all_users_left_before_costs_nothing() -> None:
    """No step, no loss: 0 rather than a mean over nothing."""
    one = episode([1.0, 1.0], 0, True)
    block = Block.of(replace(one, active=np.array([[True, False]])), 1, 1)
    nothing = losses(zeros(), zeros(), SPEC, FEATURES, block, Targets())
    assert [0.0, 0.0, 0.0] == [nothing.choice.item(), nothing.td.item(), nothing.surprise[0].item()]


def test_losses_after_the_earlier_inner_steps_fade_out() -> None:
    """All steps count alike at first, the last alone from the end of the share on."""
    np.testing.assert_allclose((1 / 3, 1 / 3, 1 / 3), fading(3, 0.0, 0.5))
    np.testing.assert_allclose((1 / 6, 1 / 6, 4 / 6), fading(3, 0.25, 0.5))
    assert () == fading(3, 0.5, 0.5)
    assert () == fading(3, 0.0, 0.0)


def random_episodes(rng: np.random.Generator, users: int = 6, steps: int = 5) -> Episodes:
    """Users who choose at random from slates of two of four candidates."""
    offer = rng.integers(0, worlds_of_numbers.ITEMS, (users, steps + 1, 4)).astype(np.int32)
    choice = rng.integers(-1, 2, (users, steps)).astype(np.int8)
    reward = (choice >= 0).astype(np.float32)
    nothing, alike = np.zeros((users, steps + 1, 0), np.float32), np.ones((users, steps), np.float32)
    ends = (np.zeros(users, bool), np.ones((users, steps), bool))
    return Episodes(offer, nothing, offer[:, :-1, :2], choice, reward, alike, *ends)


def test_a_multi_step_loss_weighs_what_each_inner_step_reached() -> None:
    """A quarter of the choice loss after one step and three quarters of that after two."""
    rng = np.random.default_rng(2)
    spec = worlds_of_numbers.spec("maml")
    params = worlds_of_numbers.lively(q_network.init(spec, rng), rng)
    tensors = {k: torch.as_tensor(v) for k, v in params.items()}
    features = torch.from_numpy(worlds_of_numbers.catalogue(rng).features)
    block = Block.of(random_episodes(rng), 1, 3)

    def choice(shape: Spec, by_step: tuple[float, ...] = ()) -> float:
        return losses(tensors, tensors, shape, features, block, Targets(), by_step=by_step).choice.item()

    expected = 0.25 * choice(replace(spec, steps=1)) + 0.75 * choice(spec)
    assert abs(choice(replace(spec, steps=1)) - choice(spec)) > 1e-3
    np.testing.assert_allclose(expected, choice(spec, (0.25, 0.75)), rtol=1e-6)


def after_a_step(order: int, first_order: float, progress: float) -> np.ndarray[tuple[int, ...], np.dtype[np.floating]]:
    """The prior of a learner of this order after one step."""
    rng = np.random.default_rng(1)
    how = Settings(batch=8, block=3, memory=8, steps=2, warm_up=1, first_order=first_order)
    spec = worlds_of_numbers.spec("maml", order=order)
    learner = Learner(spec, worlds_of_numbers.catalogue(rng).features, 5, rng, how)
    learner.memory.add(random_episodes(rng))
    learner.step(progress)
    return learner.learnt()["evidence.decay"]


def test_gradients_are_of_first_order_for_a_first_share_of_the_iterations() -> None:
    """Before half of the way such a learner steps as one of order 1, from there on as one of order 2."""
    np.testing.assert_array_equal(after_a_step(1, 0.0, 0.49), after_a_step(2, 0.5, 0.49))
    np.testing.assert_array_equal(after_a_step(2, 0.0, 0.5), after_a_step(2, 0.5, 0.5))
    assert after_a_step(1, 0.0, 0.5) != after_a_step(2, 0.0, 0.5)


def test_a_learner_starts_to_forget_as_it_is_told() -> None:
    """To remember a share of .8 a decision is a logit of log 4."""
    rng = np.random.default_rng(1)
    features = worlds_of_numbers.catalogue(rng).features
    learner = Learner(worlds_of_numbers.spec("maml"), features, 5, rng, Settings(remember=0.8))
    np.testing.assert_allclose(np.log(4.0), learner.learnt()["evidence.decay"], rtol=1e-6)


def test_an_alert_copy_remembers_less() -> None:
    """A logit of 2 less half a unit is 1.5; who weighs no evidence stays as they are."""
    assert {"evidence.decay": 1.5} == alert({"evidence.decay": np.asarray(2.0)}, 0.5)
    assert {} == alert({}, 0.5)


def test_a_gradient_that_is_no_number_moves_nothing() -> None:
    """The root of 0 has a finite value and an infinite slope; the parameters stay as they were."""
    x = torch.zeros((), requires_grad=True)
    with pytest.raises(FloatingPointError, match=r"the loss is 0.0, the norm of its gradient inf"):
        descend(x.sqrt(), {"x": x}, torch.optim.SGD([x], 0.1), 1.0)
    assert 0.0 == x.item()
