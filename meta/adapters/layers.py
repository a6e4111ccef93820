"""Small fully connected networks with weights of each user's own, stacked over users and differentiated by hand.

One product serves a whole batch of different networks, and because the gradient is written out, numpy serves what torch
trains, and a second-order meta-gradient is exact: autograd goes through the gradient itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from meta.arrays import namespace, stop_gradient
from meta.types import Array


@dataclass(frozen=True, slots=True)
class Layers:
    """A network of L layers, tanh between them; any leading axes stack networks.

    Args:
        weights: L arrays, float [..., I_l, O_l].
        biases: L arrays, float [..., O_l].
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def activations(self, x: Array) -> list[Array]:
        """The input and what each layer gives: [..., T, I] -> L + 1 arrays, the last one the output [..., T, O]."""
        xp = namespace(x)
        found = [x]
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            linear = found[-1] @ weight + bias[..., None, :]
            found.append(linear if place == len(self.weights) - 1 else xp.tanh(linear))
        return found

    def forward(self, x: Array) -> Array:
        """The output: [..., T, I] -> [..., T, O]."""
        return self.activations(x)[-1]

    def backward(self, activations: Sequence[Array], slope: Array) -> Layers:
        """Gradient by every weight of a loss whose derivative by the output is `slope` [..., T, O]; sums over T."""
        weights, biases = [], []
        for place in range(len(self.weights) - 1, -1, -1):
            below = activations[place]
            weights.append(below.mT @ slope)
            biases.append(slope.sum(-2))
            if place:
                slope = (slope @ self.weights[place].mT) * (1.0 - below * below)
        return Layers(tuple(weights[::-1]), tuple(biases[::-1]))

    def gradient(self, x: Array, slope: Callable[[Array], Array], order: int = 2) -> Layers:
        """Gradient at these weights of a loss on x [..., T, I].

        Args:
            x: inputs.
            slope: the loss's derivative by the output, from the output [..., T, O].
            order: 2 keeps the graph of the gradient; 1 takes it as a constant and builds none (first-order MAML).
        """
        at = self if order == 2 else self.map(stop_gradient)
        activations = at.activations(x)
        return at.backward(activations, slope(activations[-1]))

    def map(self, change: Callable[[Array], Array]) -> Layers:
        """Every array changed in the same way."""
        return Layers(tuple(map(change, self.weights)), tuple(map(change, self.biases)))

    def arrays(self) -> list[Array]:
        """Weights and biases, layer by layer."""
        return [x for pair in zip(self.weights, self.biases, strict=True) for x in pair]

    @classmethod
    def of(cls, arrays: Sequence[Array]) -> Layers:
        """The inverse of `arrays`."""
        return cls(tuple(arrays[0::2]), tuple(arrays[1::2]))


def sizes(widths: Sequence[int]) -> list[tuple[int, ...]]:
    """Shapes of the arrays of a network of these widths, in the order of `Layers.arrays`."""
    return [shape for i, o in pairwise(widths) for shape in ((i, o), (o,))]


def pack(layers: Layers, axes: int) -> Array:
    """All weights as one vector: arrays with `axes` leading axes -> [..., Z]."""
    parts = layers.arrays()
    return namespace(parts[0]).concat([x.reshape(*x.shape[:axes], -1) for x in parts], axis=-1)


def unpack(vector: Array, widths: Sequence[int]) -> Layers:
    """The inverse of `pack`: [..., Z] -> a network of these widths."""
    arrays, start = [], 0
    for shape in sizes(widths):
        stop = start + math.prod(shape)
        arrays.append(vector[..., start:stop].reshape(*vector.shape[:-1], *shape))
        start = stop
    return Layers.of(arrays)
