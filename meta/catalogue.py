"""The catalogue: which items exist, and what is known of each as one row of float features.

Columns become features by rules kept with the catalogue: an item added later is encoded as its neighbours were.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise, repeat
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from meta.errors import InputError

Kind = Literal["number", "category", "multihot", "vector"]

MAX_ID_BYTES = 256
MAX_VOCABULARY = 512  # values of a category or multihot column that get a feature; the most frequent ones win


class CatalogueError(InputError):
    """A catalogue that cannot be built; the text names the violated condition and the value."""


def id_hash(text: str) -> int:
    """The 64-bit hash by which histories name items and events: blake2b of the UTF-8 id, read little endian."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class Column:
    """How one input column becomes features.

    Args:
        name: the column's name in the input.
        kind: "number" and "vector" are standardised, a missing value is 0 (the mean); "category" is one-hot and
            "multihot" a sum of one-hots, where rare, unknown and missing values are zeros.
        vocabulary: the values that have a feature (category, multihot), in order of their features.
        mean, std: what each number is shifted and divided by; std is never 0.
        indicator: a last feature is 1 where the value is missing.
    """

    name: str
    kind: Kind
    vocabulary: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    indicator: bool = False

    def __post_init__(self) -> None:
        for name in ("vocabulary", "mean", "std"):  # JSON has lists
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.vocabulary) + len(self.mean) + self.indicator

    @classmethod
    def fit(cls, name: str, values: Sequence[Any], min_count: int = 2) -> Column:
        """Infer the kind of a column from its values and learn its encoding.

        A category or word has a feature when at least `min_count` items have it; None, NaN and "" are missing values.

        Raises:
            CatalogueError: for infinite numbers, vectors of unequal lengths, or values of no supported kind.
        """
        present = [value for value in values if not _is_missing(value)]
        kind = _infer(name, present)
        if kind in ("category", "multihot"):
            counts = Counter(word for value in present for word in set(_words(value, kind)))
            often = sorted((word for word, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))
            return cls(name, kind, vocabulary=tuple(sorted(often[:MAX_VOCABULARY])))
        numbers = _numbers(name, present)
        std = numbers.std(0)
        std = np.where(std > 1e-9 * np.maximum(1.0, np.abs(numbers.mean(0))), std, 1.0)
        missing = len(present) < len(values)
        return cls(name, kind, (), tuple(numbers.mean(0).tolist()), tuple(std.tolist()), missing)

    def encode(self, values: Sequence[Any]) -> npt.NDArray[np.float32]:
        """Return features float32 [len(values), width]; CatalogueError where a value does not fit the kind."""
        out = np.zeros((len(values), self.width), np.float32)
        present = [i for i, value in enumerate(values) if not _is_missing(value)]
        if self.kind in ("category", "multihot"):
            index = {word: j for j, word in enumerate(self.vocabulary)}
            hits = [(i, index[w]) for i in present for w in _words(values[i], self.kind) if w in index]
            if hits:
                out[tuple(np.asarray(hits).T)] = 1.0
            return out
        if present:
            numbers = _numbers(self.name, [values[i] for i in present])
            if numbers.shape[1] != len(self.mean):
                raise CatalogueError(f"column {self.name} needs {len(self.mean)} numbers, got {numbers.shape[1]}")
            out[present, : len(self.mean)] = (numbers - np.asarray(self.mean)) / np.asarray(self.std)
        if self.indicator:
            out[:, -1] = [_is_missing(value) for value in values]
        return out


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
        parts = [column.encode(table.get(column.name, [None] * items)) for column in self.columns]
        return np.concatenate([np.zeros((items, 0), np.float32), *parts], axis=1)

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
        table: columns by name, N values each: numbers, strings ('|' separates several), lists of strings, or lists of
            numbers of one length; None, NaN and "" are missing.
        min_count: as in `Column.fit`.

    Raises:
        CatalogueError: where ids or values break a rule; the text names the column or the id.
    """
    for name, values in table.items():
        if len(values) != len(ids):
            raise CatalogueError(f"column {name} must have {len(ids)} values, got {len(values)}")
    columns = tuple(Column.fit(name, values, min_count) for name, values in table.items())
    parts = [column.encode(table[column.name]) for column in columns]
    return Catalogue(tuple(ids), np.concatenate([np.zeros((len(ids), 0), np.float32), *parts], axis=1), columns)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or (isinstance(value, str) and not value)


def _infer(name: str, present: Sequence[Any]) -> Kind:
    """Return the kind that all present values share."""
    if all(isinstance(value, bool | int | float | np.number | np.bool_) for value in present):
        return "number"
    if all(isinstance(value, str) for value in present):
        return "multihot" if any("|" in value for value in present) else "category"
    if all(isinstance(value, list | tuple | np.ndarray) for value in present):
        words = [isinstance(part, str) for value in present for part in value]
        if all(words):
            return "multihot"
        if not any(words):
            return "vector"
    kinds = ", ".join(sorted({type(value).__name__ for value in present}))
    raise CatalogueError(f"column {name} must hold numbers, strings, or lists of one of them, got a mixture of {kinds}")


def _words(value: Any, kind: Kind) -> list[str]:
    if kind == "category":
        return [str(value)]
    return [word for word in (value.split("|") if isinstance(value, str) else map(str, value)) if word]


def _numbers(name: str, present: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Return present numbers or vectors as float64 [n, width], width 1 for numbers."""
    if not present:
        return np.zeros((1, 1))
    try:
        numbers = np.asarray([np.atleast_1d(value) for value in present], np.float64)
    except ValueError as error:
        raise CatalogueError(f"column {name} must hold vectors of one length: {error}") from error
    if not np.isfinite(numbers).all():
        bad = present[int(np.argwhere(~np.isfinite(numbers))[0, 0])]
        raise CatalogueError(f"column {name} must hold finite numbers, got {bad}")
    return numbers
