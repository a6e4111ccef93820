"""A user's adapted copy as the store keeps it: a cache, thrown away whenever the policy is another one.

Its watermark says which history it was made from, its mark which attributes, and which changes of the items in it.
A copy of an older history is made anew, or, where the adapter streams, carried on by the events that came since; a copy
of other attributes, or of items that have changed, is made anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meta.policy import Policy
from meta.types import Adaptation, IntArray
from service.store import attributes

MARKS = 16
"""Bytes of a stored copy that name its policy and the history that it was made from, two uint64."""
_LARGEST_HALF = 65_504.0


@dataclass(frozen=True, slots=True)
class Copies:
    """A batch of stored copies.

    Args:
        present: bool [B], true where a copy is stored at all.
        usable: bool [B], true where it was made by this policy and from these attributes.
        watermark: uint64 [B], of the history that it was made from; 0 where none is usable.
        current: bool [B], true where that is the history as it is now.
        adaptation: its contents [B, Z]; the prior where none is usable.
    """

    present: npt.NDArray[np.bool_]
    usable: npt.NDArray[np.bool_]
    watermark: npt.NDArray[np.uint64]
    current: npt.NDArray[np.bool_]
    adaptation: Adaptation


class Packing:
    """How the copies of one policy are stored: 32 bytes, and a half float a number (a float where copies are carried).

    Args:
        policy: whose copies.
    """

    def __init__(self, policy: Policy) -> None:
        self._version = int(policy.version, 16)
        self._prior = policy.prior(1)
        self._reads_attributes = policy.spec.attributes > 0
        number = "<f4" if policy.streams else "<f2"
        head = [
            ("version", "<u8"),
            ("watermark", "<u8"),
            ("mark", "<u8"),
            ("loss_before", "<f2"),
            ("loss_after", "<f2"),
        ]
        self._form: np.dtype[Any] = np.dtype(
            [*head, ("events_used", "<u2"), ("verdict", "<i2"), ("copy", number, (policy.width,))]
        )

    @property
    def size(self) -> int:
        """Bytes of a stored copy."""
        return self._form.itemsize

    def pack(
        self, adaptation: Adaptation, watermark: npt.NDArray[np.uint64], mark: npt.NDArray[np.uint64]
    ) -> list[bytes]:
        """One string for each user of a batch, made from histories at `watermark` [B] and attributes of `mark` [B]."""
        value = np.zeros(len(watermark), self._form)
        value["version"] = self._version
        value["watermark"] = watermark
        value["mark"] = mark
        value["loss_before"] = np.clip(np.nan_to_num(adaptation.loss_before), 0.0, _LARGEST_HALF)
        value["loss_after"] = np.clip(np.nan_to_num(adaptation.loss_after), 0.0, _LARGEST_HALF)
        value["events_used"] = adaptation.events_used
        value["verdict"] = adaptation.verdict
        value["copy"] = adaptation.copy
        return [row.tobytes() for row in value]

    def marks(self, kept: Sequence[bytes | None], changed: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """The marks [B] of stored attributes and of the changed items of histories.

        Attributes that the policy does not read leave none, so that its copies outlive them.
        """
        return attributes.marks(kept) + changed if self._reads_attributes else changed

    def unpack(
        self,
        values: Sequence[bytes | None],
        watermark: npt.NDArray[np.uint64],
        mark: npt.NDArray[np.uint64],
    ) -> Copies:
        """Reads a batch of stored copies of histories that are now at `watermark` [B], and attributes of `mark` [B]."""
        blank = bytes(self.size)
        fits = [value is not None and len(value) == self.size for value in values]
        stored: npt.NDArray[Any] = np.frombuffer(
            b"".join([value if ok and value else blank for value, ok in zip(values, fits, strict=True)]), self._form
        )
        usable = np.array(fits, bool) & (stored["version"] == self._version) & (stored["mark"] == mark)
        made_from = np.where(usable, stored["watermark"], np.uint64(0))
        used: IntArray = stored["events_used"].astype(np.int64)
        adaptation = Adaptation(
            copy=np.where(usable[:, None], stored["copy"].astype(np.float32), self._prior),
            verdict=stored["verdict"].astype(np.int8),
            loss_before=stored["loss_before"].astype(np.float32),
            loss_after=stored["loss_after"].astype(np.float32),
            events_used=used,
        )
        present = np.array([value is not None for value in values], bool)
        return Copies(present, usable, made_from, usable & (made_from == watermark), adaptation)
