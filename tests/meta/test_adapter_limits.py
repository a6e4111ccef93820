"""Adapters in the limits where they must be something simpler, and the memory against its equations."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import torch

from meta import gate, q_network
from meta.adapters import ADAPTERS, finetune
from meta.adapters.lstm_memory import cell, halved, places, recurrent, time_gaps
from meta.checkpoint import Checkpoint
from meta.policy import Policy
from meta.types import Adaptation, Events, FloatArray
from tests.meta.test_adapters import adapt, reference_nll, support_of, to_torch
from tests.meta.worlds_of_numbers import catalogue, checkpoint_parts, histories, lively, spec


def gradient_descent(
    params: dict[str, FloatArray], events: Events, rate: float, steps: int, power: float
) -> FloatArray:
    """Plain descent on each user's choice loss over (1 + decisions)^power, by autograd on a loop over slates."""
    shape = spec("session")
    table = q_network.items(params, shape, catalogue(np.random.default_rng(1)).features)
    out = []
    for user in range(events.users):
        rows = np.maximum(events.item[user], 0)
        e, bias = (torch.as_tensor(x[rows], dtype=torch.float64) for x in (table.e_v, table.b_v))
        u = torch.tensor(params["prior"], dtype=torch.float64, requires_grad=True)
        for _ in range(steps):
            if not events.length[user]:
                break
            (slope,) = torch.autograd.grad(reference_nll(u, e, bias, events, user), u)
            u = (u - rate * slope / (1 + int(events.length[user])) ** power).detach().requires_grad_()
        out.append(u.detach().numpy())
    return np.stack(out)


