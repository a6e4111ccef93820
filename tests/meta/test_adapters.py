"""Every adapter passes one contract; each one's maths is held against an independent derivation."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from meta import q_network
from meta.adapters import ADAPTERS, Support
from meta.experience import history
from meta.spec import Spec
from meta.types import Context, Events, FloatArray
from tests.meta.worlds_of_numbers import catalogue, histories, lively, spec

NAMES = sorted(ADAPTERS)
KINDS = [*((name, "head") for name in NAMES), ("maml", "network")]


def support_of(shape: Spec, params: dict[str, Any], events: Events, features: Any, prefix: Any) -> Support:
    """What the adapter sees of these prefixes."""
    table = q_network.items(params, shape, features)
    nothing = q_network.nothing_known(events, shape).attributes
    return q_network.gather(params, shape, table, events, prefix, nothing)


def adapt(shape: Spec, params: dict[str, FloatArray], events: Events) -> FloatArray:
    """Fast vectors [B, E] after the whole history."""
    features = catalogue(np.random.default_rng(1)).features
    support = support_of(shape, params, events, features, events.length[:, None])
    adapter = ADAPTERS[shape.adapter]
    return np.asarray(adapter.fast(params, shape, q_network.adapt(params, shape, support), support.prior).u)[:, 0]


def to_torch(events: Events) -> Events:
    """The same histories as tensors."""
    return events.map(torch.as_tensor)


@pytest.mark.parametrize(("name", "scope"), KINDS)
@pytest.mark.parametrize("slate", ["logit", "independent"])
def test_slates_of_one_size_are_learnt_from_like_any(name: str, scope: str, slate: str) -> None:
    """Copies and session states after all prefixes do not change when events stand one by one instead."""
    rng = np.random.default_rng(2)
    shape = spec(name, scope=scope, slate=slate, steps=3)
    params = lively(q_network.init(shape, rng), rng)
    table = q_network.items(params, shape, catalogue(rng).features)
    met = (rng.integers(0, 50, (4, 6, 3)), rng.integers(-1, 3, (4, 6)), rng.random((4, 6)))
    events = history(*met, active=np.arange(6) < np.asarray([[0], [3], [5], [6]]))
    prefix = np.broadcast_to(np.arange(7), (4, 7))
    for some in (prefix, prefix[:, -1:]):
        expected, actual = (q_network.believe(params, shape, table, x, some) for x in (events.apart(), events))
        for of in ("u", "taste_v", "taste_q", "value"):
            np.testing.assert_allclose(getattr(expected, of), getattr(actual, of), atol=2e-5)


def reference_nll(u: torch.Tensor, e: torch.Tensor, bias: torch.Tensor, events: Events, user: int) -> torch.Tensor:
    """The likelihood of one user's choices, slate by slate, in plain loops."""
    total = torch.zeros((), dtype=torch.float64)
    for g in range(int(events.length[user])):
        at = [t for t in range(events.item.shape[1]) if events.mask[user, t] and events.group[user, t] == g]
        v = torch.stack([e[t] @ u + bias[t] for t in at])
        chosen = [i for i, t in enumerate(at) if events.reward[user, t] > 0]
        log_z = torch.log(1 + v.exp().sum())
        total = total + (log_z - v[chosen[0]] if chosen else log_z)
    return total


@pytest.mark.parametrize(("name", "scope"), KINDS)
@pytest.mark.parametrize("slate", ["logit", "independent", "graded"])
def test_no_history_gives_exactly_the_prior(name: str, scope: str, slate: str) -> None:
    """User 0 of the histories has no events, so the copy is u0 to the last bit."""
    rng = np.random.default_rng(2)
    shape = spec(name, slate=slate, scope=scope)
    params = lively(q_network.init(shape, rng), rng)
    assert (params["prior"] == adapt(shape, params, histories(rng))[0]).all()


@pytest.mark.parametrize(("name", "scope"), KINDS)
@pytest.mark.parametrize("slate", ["logit", "independent", "graded"])
def test_numpy_equals_torch(name: str, scope: str, slate: str) -> None:
    """One maths, two backends: the whole belief agrees to 1e-5, attributes and contexts included."""
    rng = np.random.default_rng(3)
    shape = spec(name, slate=slate, scope=scope, attributes=2, context=3)
    params = lively(q_network.init(shape, rng), rng)
    features = catalogue(rng).features
    events = dataclasses.replace(histories(rng), context=rng.standard_normal((4, 12, 3)).astype(np.float32))
    known = Context(
        rng.standard_normal((4, 2)).astype(np.float32),
        rng.standard_normal((4, 2, 3)).astype(np.float32),
        np.zeros((4, 2), np.int64),
    )
    prefix = np.stack([events.length, np.maximum(events.length - 2, 0)], axis=1)
    ours = q_network.believe(params, shape, q_network.items(params, shape, features), events, prefix, known)
    tensors = {k: torch.as_tensor(v) for k, v in params.items()}
    table = q_network.items(tensors, shape, torch.as_tensor(features))
    same = Context(*map(torch.as_tensor, (known.attributes, known.request, known.now_ms)))
    theirs = q_network.believe(tensors, shape, table, to_torch(events), torch.as_tensor(prefix), same)
    for part in dataclasses.fields(ours):
        np.testing.assert_allclose(getattr(ours, part.name), getattr(theirs, part.name).numpy(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "scope"), KINDS)
