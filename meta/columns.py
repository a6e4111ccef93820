"""Columns of a table as features: of items, of users, or of the context of a request.

Columns become features by rules that are kept with the policy: what comes later is encoded as what was learnt from.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from meta.errors import InputError

Kind = Literal["number", "category", "multihot", "vector"]

MAX_VOCABULARY = 512
"""Values of a category or multihot column that get a feature; the most frequent ones win."""
FARTHEST = 10.0
"""Standard deviations from the mean at which a number is held: one absurd value must not drown the rest."""


class ColumnError(InputError):
    """A column that cannot be encoded; the text names the column and the value."""


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
            ColumnError: for infinite numbers, vectors of unequal lengths, or values of no supported kind.
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
        """Return features float32 [len(values), width]; ColumnError where a value does not fit the kind."""
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
                raise ColumnError(f"column {self.name} needs {len(self.mean)} numbers, got {numbers.shape[1]}")
            scaled = (numbers - np.asarray(self.mean)) / np.asarray(self.std)
            out[present, : len(self.mean)] = np.clip(scaled, -FARTHEST, FARTHEST)
        if self.indicator:
            out[:, -1] = [_is_missing(value) for value in values]
        return out


@dataclass(frozen=True, slots=True)
class Encoded:
    """Rows of a table as features.

    Args:
        columns: how they were made; their widths sum to F.
        features: float32 [rows, F].
    """

    columns: tuple[Column, ...]
    features: npt.NDArray[np.float32]

    @classmethod
    def nothing(cls, rows: int) -> Encoded:
        """A table without columns."""
        return cls((), np.zeros((rows, 0), np.float32))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any column and any value."""
        digest = hashlib.sha256(repr(self.columns).encode())
        digest.update(np.ascontiguousarray(self.features).tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    def fit(cls, table: Mapping[str, Sequence[Any]], rows: int, min_count: int = 2) -> Encoded:
        """Infer and encode every column of a table.

        Args:
            table: columns by name, `rows` values each: numbers, strings ('|' separates several), lists of strings, or
                lists of numbers of one length; None, NaN and "" are missing.
            rows: number of rows.
            min_count: as in `Column.fit`.

        Raises:
            ColumnError: where values break a rule.
        """
        for name, values in table.items():
            if len(values) != rows:
                raise ColumnError(f"column {name} must have {rows} values, got {len(values)}")
        columns = tuple(Column.fit(name, values, min_count) for name, values in table.items())
        return cls(columns, encode(columns, table, rows))


def encode(columns: Sequence[Column], table: Mapping[str, Sequence[Any]], rows: int) -> npt.NDArray[np.float32]:
    """Features float32 [rows, F] of a table by known columns; one that the table lacks is missing, others are left."""
    parts = [column.encode(table.get(column.name, [None] * rows)) for column in columns]
    return np.concatenate([np.zeros((rows, 0), np.float32), *parts], axis=1)


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
    raise ColumnError(f"column {name} must hold numbers, strings, or lists of one of them, got a mixture of {kinds}")


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
        raise ColumnError(f"column {name} must hold vectors of one length: {error}") from error
    if not np.isfinite(numbers).all():
        bad = present[int(np.argwhere(~np.isfinite(numbers))[0, 0])]
        raise ColumnError(f"column {name} must hold finite numbers, got {bad}")
    return numbers