def double(params: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """The same numbers in float64."""
    return {name: value.astype(np.float64) for name, value in params.items()}


def doubled(events: Events) -> Events:
    """The same histories as tensors with float64 rewards."""
    return to_torch(dataclasses.replace(events, reward=events.reward.astype(np.float64)))


def even_evidence() -> dict[str, FloatArray]:
    """Every event counts 1 for ever."""
    return {"evidence.decay": np.asarray(60.0), "evidence.outcome": np.asarray([math.log(math.e - 1), 0.0, 0.0])}


def test_a_learned_optimiser_with_pinned_gates_is_gradient_descent() -> None:
    """Forget gate 1 and input gate at the rate: three steps of SGD, to 1e-6."""
    rng = np.random.default_rng(0)
    shape = spec("lstm_optimizer", steps=3)
    params = double(lively(q_network.init(shape, rng), rng)) | even_evidence()
    rate = 0.3
    params |= {
        "optimizer.gates": np.zeros_like(params["optimizer.gates"]),
        "optimizer.bias": np.asarray([math.log(rate / (1 - rate)), 60.0]),
        "optimizer.scale": np.full(shape.width, math.log(math.e - 1)),
        "optimizer.evidence": np.asarray([math.log(math.e - 1), 0.0]),
    }
    events = histories(rng)
    np.testing.assert_allclose(gradient_descent(params, events, rate, 3, 0.5), adapt(shape, params, events), atol=1e-6)


def test_a_learned_optimiser_sees_gradients_as_constants() -> None:
    """What the gates look at is detached: du/du0 of one step is 1 - i scale H, H the Hessian of the choice loss."""
    rng = np.random.default_rng(1)
    shape = spec("lstm_optimizer", steps=1)
    params = {
        k: torch.tensor(v) for k, v in (double(lively(q_network.init(shape, rng), rng)) | even_evidence()).items()
    }
    params["optimizer.evidence"] = torch.tensor([0.5413, -60.0])  # a plain sum of gradients
    events, features = doubled(histories(rng)), torch.tensor(catalogue(rng).features, dtype=torch.float64)
    table = q_network.items(params, shape, features)
    rows = events.item[1].clamp(min=0)

    def adapted(u0: torch.Tensor) -> torch.Tensor:
        moved = params | {"prior": u0}
        support = support_of(shape, moved, events, features, events.length[:, None])
        return torch.as_tensor(q_network.adapt(moved, shape, support))[1, 0]

    def nll(u: torch.Tensor) -> torch.Tensor:
        return reference_nll(u, table.e_v[rows], table.b_v[rows], events, 1)

    u0 = params["prior"]
    slope, hessian = torch.autograd.functional.jacobian(nll, u0), torch.autograd.functional.hessian(nll, u0)
    step = (u0 - adapted(u0)) / slope
    expected = torch.eye(shape.width, dtype=torch.float64) - step[:, None] * hessian
    torch.testing.assert_close(torch.autograd.functional.jacobian(adapted, u0), expected, atol=1e-6, rtol=1e-6)


def test_fine_tuning_is_gradient_descent() -> None:
    """Two steps of SGD on the summed choice loss, and a rate of 0 leaves the pooled prior."""
    rng = np.random.default_rng(2)
    shape = spec("finetune", steps=2)
    params = double(lively(q_network.init(shape, rng), rng)) | {finetune.RATE: np.asarray(0.07)}
    events = histories(rng)
    np.testing.assert_allclose(gradient_descent(params, events, 0.07, 2, 0.0), adapt(shape, params, events), atol=1e-6)
    still = adapt(shape, params | {finetune.RATE: np.asarray(0.0)}, events)
    np.testing.assert_array_equal(np.tile(params["prior"], (4, 1)), still)


def test_the_best_rate_is_kept() -> None:
    """Of all rates the one that a judge scores highest."""
    kept = finetune.tuned({"prior": np.zeros(2)}, lambda params: -abs(float(params[finetune.RATE]) - 0.11))
    assert np.float32(0.1) == kept[finetune.RATE]


def test_no_inner_step_is_the_identity() -> None:
    """MAML with zero steps leaves everybody at the prior, in both scopes."""
    rng = np.random.default_rng(3)
    for scope in ("head", "network"):
        shape = spec("maml", steps=0, scope=scope)
        params = lively(q_network.init(shape, rng), rng)
        np.testing.assert_array_equal(np.tile(params["prior"], (4, 1)), adapt(shape, params, histories(rng)))


def test_a_step_in_network_scope_moves_every_layer_along_the_autograd_gradient() -> None:
    """One step of user 1, layer by layer, against autograd through the session network on a loop over slates."""
    rng = np.random.default_rng(4)
    shape = spec("maml", steps=1, scope="network")
    arrays = double(lively(q_network.init(shape, rng), rng)) | even_evidence()
    arrays |= {
        "maml.pull": np.asarray([-60.0]), "maml.met": np.asarray(0.0), "maml.evidence": np.asarray([0.5413, -60.0]),
        "maml.rate": np.full((1, shape.width), math.log(math.e - 1)),
        "maml.layer_rate": np.full((1, 5), math.log(math.e - 1)),
    }  # fmt: skip
    params = {name: torch.tensor(value) for name, value in arrays.items()}
    events, features = doubled(histories(rng)), torch.tensor(catalogue(rng).features, dtype=torch.float64)
    support = support_of(shape, params, events, features, events.length[:, None])
    adapter = ADAPTERS["maml"]
    layers = adapter.fast(params, shape, q_network.adapt(params, shape, support), support.prior).layers

    moving = [
        params[name].clone().requires_grad_() for name in ("state.w1", "state.b1", "state.w2", "state.b2", "taste.v")
    ]
    u = params["prior"].clone().requires_grad_()
    w1, b1, w2, b2, taste = moving
    total = torch.zeros((), dtype=torch.float64)
    for g in range(int(events.length[1])):
        at = torch.nonzero(events.mask[1] & (events.group[1] == g))[:, 0]
        h = torch.tanh(torch.tanh(support.before[1, at] @ w1 + b1) @ w2 + b2)
        v = ((u + h @ taste) * support.e[1, at]).sum(-1) + support.bias[1, at]
        log_z = torch.log(1 + v.exp().sum())
        total = total + log_z - (v * (events.reward[1, at] > 0)).sum() * 1.0
    for mine, start, slope in zip(layers.arrays(), [*moving, u], torch.autograd.grad(total, [*moving, u]), strict=True):
        torch.testing.assert_close(mine[1, 0], (start - slope).detach(), atol=1e-6, rtol=1e-6)


def test_the_cell_is_the_equations_in_a_scalar_loop() -> None:
    """Unit by unit, with math's own functions, to 1e-6."""
    rng = np.random.default_rng(5)
    m, x, h, c = 3, rng.standard_normal((1, 12)), rng.standard_normal((1, 3)), rng.standard_normal((1, 3))
    u, p = rng.standard_normal((3, 12)), rng.standard_normal((3, 3))

    def sigmoid(a: float) -> float:
        return 1 / (1 + math.exp(-a))

    settled = {"memory.recurrent": halved(recurrent(u, p)), "memory.output": 0.5 * p[2]}
    out = cell(settled, halved(x), np.concat([h, c], axis=1))
    for j in range(m):
        z = [x[0, gate * m + j] + sum(h[0, k] * u[k, gate * m + j] for k in range(m)) for gate in range(4)]
        i, f = sigmoid(z[0] + c[0, j] * p[0, j]), sigmoid(z[1] + c[0, j] * p[1, j])
        c_t = f * c[0, j] + i * math.tanh(z[3])
        o = sigmoid(z[2] + c_t * p[2, j])
        np.testing.assert_allclose([o * math.tanh(c_t), c_t], [out[0, j], out[0, m + j]], atol=1e-6)


def test_the_cell_has_the_gradient_of_finite_differences() -> None:
    """Autograd through the cell agrees with differences in every input and weight."""
    rng = np.random.default_rng(6)
    parts = [
        torch.tensor(rng.standard_normal(shape), requires_grad=True) for shape in ((2, 12), (2, 6), (3, 12), (3, 3))
    ]

    def settled(x: torch.Tensor, state: torch.Tensor, u: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        weights = {"memory.recurrent": halved(recurrent(u, p)), "memory.output": 0.5 * p[2]}
        return torch.as_tensor(cell(weights, halved(x), state))

    assert torch.autograd.gradcheck(settled, parts, eps=1e-6, atol=1e-6)


def test_streaming_equals_the_whole_sequence() -> None:
    """A copy carried on event by event is the copy of the whole history, to 1e-6, whatever was unknown on the way."""
    policy = Policy(Checkpoint(*checkpoint_parts("lstm_memory"), "00000000000000aa"))
    events = histories(np.random.default_rng(7))
    events.mask[1, 1] = False  # an item that the catalogue does not know
    none = np.zeros(4, np.float32)
    adapted = Adaptation(policy.prior(4), np.full(4, gate.ACCEPTED), none, none, np.zeros(4, np.int64))
    for t in range(events.item.shape[1]):
        until = np.arange(events.item.shape[1]) <= t
        seen = Events(
            events.item, events.reward * until, events.group, events.mask & until, events.length, events.time_ms
        )
        adapted = policy.advance(adapted, seen, np.broadcast_to(np.arange(12) == t, (4, 12)))
    np.testing.assert_allclose(policy.adapt(events).copy, adapted.copy, atol=1e-6)
    assert events.mask.sum(1).tolist() == adapted.events_used.tolist()


def test_gaps_and_places_by_hand() -> None:
    """Hours from each event to the next, and the place in the slate."""
    hour = 3_600_000
    events = Events(
        item=np.zeros((1, 4), int), reward=np.zeros((1, 4)), group=np.asarray([[0, 0, 1, 1]]),
        mask=np.ones((1, 4), bool), length=np.asarray([2]), time_ms=np.asarray([[hour, hour, 3 * hour, 2 * hour]]),
    )  # fmt: skip
    assert [[0.0, 2.0, 0.0]] == time_gaps(events).tolist()
    assert [[0, 1, 0, 1]] == places(events).tolist()
