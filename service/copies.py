"""A user's adapted copy as the store keeps it: a cache, thrown away whenever version or watermark differ."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meta.types import Adaptation, FloatArray, IntArray

_LARGEST_HALF = 65_504.0


@dataclass(frozen=True, slots=True)
class Copies:
    """A batch of stored copies.

    Args:
        present: bool [B], true where a copy is stored at all.
        current: bool [B], true where it was made by this policy from this history.
        adaptation: its contents [B, E]; only rows that are `current` mean anything.
    """

    present: npt.NDArray[np.bool_]
    current: npt.NDArray[np.bool_]
    adaptation: Adaptation


@functools.cache
def layout(width: int) -> np.dtype[Any]:
    """The stored copy: 24 bytes and a half float a coordinate."""
    head = [("version", "<u8"), ("watermark", "<u8"), ("loss_before", "<f2"), ("loss_after", "<f2")]
    return np.dtype([*head, ("events_used", "<u2"), ("accepted", "<u2"), ("u", "<f2", (width,))])


def encode(adaptation: Adaptation, watermark: npt.NDArray[np.uint64], version: str) -> list[bytes]:
    """Packs copies of a batch of users [B] made by the policy `version` (16 hexadecimal digits)."""
    value = np.zeros(len(watermark), layout(adaptation.u.shape[1]))
    value["version"] = int(version, 16)
    value["watermark"] = watermark
    value["loss_before"] = np.clip(np.nan_to_num(adaptation.loss_before), 0.0, _LARGEST_HALF)
    value["loss_after"] = np.clip(np.nan_to_num(adaptation.loss_after), 0.0, _LARGEST_HALF)
    value["events_used"] = adaptation.events_used
    value["accepted"] = adaptation.accepted
    value["u"] = adaptation.u
    return [row.tobytes() for row in value]


def decode(
    values: Sequence[bytes | None], watermark: npt.NDArray[np.uint64], version: str, prior: FloatArray
) -> Copies:
    """Reads a batch of stored copies; rows that are not current hold the prior [1, E]."""
    form = layout(prior.shape[1])
    blank = bytes(form.itemsize)
    fits = [value is not None and len(value) == form.itemsize for value in values]
    stored: npt.NDArray[Any] = np.frombuffer(
        b"".join([value if ok and value else blank for value, ok in zip(values, fits, strict=True)]), form
    )
    current = np.array(fits, bool) & (stored["version"] == int(version, 16)) & (stored["watermark"] == watermark)
    u = np.where(current[:, None], stored["u"].astype(np.float32), prior)
    used: IntArray = stored["events_used"].astype(np.int64)
    adaptation = Adaptation(
        u=u,
        accepted=stored["accepted"].astype(bool),
        loss_before=stored["loss_before"].astype(np.float32),
        loss_after=stored["loss_after"].astype(np.float32),
        events_used=used,
    )
    return Copies(np.array([value is not None for value in values], bool), current, adaptation)
