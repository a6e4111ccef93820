"""Tables with a row an item, of which a step moves few: what the other rows would have done is made up for later."""

from __future__ import annotations

import math

import numpy as np
import torch

from meta.types import FloatArray, IntArray

Tensors = dict[str, torch.Tensor]

BETA = 0.999
"""Memory of the second moments, by touch of a row."""


class ItemRows:
    """Online values and their running average by item, moved by Adam with one second moment a row and no momentum.

    A moment a row is what is kept of large embedding tables elsewhere too (row-wise Adagrad, DLRM: Naumov et al. 2019);
    a row is touched too seldom for momentum. Between touches a value stands still, so its average is known in closed
    form when it is next asked for. Weight decay is applied when a row is touched, once.

    Args:
        values: float32 [N, ...] by name, taken over.
        rates: peak step size by name.
        decays: weight decay by name, 0 where missing.
    """

    def __init__(self, values: dict[str, FloatArray], rates: dict[str, float], decays: dict[str, float]) -> None:
        self.online = {name: torch.from_numpy(value) for name, value in values.items()}
        self.average = {name: value.clone() for name, value in self.online.items()}
        self._rates, self._decays = rates, decays
        items = len(next(iter(values.values())))
        self.moments = {name: torch.zeros(items) for name in values}
        self.touches = torch.zeros(items)
        self.synced = torch.zeros(items, dtype=torch.float64)  # logarithm of how much averages had faded by then
        self.faded = 0.0

    def gather(self, rows: torch.Tensor) -> tuple[Tensors, Tensors]:
        """The online values of some rows, which learn, and their running average up to this step."""
        online = {name: value[rows] for name, value in self.online.items()}
        average = self._up_to_date(rows, online)
        return {name: value.requires_grad_() for name, value in online.items()}, average

    def step(self, rows: torch.Tensor, online: Tensors, average: Tensors, factor: float, kept: float) -> None:
        """Move rows by the gradients of what was gathered.

        Args:
            rows: int [R].
            online, average: from `gather`, the first after the backward pass.
            factor: of the step sizes.
            kept: share of the old average that stays, above 0, at most 1.
        """
        self.faded += math.log(kept)
        self.touches[rows] += 1.0
        self.synced[rows] = self.faded
        unbiased = 1.0 - BETA ** self.touches[rows]
        with torch.no_grad():
            for name, value in online.items():
                slope = torch.zeros_like(value) if value.grad is None else value.grad
                square = slope**2 if slope.ndim == 1 else (slope**2).mean(-1)
                moment = BETA * self.moments[name][rows] + (1.0 - BETA) * square
                self.moments[name][rows] = moment
                size = factor * self._rates[name]
                scale = size / ((moment / unbiased).sqrt() + 1e-8)
                new = value * (1.0 - size * self._decays.get(name, 0.0)) - _tall(scale, value) * slope
                self.online[name][rows] = new
                self.average[name][rows] = new + (average[name] - new) * kept

    def learnt(self) -> dict[str, FloatArray]:
        """The running average of every row."""
        return {name: value.numpy() for name, value in self._up_to_date(slice(None), self.online).items()}

    def _up_to_date(self, rows: torch.Tensor | slice, online: Tensors) -> Tensors:
        """The running average of rows whose values stood still since they were last touched."""
        faded = torch.exp(self.faded - self.synced[rows]).float()
        return {name: x + (self.average[name][rows] - x) * _tall(faded, x) for name, x in online.items()}

    def state(self) -> Tensors:
        """Everything that is remembered, by name; the tensors themselves."""
        parts = (("online", self.online), ("average", self.average), ("moment", self.moments))
        named = {f"{part}.{name}": value for part, of in parts for name, value in of.items()}
        faded = torch.tensor([self.faded], dtype=torch.float64)
        return named | {"touches": self.touches, "synced": self.synced, "faded": faded}


def positions(rows: IntArray) -> torch.Tensor:
    """Rows as an index of tensors."""
    return torch.from_numpy(np.ascontiguousarray(rows)).long()


def _tall(by_row: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """One number a row, shaped to multiply rows."""
    return by_row.reshape(-1, *[1] * (like.ndim - 1))
