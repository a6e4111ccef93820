"""A user's attributes as the store keeps them: as they were given, so that they outlive the policy that reads them.

Layout: 8 bytes that change with the content, then the serialized message. The first 8 read as one uint64 are the mark
by which a copy remembers which attributes it was made from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from meta.columns import Column, encode
from protos.quickstudy.v1 import recommender_pb2 as pb

HEADER = 8


def pack(attributes: pb.Attributes) -> bytes:
    """The stored bytes; empty for no attributes."""
    body = attributes.SerializeToString(deterministic=True)
    return hashlib.blake2b(body, digest_size=HEADER).digest() + body if body else b""


def unpack(value: bytes | None) -> pb.Attributes | None:
    """What was packed; None where nothing is kept, or where the bytes are damaged."""
    if not value:
        return None
    try:
        return pb.Attributes.FromString(value[HEADER:])
    except DecodeError:
        return None


def marks(values: Sequence[bytes | None]) -> npt.NDArray[np.uint64]:
    """uint64 [B], what the stored bytes of a batch say of their content; 0 where nothing is kept."""
    return np.array([int.from_bytes((value or b"")[:HEADER], "little") for value in values], np.uint64)


def features(values: Sequence[bytes | None], columns: Sequence[Column]) -> npt.NDArray[np.float32]:
    """Stored attributes of a batch as the policy's columns encode them: float32 [B, A], 0 where nothing is kept."""
    out = np.zeros((len(values), sum(column.width for column in columns)), np.float32)
    kept = {i: found for i, value in enumerate(values) if (found := unpack(value)) is not None}
    if kept:
        table = {column.name: [_value(told, column) for told in kept.values()] for column in columns}
        out[list(kept)] = encode(columns, table, len(kept))
    return out


def unknown(attributes: pb.Attributes, columns: Sequence[Column]) -> set[str]:
    """Names that no column can use."""
    usable = {column.name for column in columns if _value(attributes, column) is not None}
    return {*attributes.numbers, *attributes.categories, *attributes.vectors} - usable


def _value(told: pb.Attributes, column: Column) -> Any:
    """What a column encodes; None where it is not told, or told as another kind."""
    name = column.name
    if column.kind == "number":
        return told.numbers.get(name)
    if column.kind == "vector":
        vector = told.vectors[name].values if name in told.vectors else ()
        return list(vector) if len(vector) == len(column.mean) else None
    words = list(told.categories[name].values) if name in told.categories else []
    if column.kind == "multihot":
        return words or None
    return words[0] if len(words) == 1 else None