def test_a_prefix_equals_a_shorter_history(name: str, scope: str) -> None:
    """Computing all prefixes in one pass gives what adapting on each truncated history gives."""
    rng = np.random.default_rng(4)
    shape = spec(name, scope=scope)
    params = lively(q_network.init(shape, rng), rng)
    events = histories(rng)
    table = q_network.items(params, shape, catalogue(rng).features)
    prefix = np.minimum(np.asarray([[0, 1, 3]]), events.length[:, None])
    together = q_network.believe(params, shape, table, events, prefix)
    for p in range(3):
        keep = events.mask & (events.group < prefix[:, p, None])
        short = Events(
            np.where(keep, events.item, -1), events.reward * keep, events.group * keep, keep, prefix[:, p],
            events.time_ms * keep,
        )  # fmt: skip
        alone = q_network.believe(params, shape, table, short, prefix[:, p, None])
        np.testing.assert_allclose(alone.taste_q[:, 0], together.taste_q[:, p], atol=1e-5)
        np.testing.assert_allclose(alone.value[:, 0], together.value[:, p], atol=1e-5)


def test_maml_steps_along_the_autograd_gradient() -> None:
    """With unit rates, no pull and no forgetting a step is -dNLL/du, taken by autograd on a loop over slates."""
    rng = np.random.default_rng(6)
    shape = spec("maml", steps=1)
    params = lively(q_network.init(shape, rng), rng)
    params |= ADAPTERS["maml"].init(shape, rng)
    params["evidence.decay"] = np.asarray(30.0, np.float32)
    params["maml.pull"] = np.asarray([-30.0], np.float32)
    events = histories(rng)
    table = q_network.items(params, shape, catalogue(np.random.default_rng(1)).features)
    ours = adapt(shape, params, events)
    for user in range(1, 4):
        rows = np.maximum(events.item[user], 0)
        e, bias = (torch.as_tensor(x[rows], dtype=torch.float64) for x in (table.e_v, table.b_v))
        u = torch.tensor(params["prior"], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(reference_nll(u, e, bias, events, user), u)
        expected = params["prior"] - gradient.numpy() / np.sqrt(1 + events.length[user])
        np.testing.assert_allclose(ours[user], expected, atol=2e-4)


@pytest.mark.parametrize("order", [1, 2])
def test_meta_gradient_equals_autograd_through_a_hand_written_loop(order: int) -> None:
    """D outer / d u0 through two inner steps equals the one of per-user loops with create_graph, to 1e-6."""
    rng = np.random.default_rng(7)
    shape = spec("maml", steps=2, order=order)
    arrays = lively(q_network.init(shape, rng), rng) | ADAPTERS["maml"].init(shape, rng)
    arrays |= {"evidence.decay": np.asarray(60.0), "maml.pull": np.asarray([-60.0, -60.0])}
    events = histories(rng)
    params = {k: torch.tensor(v, dtype=torch.float64) for k, v in arrays.items()}
    params["prior"].requires_grad_(True)
    features = torch.as_tensor(catalogue(rng).features, dtype=torch.float64)
    table = q_network.items(params, shape, features)
    double = dataclasses.replace(to_torch(events), reward=torch.as_tensor(events.reward, dtype=torch.float64))
    support = support_of(shape, params, double, features, double.length[:, None])
    goal = torch.as_tensor(rng.standard_normal(shape.width))
    u = q_network.adapt(params, shape, support)
    (ours,) = torch.autograd.grad(((u[:, 0] - goal) ** 2).sum(), params["prior"])

    outer = torch.zeros((), dtype=torch.float64)
    rate = torch.nn.functional.softplus(params["maml.rate"])
    scale = torch.nn.functional.softplus(params["maml.evidence"][0])
    weight = torch.nn.functional.softplus(params["evidence.outcome"][0])
    for user in range(events.users):
        rows = np.maximum(events.item[user], 0)
        fast = params["prior"]
        for step in range(2):
            loss = weight * reference_nll(fast, table.e_v[rows], table.b_v[rows], events, user)
            gradient = torch.zeros_like(fast)
            if events.length[user]:
                (gradient,) = torch.autograd.grad(loss, fast, create_graph=order == 2)
            fast = fast - rate[step] * gradient / torch.sqrt(1 + int(events.length[user]) / scale)
        outer = outer + ((fast - goal) ** 2).sum()
    (expected,) = torch.autograd.grad(outer, params["prior"])
    np.testing.assert_allclose(ours.numpy(), expected.numpy(), atol=1e-6, rtol=1e-6)


def test_ridge_is_one_newton_step() -> None:
    """U = u0 - (P0 + H)^-1 g with gradient and Hessian taken by autograd."""
    rng = np.random.default_rng(8)
    shape = spec("ridge")
    params = lively(q_network.init(shape, rng), rng)
    fresh = ADAPTERS["ridge"].init(shape, rng)
    params |= {"evidence.outcome": fresh["evidence.outcome"], "evidence.decay": np.asarray(30.0, np.float32)}
    events = histories(rng)
    table = q_network.items(params, shape, catalogue(np.random.default_rng(1)).features)
    ours = adapt(shape, params, events)
    root = params["ridge.root"].astype(np.float64)
    for user in range(1, 4):
        rows = np.maximum(events.item[user], 0)
        e, bias = (torch.as_tensor(x[rows], dtype=torch.float64) for x in (table.e_v, table.b_v))
        u0 = torch.tensor(params["prior"], dtype=torch.float64)

        def nll(u: torch.Tensor, e: torch.Tensor = e, bias: torch.Tensor = bias, user: int = user) -> torch.Tensor:
            return reference_nll(u, e, bias, events, user)

        gradient, hessian = (
            f(nll, u0).numpy() for f in (torch.autograd.functional.jacobian, torch.autograd.functional.hessian)
        )
        expected = u0.numpy() - np.linalg.solve(root @ root.T + 1e-3 * np.eye(5) + hessian, gradient)
        np.testing.assert_allclose(ours[user], expected, atol=2e-4)
