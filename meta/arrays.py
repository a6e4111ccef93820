"""The few array functions that the array API lacks, for numpy arrays and torch tensors alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from meta.types import Array


def namespace(x: Array) -> Any:
    """The array-API namespace of `x`: numpy when serving, torch when training."""
    return np if is_numpy_array(x) else array_namespace(x)


def stop_gradient(x: Array) -> Array:
    """`x` as a constant: no gradient flows through it (the identity on numpy)."""
    return x if is_numpy_array(x) else x.detach()


def softplus(x: Array) -> Array:
    """log(1 + e^x) without overflow, any shape."""
    xp = namespace(x)
    return xp.log1p(xp.exp(-xp.abs(x))) + xp.clip(x, 0.0, None)


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x) without overflow, any shape."""
    xp = namespace(x)
    return 0.5 * (xp.tanh(0.5 * x) + 1.0)


def top(x: Array, k: int) -> Array:
    """Indices of the `k` largest entries along the last axis, largest first: [..., N] -> int [..., k], k <= N."""
    if not is_numpy_array(x):
        return x.topk(k, dim=-1).indices
    if 4 * k < x.shape[-1]:
        part = np.argpartition(x, -k, axis=-1)[..., -k:]
        order = np.argsort(-np.take_along_axis(x, part, -1), axis=-1, kind="stable")
        return np.take_along_axis(part, order, -1)
    return np.argsort(-x, axis=-1, kind="stable")[..., :k]


def take(x: Array, index: Array) -> Array:
    """Entries of `x` [..., N] at `index` [..., K] along the last axis."""
    if is_numpy_array(x):
        return np.take_along_axis(x, index, -1)
    return x.gather(-1, index)
