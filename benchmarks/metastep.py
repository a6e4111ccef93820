"""One meta-step of MAML over a batch of tasks: ours beside the libraries, same network, same gradients.

32 tasks, 20 + 20 transitions of 16 features, a network of 64-64-1, three inner steps of SGD on the Huber loss of given
TD targets, outer loss at the adapted weights on the second 20. Ours stacks the tasks and writes the inner gradient out
(`meta/adapters/layers.py`); the peers are `higher` and `torchopt` as their documentation has them, task by task, and
`torch.func` under `vmap`. Every round times all of them in turn; a ratio is the median over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import RESULTS, Claim, write
from meta.adapters.layers import Layers, sizes

TASKS, EXAMPLES, FEATURES, STEPS, RATE = 32, 20, 16, 3, 0.05
WIDTHS = (FEATURES, 64, 64, 1)
ROUNDS = 15

Step = Callable[[], list[torch.Tensor]]
"""One meta-step: the meta-gradient, layer by layer, weights [I, O] before biases [O]."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What every contestant solves.

    Args:
        weights: shared arrays of the network, in the order of `Layers.arrays`.
        x, y: float [TASKS, EXAMPLES, FEATURES] and [TASKS, EXAMPLES, 1], support.
        later, wanted: the same of the query.
    """

    weights: list[torch.Tensor]
    x: torch.Tensor
    y: torch.Tensor
    later: torch.Tensor
    wanted: torch.Tensor

    @classmethod
    def drawn(cls, seed: int) -> Problem:
        """Random weights, states and targets."""
        rng = np.random.default_rng(seed)

        def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
            return torch.tensor(scale * rng.standard_normal(shape), dtype=torch.float32)

        weights = [normal(*shape, scale=0.2).requires_grad_() for shape in sizes(WIDTHS)]
        shapes = [(TASKS, EXAMPLES, FEATURES), (TASKS, EXAMPLES, 1)] * 2
        return cls(weights, *(normal(*shape) for shape in shapes))


def run(out: Path = RESULTS / "metastep.json", rounds: int = ROUNDS) -> dict[str, Any]:
    """Check that all agree, time them, write the result and return it."""
    torch.set_num_threads(1)
    problem = Problem.drawn(0)
    rows, claims = [], []
    for order, bound in ((2, 8.0), (1, 12.0)):
        steps = contestants(problem, order)
        expected = steps["higher"]()
        apart = {name: max(_apart(step(), expected)) for name, step in steps.items()}
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(rounds):
            for name, step in steps.items():
                started = time.process_time()
                step()
                seconds[name].append(time.process_time() - started)
        for name, spent in seconds.items():
            ratio = float(np.median(np.array(spent) / np.array(seconds["ours"])))
            rows.append(
                {
                    "order": order,
                    "meta-step": name,
                    "CPU ms": 1e3 * float(np.median(spent)),
                    "times ours": ratio,
                    "largest difference to higher": apart[name],
                }
            )
            if name == "higher":
                claims.append(Claim(f"order {order}: CPU time of higher's per-task loop over ours", ratio, ">=", bound))
        claims.append(Claim(f"order {order}: largest difference to higher's gradient", apart["ours"], "<=", 1e-6))
    return write(out, command="quickstudy bench metastep", rows=rows, claims=claims, rounds=rounds, seed=0)


def contestants(problem: Problem, order: int) -> dict[str, Step]:
    """Every way to take the step, by name."""
    steps: dict[str, Step] = {
        "ours": lambda: _ours(problem, order),
        "torch.func.vmap": lambda: _vmap(problem, order),
        "per-task loop": lambda: _loop(problem, order),
        "higher": lambda: _higher(problem, order),
    }
    return steps | {"torchopt": lambda: _torchopt(problem)} if order == 2 else steps  # it knows no first order


def _ours(problem: Problem, order: int) -> list[torch.Tensor]:
    def slope(out: torch.Tensor) -> torch.Tensor:
        return (out - problem.y).clamp(-1.0, 1.0) / EXAMPLES

    theta = Layers.of(problem.weights).map(lambda w: w.expand(TASKS, *w.shape))
    for _ in range(STEPS):
        gradient = theta.gradient(problem.x, slope, order)
        theta = Layers.of([w - RATE * g for w, g in zip(theta.arrays(), gradient.arrays(), strict=True)])
    loss = torch.nn.functional.huber_loss(theta.forward(problem.later), problem.wanted)
    return list(torch.autograd.grad(loss, problem.weights))


def _forward(weights: list[torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    for place in range(0, len(weights), 2):
        x = x @ weights[place] + weights[place + 1]
        x = torch.tanh(x) if place < len(weights) - 2 else x
    return x


def _loop(problem: Problem, order: int) -> list[torch.Tensor]:
    total = torch.zeros(())
    for x, y, later, wanted in zip(problem.x, problem.y, problem.later, problem.wanted, strict=True):
        fast = problem.weights
        for _ in range(STEPS):
            loss = torch.nn.functional.huber_loss(_forward(fast, x), y)
            gradient = torch.autograd.grad(loss, fast, create_graph=order == 2)
            fast = [w - RATE * g for w, g in zip(fast, gradient, strict=True)]
        total = total + torch.nn.functional.huber_loss(_forward(fast, later), wanted) / TASKS
    return list(torch.autograd.grad(total, problem.weights))


def _vmap(problem: Problem, order: int) -> list[torch.Tensor]:
    def inner(weights: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.huber_loss(_forward(weights, x), y)

    def outer(
        weights: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor, later: torch.Tensor, wanted: torch.Tensor
    ) -> torch.Tensor:
        fast = weights
        for _ in range(STEPS):
            gradient = torch.func.grad(inner)(fast, x, y)
            gradient = gradient if order == 2 else [g.detach() for g in gradient]
            fast = [w - RATE * g for w, g in zip(fast, gradient, strict=True)]
        return torch.nn.functional.huber_loss(_forward(fast, later), wanted)

    def mean(weights: list[torch.Tensor]) -> torch.Tensor:
        tasks = torch.func.vmap(outer, in_dims=(None, 0, 0, 0, 0))
        return tasks(weights, problem.x, problem.y, problem.later, problem.wanted).mean()

    return list(torch.func.grad(mean)(problem.weights))


def _module(problem: Problem) -> torch.nn.Sequential:
    parts: list[torch.nn.Module] = []
    for w, b in zip(problem.weights[0::2], problem.weights[1::2], strict=True):
        layer = torch.nn.Linear(*w.shape)
        with torch.no_grad():
            layer.weight.copy_(w.T)
            layer.bias.copy_(b)
        parts += [layer, torch.nn.Tanh()]
    return torch.nn.Sequential(*parts[:-1])


def _by_layer(gradients: list[torch.Tensor]) -> list[torch.Tensor]:
    return [g.T if g.ndim == 2 else g for g in gradients]


def _higher(problem: Problem, order: int) -> list[torch.Tensor]:
    import higher

    model = _module(problem)
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE)
    total = [torch.zeros_like(p) for p in model.parameters()]
    for x, y, later, wanted in zip(problem.x, problem.y, problem.later, problem.wanted, strict=True):
        with higher.innerloop_ctx(model, optimiser, track_higher_grads=order == 2, copy_initial_weights=False) as (
            f,
            o,
        ):
            for _ in range(STEPS):
                o.step(torch.nn.functional.huber_loss(f(x), y))
            loss = torch.nn.functional.huber_loss(f(later), wanted) / TASKS
            at = list(f.parameters(time=0 if order == 2 else -1))
            for kept, gradient in zip(total, torch.autograd.grad(loss, at), strict=True):
                kept += gradient
    return _by_layer(total)


def _torchopt(problem: Problem) -> list[torch.Tensor]:
    import torchopt

    model = _module(problem)
    optimiser = torchopt.MetaSGD(model, lr=RATE)
    start = torchopt.extract_state_dict(model), torchopt.extract_state_dict(optimiser)
    shared = list(model.parameters())
    total = [torch.zeros_like(p) for p in shared]
    for x, y, later, wanted in zip(problem.x, problem.y, problem.later, problem.wanted, strict=True):
        for _ in range(STEPS):
            optimiser.step(torch.nn.functional.huber_loss(model(x), y))
        loss = torch.nn.functional.huber_loss(model(later), wanted) / TASKS
        for kept, gradient in zip(total, torch.autograd.grad(loss, shared), strict=True):
            kept += gradient
        torchopt.recover_state_dict(model, start[0])
        torchopt.recover_state_dict(optimiser, start[1])
    return _by_layer(total)


def _apart(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> list[float]:
    return [float((a - b).detach().abs().max()) for a, b in zip(ours, theirs, strict=True)]
