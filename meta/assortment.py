"""What can be ranked now: the catalogue that a policy was made with, and what became of its items since.

Nothing that the policy was made with is changed. A new item, and one whose features have changed, is a row behind the
rows of the catalogue; the row that it replaces, and that of an item that is gone, is hidden. So an assortment is
immutable, and making the next one costs as much as has changed since the policy was made, however large the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from meta import q_network
from meta.catalogue import Catalogue, id_hash
from meta.q_network import ItemTable
from meta.spec import Spec
from meta.types import Array, FloatArray, IntArray, Params

GONE = 1
"""Stamp of an item that is gone."""
_ELSEWHERE = -2


@dataclass(frozen=True, slots=True)
class Change:
    """What became of an item.

    Args:
        features: float32 [F], encoded as the catalogue's are; None: it is gone.
        stamp: 64 bits that differ where the features do, not 0.
    """

    features: FloatArray | None
    stamp: int = GONE


@dataclass(frozen=True, slots=True)
class Stacked:
    """A table [N + M, ...] in two parts, which is read by rows as one array is."""

    base: FloatArray
    more: FloatArray

    def __getitem__(self, at: IntArray) -> FloatArray:
        return self.take(at, 0)

    def take(self, at: IntArray, axis: int) -> FloatArray:
        """Lines [..., ...] at places of any shape, as numpy's `take` along axis 0 gives them."""
        n = len(self.base)
        out = self.base.take(np.minimum(at, n - 1), 0)
        new = at >= n
        if new.any():
            out[new] = self.more.take(at[new] - n, 0)
        return out


@dataclass(frozen=True, eq=False, slots=True)
class Assortment:
    """The items of now, by row: N of the catalogue, then M that are new or have changed.

    Args:
        catalogue: what the policy was made with.
        table: what the towers say of all rows.
        hidden: int [X], rows that are not to be shown.
        late_names: uint64 [M], what tells the later rows apart (`names`).
    """

    catalogue: Catalogue
    table: ItemTable
    hidden: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    _ids: tuple[str, ...] = ()
    late_names: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    _learnt: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    _row: Mapping[str, int] = field(default_factory=dict)
    _hashes: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    _rows: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    _stamps: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))

    def __len__(self) -> int:
        """N + M."""
        return len(self.catalogue) + len(self._ids)

    @property
    def on_offer(self) -> int:
        """Items that may be shown."""
        return len(self) - len(self.hidden)

    def changed(self, params: Params, spec: Spec, changes: Mapping[str, Change]) -> Assortment:
        """The assortment after all changes since the policy was made, by item id; M of them are of new features.

        Rows follow the order of the changes: who keeps that order keeps the rows.
        """
        n, base = len(self.catalogue), self.base
        known = self.catalogue.rows(list(changes))
        new = np.array([change.features is not None for change in changes.values()], bool)
        # An item that was put in and taken out again keeps its row, lest those behind it move.
        behind = new | (known < 0)
        learnt = known[behind].astype(np.int64)
        blank = np.zeros(self.catalogue.features.shape[1], np.float32)
        features = np.zeros((len(learnt), len(blank)), np.float32)
        told = [change.features for change, has in zip(changes.values(), behind, strict=True) if has]
        for row, values in zip(features, told, strict=True):
            row[:] = blank if values is None else values
        more = q_network.items(_learnt_of(params, spec, learnt), spec, features)
        table = ItemTable(*(Stacked(getattr(base, name), getattr(more, name)) for name in ItemTable.__slots__))
        rows = np.full(len(changes), -1, np.int32)
        rows[new] = n + np.flatnonzero(new[behind])
        hashes = np.fromiter(map(id_hash, changes), np.uint64, len(changes))
        stamps = np.array([change.stamp for change in changes.values()], np.uint64)
        stamps[~new] = np.where(known[~new] >= 0, GONE, 0)  # one that is nowhere is as if it had never been
        order = np.argsort(hashes)
        ids = tuple(item_id for item_id, has in zip(changes, behind, strict=True) if has)
        return Assortment(
            self.catalogue,
            table if len(learnt) else base,
            np.concatenate([known[known >= 0], n + np.flatnonzero(~new[behind])]),
            ids,
            np.where(learnt >= 0, learnt.astype(np.uint64), hashes[behind]),
            learnt,
            dict(zip(changes, rows.tolist(), strict=True)),
            hashes[order],
            rows[order],
            stamps[order],
        )

    @property
    def base(self) -> ItemTable:
        """What the towers say of the catalogue's own rows."""
        parts = [getattr(self.table, name) for name in ItemTable.__slots__]
        return ItemTable(*(part.base if isinstance(part, Stacked) else part for part in parts))

    def id_of(self, row: int) -> str:
        """The item of a row."""
        n = len(self.catalogue)
        return self.catalogue.ids[row] if row < n else self._ids[row - n]

    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """int32 [len(ids)], the row of each id, -1 where there is no such item."""
        rows = self.catalogue.rows(ids)
        if not self._row:
            return rows
        now = np.fromiter(map(self._row.get, ids, repeat(_ELSEWHERE)), np.int32, len(ids))
        return np.where(now == _ELSEWHERE, rows, now)

    def rows_of_hashes(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """int32 rows of the same shape as `hashes`, -1 where a hash belongs to no item."""
        rows = self.catalogue.rows_of_hashes(hashes)
        if not self._hashes.size:
            return rows
        at, found = self._change(hashes)
        return np.where(found, self._rows[at], rows)

    def stamps_of_hashes(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """uint64 of the same shape as `hashes`, the stamps of what has changed; 0 where nothing has."""
        if not self._hashes.size:
            return np.zeros(hashes.shape, np.uint64)
        at, found = self._change(hashes)
        return np.where(found, self._stamps[at], np.uint64(0))

    def learnt(self, rows: IntArray) -> IntArray:
        """The catalogue's rows behind rows: what was learnt of an item stays true of it; -1 where nothing was."""
        return self._behind(rows, self._learnt)

    def names(self, rows: IntArray) -> IntArray:
        """What tells items apart for the noise of a draw, whatever rows they have in this process."""
        return self._behind(rows, self.late_names)

    def _behind(self, rows: IntArray, values: npt.NDArray[Any]) -> IntArray:
        n = len(self.catalogue)
        if not values.size or not (new := rows >= n).any():
            return rows
        out: IntArray = rows.astype(values.dtype)
        out[new] = values[rows[new] - n]
        return out

    def _change(self, hashes: npt.NDArray[np.uint64]) -> tuple[IntArray, npt.NDArray[np.bool_]]:
        """Places among the changes, and whether a change is there at all."""
        at = np.minimum(self._hashes.searchsorted(hashes), len(self._hashes) - 1)
        return at, self._hashes[at] == hashes


def _learnt_of(params: Params, spec: Spec, learnt: IntArray) -> dict[str, Array]:
    """The towers' parameters with what they have learnt of single items put behind new rows; 0 where nothing."""
    if not spec.item_ids:
        return dict(params)
    known = learnt >= 0

    def behind(values: FloatArray) -> FloatArray:
        picked = values.take(np.maximum(learnt, 0), 0)
        return picked * known.reshape(-1, *[1] * (values.ndim - 1)).astype(np.float32)

    names = [f"item.{head}.{part}" for head in ("v", "q") for part in ("id", "id_bias")]
    return {**params, **{name: behind(params[name]) for name in names}}
