"""Stacked networks of each task's own: their gradient, and meta-gradients against the library `higher`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from meta.adapters.layers import Layers, pack, sizes, unpack
from meta.td import huber

WIDTHS = (3, 5, 4, 1)
TASKS, EXAMPLES, STEPS, RATE = 4, 6, 3, 0.1


def network(rng: np.random.Generator) -> Layers:
    """One network, float64."""
    return Layers.of([torch.tensor(rng.standard_normal(shape) * 0.5) for shape in sizes(WIDTHS)])


def examples(rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs [TASKS, EXAMPLES, 3] and targets [TASKS, EXAMPLES, 1]."""
    return torch.tensor(rng.standard_normal((TASKS, EXAMPLES, 3))), torch.tensor(
        rng.standard_normal((TASKS, EXAMPLES, 1))
    )


def slope(y: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Derivative of the mean Huber loss over a task's examples."""
    return lambda out: (out - y).clamp(-1.0, 1.0) / EXAMPLES


def test_the_written_out_gradient_is_the_one_of_autograd() -> None:
    """Every weight of a stack of networks gets what autograd gives it."""
    rng = np.random.default_rng(0)
    stacked = network(rng).map(lambda w: w.repeat(TASKS, *[1] * w.ndim).requires_grad_())
    x, y = examples(rng)
    ours = stacked.gradient(x, slope(y)).arrays()
    loss = huber(stacked.forward(x) - y).mean(dim=(1, 2)).sum()
    expected = torch.autograd.grad(loss, stacked.arrays())
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2])
def test_meta_gradients_equal_those_of_higher(order: int) -> None:
    """Three inner steps on Huber, outer loss at the adapted weights: both orders agree with `higher` to 1e-6."""
    higher = pytest.importorskip("higher", reason="needs the extra `bench`")
    rng = np.random.default_rng(1)
    shared = network(rng).map(lambda w: w.requires_grad_())
    (x, y), (later, wanted) = examples(rng), examples(rng)

    theta = shared.map(lambda w: w.expand(TASKS, *w.shape))
    for _ in range(STEPS):
        gradient = theta.gradient(x, slope(y), order)
        theta = Layers.of([w - RATE * g for w, g in zip(theta.arrays(), gradient.arrays(), strict=True)])
    ours = torch.autograd.grad(huber(theta.forward(later) - wanted).mean(), shared.arrays())

    model = torch.nn.Sequential(*[
        part for i, o in pairwise(WIDTHS) for part in (torch.nn.Linear(i, o), torch.nn.Tanh())
    ][:-1]).double()  # fmt: skip
    with torch.no_grad():
        for layer, w, b in zip(model[::2], shared.weights, shared.biases, strict=True):
            layer.weight.copy_(w.T)
            layer.bias.copy_(b)
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE)
    for task in range(TASKS):
        with higher.innerloop_ctx(model, optimiser, track_higher_grads=order == 2, copy_initial_weights=False) as (
            f,
            o,
        ):
            for _ in range(STEPS):
                o.step(torch.nn.functional.huber_loss(f(x[task]), y[task]))
            outer = torch.nn.functional.huber_loss(f(later[task]), wanted[task]) / TASKS
            start = list(f.parameters(time=0 if order == 2 else -1))
            for p, g in zip(model.parameters(), torch.autograd.grad(outer, start), strict=True):
                p.grad = g if p.grad is None else p.grad + g
    for layer, w, b in zip(model[::2], ours[0::2], ours[1::2], strict=True):
        torch.testing.assert_close(w, layer.weight.grad.T, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(b, layer.bias.grad, atol=1e-6, rtol=1e-6)


def test_a_packed_network_comes_back() -> None:
    """Packing and unpacking is the identity, on numpy too."""
    rng = np.random.default_rng(2)
    arrays = [rng.standard_normal((2, 3, *shape)) for shape in sizes(WIDTHS)]
    vector = pack(Layers.of(arrays), 2)
    assert (2, 3, 3 * 5 + 5 + 5 * 4 + 4 + 4 + 1) == vector.shape
    for mine, back in zip(arrays, unpack(vector, WIDTHS).arrays(), strict=True):
        np.testing.assert_array_equal(mine, back)
