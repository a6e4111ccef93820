"""The few array functions that the array API lacks, or that are dear in small arrays: numpy and torch alike."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from meta.types import Array


@cache
def _number(value: float, dtype: Any) -> Array:
    """A number as an array without axes: beside a small array it costs half of what a Python number does."""
    return np.asarray(value, dtype)


_ZERO, _HALF, _ONE = (_number(value, np.float32) for value in (0.0, 0.5, 1.0))


def namespace(x: Array) -> Any:
    """The array-API namespace of `x`: numpy when serving, torch when training."""
    return np if type(x) is np.ndarray or is_numpy(x) else array_namespace(x)


def is_numpy(x: Array) -> bool:
    """Whether `x` is an array or a scalar of numpy; cheaper than the library's own test."""
    return isinstance(x, (np.ndarray, np.generic))


def stop_gradient(x: Array) -> Array:
    """`x` as a constant: no gradient flows through it (the identity on numpy)."""
    return x if is_numpy(x) else x.detach()


def clip(x: Array, low: float | None, high: float | None) -> Array:
    """`x` within bounds; on numpy at a third of the price of its own function, which is felt in small arrays."""
    if not is_numpy(x):
        return x.clamp(low, high)
    x = x if low is None else np.maximum(x, _number(low, x.dtype))
    return x if high is None else np.minimum(x, _number(high, x.dtype))


def cast(x: Array, dtype: Any) -> Array:
    """`x` in another type; on numpy at a third of the price of its own function."""
    return x.astype(dtype) if is_numpy(x) else x.to(dtype)


def spread(x: Array, shape: tuple[int, ...]) -> Array:
    """`x` broadcast to a shape; on numpy a copy, unless it has the shape, at a tenth of the price of a view."""
    if not is_numpy(x):
        return x.expand(shape)
    if x.shape == shape:
        return x
    out = np.empty(shape, x.dtype)
    out[...] = x
    return out


def plus_one(x: Array) -> Array:
    """1 + x, any shape."""
    return x + _ONE if is_numpy(x) else x + 1.0


def positive(x: Array) -> Array:
    """1 where x is above 0, else 0, in its own type, any shape."""
    return np.heaviside(x, _ZERO) if is_numpy(x) else (x > 0).to(x.dtype)


def first_true(x: Array) -> Array:
    """Place of the first true along the last axis, 0 where there is none: bool [..., T] -> int [...]."""
    return x.argmax(-1) if is_numpy(x) else x.byte().argmax(-1)


def softplus(x: Array) -> Array:
    """log(1 + e^x) without overflow, any shape."""
    return np.logaddexp(x, _ZERO) if is_numpy(x) else x.logaddexp(x.new_zeros(()))


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x) without overflow, any shape."""
    return opened(np.tanh(_HALF * x)) if is_numpy(x) else x.sigmoid()


def opened(x: Array) -> Array:
    """How far a gate is open, sigmoid(2 z), from x = tanh(z), any shape: the gates of a cell share its tanh."""
    return _HALF * x + _HALF if is_numpy(x) else 0.5 * x + 0.5


def log_softmax(x: Array) -> Array:
    """Logarithm of the softmax, x - log sum e^x, along the last axis, any shape."""
    if not is_numpy(x):
        return x.log_softmax(-1)
    shifted = x - np.max(x, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def top(x: Array, k: int, *, ordered: bool = True) -> Array:
    """Indices of the `k` largest along the last axis, `ordered` largest first: [..., N] -> int [..., k], k <= N."""
    if not is_numpy(x):
        return x.topk(k, dim=-1, sorted=ordered).indices
    if 4 * k < x.shape[-1]:
        part = np.argpartition(x, -k, axis=-1)[..., -k:]
        if not ordered:
            return part
        return take(part, np.argsort(-take(x, part), axis=-1, kind="stable"))
    return np.argsort(-x, axis=-1, kind="stable")[..., :k]


def lines(x: Array, at: Array) -> Array:
    """X[at], lines of a table [N, ...] at places >= 0 of any shape, at a third of the price of taking numbers."""
    if hasattr(x, "index_select"):  # a table of an assortment is neither numpy's nor torch's, and takes as numpy does
        return x.index_select(0, at.flatten()).reshape(*at.shape, *x.shape[1:])
    return x.take(at, 0)


def take(x: Array, index: Array) -> Array:
    """Entries of `x` [..., N] at `index` [..., K] along the last axis."""
    if not is_numpy(x):
        return x.gather(-1, index)
    if x.ndim == 2:  # what serving does, at a quarter of the general function's price
        return x[np.arange(len(x))[:, None], index]
    return np.take_along_axis(x, index, -1)
