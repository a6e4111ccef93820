"""The catalogue: which items exist, and what is known of each as one row of float features."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise, repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from meta.columns import Column, Encoded, encode
from meta.errors import InputError

MAX_ID_BYTES = 256


class CatalogueError(InputError):
    """A catalogue that cannot be built; the text names the violated condition and the value."""


def id_hash(text: str) -> int:
    """The 64-bit hash by which histories name items and events: blake2b of the UTF-8 id, read little endian."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All items that a policy can rank.

    Args:
        ids: N distinct ids of 1..256 bytes.
        features: float32 [N, F], finite.
        columns: how the features were made; their widths sum to F.

    Raises:
        CatalogueError: for no items, empty, long or repeated ids, colliding hashes, or features that do not fit.
    """

    ids: tuple[str, ...]
    features: npt.NDArray[np.float32]
    columns: tuple[Column, ...]
    hashes: npt.NDArray[np.uint64] = field(init=False, repr=False)
    """uint64 [N], `id_hash` of each id."""
    _row: dict[str, int] = field(init=False, repr=False)
    _order: npt.NDArray[np.int32] = field(init=False, repr=False)
    _sorted: npt.NDArray[np.uint64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.ids:
            raise CatalogueError("a catalogue needs at least one item, got none")
        for row, item_id in enumerate(self.ids):
            if not 1 <= (size := len(item_id.encode())) <= MAX_ID_BYTES:
                raise CatalogueError(f"item_id must have 1..{MAX_ID_BYTES} bytes, got {size} in item {row + 1}")
        twice, n = Counter(self.ids).most_common(1)[0]
        if n > 1:
            raise CatalogueError(f"item_id must be unique, got {twice!r} {n} times")
        width = sum(column.width for column in self.columns)
        if self.features.shape != (len(self.ids), width):
            raise CatalogueError(f"features must have shape {(len(self.ids), width)}, got {self.features.shape}")
        if not np.isfinite(self.features).all():
            worst = self.ids[int(np.argwhere(~np.isfinite(self.features))[0, 0])]
            raise CatalogueError(f"features must be finite, got a non-finite value for item {worst!r}")
        hashes = np.fromiter(map(id_hash, self.ids), np.uint64, len(self.ids))
        order = np.argsort(hashes, kind="stable").astype(np.int32)
        same = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
        if same.size:
            a, b = (self.ids[order[same[0] + i]] for i in (0, 1))
            raise CatalogueError(f"item ids {a!r} and {b!r} have the same 64-bit hash: rename one of them")
        object.__setattr__(self, "hashes", hashes)
        object.__setattr__(self, "_row", {item_id: row for row, item_id in enumerate(self.ids)})
        object.__setattr__(self, "_order", order)
        object.__setattr__(self, "_sorted", hashes[order])

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any item or feature."""
        digest = hashlib.sha256(self.hashes.tobytes())
        digest.update(self.features.tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    def from_features(cls, ids: Sequence[str], features: npt.ArrayLike, names: Sequence[str]) -> Catalogue:
        """Build a catalogue from ready features [N, F] with one name each, taken as they are (not standardised)."""
        columns = tuple(Column(name, "number", mean=(0.0,), std=(1.0,)) for name in names)
        return cls(tuple(ids), np.ascontiguousarray(features, np.float32), columns)

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, ids: Sequence[str]) -> npt.NDArray[np.int32]:
        """Return int32 [len(ids)], the row of each id, -1 where it is unknown."""
        return np.fromiter(map(self._row.get, ids, repeat(-1)), np.int32, len(ids))

    def rows_of_hashes(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """Return int32 rows of the same shape as `hashes`, -1 where a hash belongs to no item."""
        at = np.minimum(self._sorted.searchsorted(hashes), len(self.ids) - 1)
        return np.where(self._sorted[at] == hashes, self._order[at], np.int32(-1)).astype(np.int32)

    def encode(self, table: Mapping[str, Sequence[Any]], items: int) -> npt.NDArray[np.float32]:
        """Encode new items as this catalogue's were: float32 [items, F]; a column that `table` lacks is missing."""
        return encode(self.columns, table, items)

    def to_tensors(self) -> tuple[dict[str, npt.NDArray[Any]], list[dict[str, Any]]]:
        """Return what a checkpoint keeps: arrays by name, and the columns as plain JSON values."""
        blobs = [item_id.encode() for item_id in self.ids]
        offsets = np.cumsum([0, *map(len, blobs)]).astype(np.int64)
        id_bytes: npt.NDArray[Any] = np.frombuffer(b"".join(blobs), np.uint8).copy()
        tensors = {"id_bytes": id_bytes, "id_offsets": offsets, "features": self.features}
        return tensors, [asdict(column) for column in self.columns]

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]], columns: Sequence[dict[str, Any]]) -> Catalogue:
        """Rebuild the catalogue that `to_tensors` took apart; CatalogueError where the parts do not fit together."""
        try:
            blob, offsets = tensors["id_bytes"].tobytes(), tensors["id_offsets"].tolist()
            ids = tuple(blob[a:b].decode() for a, b in pairwise(offsets))
            parsed = tuple(Column(**column) for column in columns)
        except (KeyError, TypeError, UnicodeDecodeError) as error:
            raise CatalogueError(f"the stored catalogue is damaged: {error}") from error
        return cls(ids, tensors["features"].astype(np.float32, copy=False), parsed)


def encode_items(ids: Sequence[str], table: Mapping[str, Sequence[Any]], min_count: int = 2) -> Catalogue:
    """Build a catalogue from raw columns, inferring the kind of each.

    Args:
        ids: N item ids.
        table: columns by name, N values each, as `Encoded.fit` takes them.
        min_count: as in `Column.fit`.

    Raises:
        CatalogueError, ColumnError: where ids or values break a rule; the text names the id or the column.
    """
    encoded = Encoded.fit(table, len(ids), min_count)
    return Catalogue(tuple(ids), encoded.features, encoded.columns)
