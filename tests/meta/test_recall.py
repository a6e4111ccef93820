"""What is recalled of a task, against sums done by hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from meta import q_network
from meta.adapters import ADAPTERS
from meta.spec import Spec
from meta.trainer.recall import TAU, Credit, Steps, action_values, adapt, advantages, believe, recall, worth
from meta.types import FloatArray
from tests.meta.worlds_of_numbers import lively


def shape(adapter: str = "maml", history: int = 3) -> Spec:
    """Two actions, three floats of observation."""
    return Spec(
        items=2, features=2, width=4, hidden=5, slate="graded", adapter=adapter, context=3, steps=2, history=history
    )


def network(spec: Spec) -> dict[str, FloatArray]:
    """Parameters away from their start, and a tau."""
    rng = np.random.default_rng(0)
    return lively(q_network.init(spec, rng), rng) | {TAU: np.asarray(0.5, np.float32)}


def one_life(rewards: list[float], *, ended: list[int] | None = None, terminated: list[int] | None = None) -> Steps:
    """One task's steps with these rewards; the indices of those that ended their episode."""
    count = len(rewards)
    at = np.arange(count)
    states = np.random.default_rng(1).standard_normal((1, count + 1, 3)).astype(np.float32)
    return Steps(
        states[:, :-1],
        (at % 2)[None],
        np.asarray([rewards], np.float32),
        states[:, 1:],
        np.isin(at, terminated or [])[None],
        np.isin(at, (ended or []) + (terminated or []))[None],
        np.ones((1, count), bool),
    )


def flat(spec: Spec, value: float) -> dict[str, FloatArray]:
    """A network to which every state is worth the same."""
    return network(spec) | {"value.w": np.zeros(spec.hidden, np.float32), "value.b": np.asarray(value, np.float32)}


def test_surprise_is_what_came_minus_what_was_foretold() -> None:
    """Where every state is worth 2 and gamma is .5, a reward of 3 surprises by 3 + 1 - 2, at the very end by 3 - 2."""
    spec = shape()
    found = advantages(flat(spec, 2.0), spec, one_life([3.0, 0.0, 3.0], terminated=[2]), Credit(0.5, 0.0))
    np.testing.assert_allclose([[2.0, -1.0, 1.0]], found)


def test_later_surprise_is_shared_backwards_within_the_episode() -> None:
    """With gamma lambda = .25 each step takes a quarter of the next one's, but nothing from another episode."""
    spec = shape()
    found = advantages(flat(spec, 0.0), spec, one_life([0.0, 4.0, 8.0, 16.0], ended=[1]), Credit(0.5, 0.5))
    np.testing.assert_allclose([[1.0, 4.0, 12.0, 16.0]], found)


def test_an_episode_that_is_cut_goes_on_being_worth_something() -> None:
    """Cut after the second step: V(s') counts; terminated there: it does not."""
    spec = shape()
    params = network(spec)
    cut, over = one_life([1.0, 1.0], ended=[1]), one_life([1.0, 1.0], terminated=[1])
    missing = advantages(params, spec, cut, Credit(0.5, 0.0)) - advantages(params, spec, over, Credit(0.5, 0.0))
    np.testing.assert_allclose([[0.0, 0.5 * worth(params, spec, cut.next_observation[0])[1]]], missing, atol=1e-6)


def test_worth_is_the_value_to_somebody_without_history() -> None:
    """V(s) equals the network's own belief with no event at all."""
    spec = shape()
    params = network(spec)
    life = one_life([0.0] * 4)
    nothing = recall(params, spec, Steps(**{f.name: getattr(life, f.name) for f in fields(Steps)} | {
        "valid": np.zeros((1, 4), bool)}), Credit(0.5, 0.0))  # fmt: skip
    table = q_network.items(params, spec, np.eye(2, dtype=np.float32))
    belief = believe(params, spec, table, nothing, adapt(params, spec, table, nothing), life.observation)
    np.testing.assert_allclose(worth(params, spec, life.observation[0]), belief.value[0], atol=1e-6)
    assert [0] == nothing.length.tolist()


def test_the_most_surprising_steps_are_kept_in_time_order() -> None:
    """Of five steps the three largest surprises become events, each graded sigmoid(A / tau), each in its own state."""
    spec = shape(history=3)
    life = one_life([1.0, -5.0, 0.5, 2.0, 0.0])
    events = recall(flat(spec, 0.0), spec, life, Credit(0.5, 0.0))
    assert [[0, 1, 1]] == events.item.tolist()
    np.testing.assert_allclose([1 / (1 + np.exp(-a / 0.5)) for a in (1.0, -5.0, 2.0)], events.reward[0], atol=1e-6)
    np.testing.assert_array_equal(life.observation[0, [0, 1, 3]], events.context[0])
    assert ([[0, 1, 2]], [3]) == (events.group.tolist(), events.length.tolist())


def test_the_best_action_is_worth_what_the_state_is() -> None:
    """max_a Q(s, a) = V(s)."""
    spec = shape()
    params = network(spec)
    table = q_network.items(params, spec, np.eye(2, dtype=np.float32))
    life = one_life([1.0, 0.0, 2.0])
    events = recall(params, spec, life, Credit(0.9, 0.5))
    belief = believe(params, spec, table, events, adapt(params, spec, table, events), life.observation)
    np.testing.assert_allclose(belief.value, action_values(params, belief, table).max(-1), atol=1e-6)


@pytest.mark.parametrize("adapter", sorted(ADAPTERS))
def test_numpy_equals_torch(adapter: str) -> None:
    """What plays in numpy is what trains in torch: the values of all actions agree to 1e-5."""
    spec = shape(adapter)
    params = network(spec)
    life = one_life([1.0, -1.0, 0.5, 2.0], terminated=[1])

    def values(params: dict[str, FloatArray], life: Steps, features: FloatArray) -> FloatArray:
        table = q_network.items(params, spec, features)
        events = recall(params, spec, life, Credit(0.9, 0.5))
        belief = believe(params, spec, table, events, adapt(params, spec, table, events), life.observation)
        return np.asarray(action_values(params, belief, table))

    theirs = values(
        {name: torch.as_tensor(value) for name, value in params.items()},
        Steps(**{field.name: torch.as_tensor(getattr(life, field.name)) for field in fields(Steps)}),
        torch.eye(2),
    )
    np.testing.assert_allclose(values(params, life, np.eye(2, dtype=np.float32)), theirs, atol=1e-5)
