"""What people like you like: popularity by attribute, as one more term of the advantage of logged data.

Every attribute feature makes a group of the users who have it; a number makes two, those above its mean and those below
it, by how far up to one deviation. A group's likes of an item are compared with what they would be if it liked as
everybody does: (likes + s) / (expected + s), a relative risk under a Gamma prior (Clayton & Kaldor 1987), so that small
groups and rare items say little. The term is the sum of the logarithms over a user's groups. It fades as the
user's own events come to tell more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from meta.arrays import namespace
from meta.spec import Spec
from meta.types import Array, FloatArray, IntArray, Params

OF, RATIO, GAIN = "groups.of", "groups.ratio", "groups.gain"
SHRINK = 10.0
"""Likes by which a ratio is held near 1."""
LEAST = 5.0
"""Users that make a group."""


def init(spec: Spec) -> dict[str, npt.NDArray[Any]]:
    """Groups that differ in nothing: int32 [G] sides, float32 [N, G] log ratios, float32 [2] gain and log half-fade."""
    return {
        OF: np.ones(spec.groups, np.int32),
        RATIO: np.zeros((spec.items, spec.groups), np.float32),
        GAIN: np.asarray([0.7, 2.3], np.float32),
    }


def sides(attributes: FloatArray, most: int) -> npt.NDArray[np.int32]:
    """The groups that users [U, A] make, the largest first: int32 [G], feature + 1, negative for its side below 0."""
    signed = np.concatenate([np.arange(attributes.shape[1]) + 1, -np.arange(attributes.shape[1]) - 1])
    size = members(signed, attributes).sum(0)
    order = np.argsort(-size, kind="stable")
    return np.asarray(signed[order[size[order] >= LEAST]][:most], np.int32)


def members(of: IntArray, attributes: FloatArray) -> FloatArray:
    """How far users [B, A] belong to groups [G]: [B, G], in 0..1."""
    out: FloatArray = np.clip(attributes[:, np.abs(of) - 1] * np.sign(of), 0.0, 1.0)
    return out


def fit(of: IntArray, attributes: FloatArray, user: IntArray, item: IntArray, items: int) -> npt.NDArray[np.float32]:
    """Log ratios of the groups' likes to everybody's: float32 [N, G].

    Args:
        of: int [G], from `sides`.
        attributes: float [U, A].
        user: int [M], users of likes, in 0..U-1.
        item: int [M], liked items, in 0..items-1.
        items: N.
    """
    belongs = members(of, attributes)[user]
    likes = np.stack([np.bincount(item, weight, items) for weight in belongs.T], axis=1)
    everybody = np.bincount(item, minlength=items) / max(len(item), 1)
    expected = everybody[:, None] * likes.sum(0)
    return np.asarray(np.log((likes + SHRINK) / (expected + SHRINK)), np.float32)


def fade(params: Params, events: Array) -> Array:
    """Weight of the term after so many events, of any shape: gain / (1 + n / half)."""
    xp = namespace(events)
    gain = params[GAIN]
    return gain[0] / (1.0 + events * xp.exp(-gain[1]))


def scores(params: Params, attributes: FloatArray, events: FloatArray, candidates: IntArray | None) -> FloatArray:
    """The term when serving.

    Args:
        params: parameters of `init`.
        attributes: float [B, A].
        events: float [B], events that each user's copy has seen.
        candidates: int [B, C], rows that it is wanted for; None: of every item.

    Returns:
        float32 [B, C], or [B, N]; 0 for users of whom nothing is known.
    """
    weight = fade(params, events)[:, None] * members(params[OF], attributes)
    if candidates is None:
        return np.asarray(weight @ params[RATIO].T, np.float32)
    return np.asarray((params[RATIO][candidates] @ weight[..., None])[..., 0], np.float32)
