"""Going down a gradient: Adam with a warm-up and a cosine, and steps that are clipped or refused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby

import torch

Tensors = dict[str, torch.Tensor]


def adam(
    params: Tensors, rate: float, faster: Mapping[str, float], warm_up: int, steps: int
) -> tuple[torch.optim.Adam, torch.optim.lr_scheduler.LambdaLR]:
    """Adam over `params`, and the schedule of its step sizes.

    Args:
        params: by name.
        rate: peak step size.
        faster: by the start of a parameter's name, the multiple of the rate that it takes.
        warm_up: steps until the peak, from where a cosine falls to a fiftieth.
        steps: of the whole schedule.
    """
    names = in_order(params, faster)
    alike = groupby(names, key=lambda name: _multiple(name, faster))
    groups = [{"params": [params[name] for name in some], "lr": multiple * rate} for multiple, some in alike]
    optimiser = torch.optim.Adam(groups, fused=True)

    def factor(step: int) -> float:
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))
        return min(1.0, (step + 1) / warm_up) * (0.02 + 0.98 * cosine)

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def in_order(params: Tensors, faster: Mapping[str, float]) -> list[str]:
    """Names of the parameters as `adam` keeps them: those of one step size together."""
    return sorted(params, key=lambda name: _multiple(name, faster))


def _multiple(name: str, faster: Mapping[str, float]) -> float:
    return next((multiple for start, multiple in faster.items() if name.startswith(start)), 1.0)


@contextmanager
def iteration(number: int) -> Iterator[None]:
    """Tells in which iteration, counted from 1, a loss was not finite."""
    try:
        yield
    except FloatingPointError as error:
        raise FloatingPointError(f"{error}: training stopped in iteration {number}, nothing was saved") from error


def descend(loss: torch.Tensor, params: Tensors, optimiser: torch.optim.Optimizer, clip: float) -> None:
    """Take one step down the clipped gradient; FloatingPointError, and no step, where it or the loss is not finite."""
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    norm = torch.nn.utils.clip_grad_norm_(params.values(), clip).item()
    if not (math.isfinite(loss.item()) and math.isfinite(norm)):
        raise FloatingPointError(
            f"the loss is {loss.item()}, the norm of its gradient {norm}; train with a smaller rate"
        )
    optimiser.step()
