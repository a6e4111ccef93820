"""Good requests with one field changed, found by the descriptors: lengths, numbers and texts, in range or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.fuzz.values import is_map, scalars

Sizes = Callable[[Field], Collection[int]]
"""The lengths and whole numbers that are tried at a field."""
FEW, MANY = 2_000, 20_000
"""Entries of a map or messages in a list, and entries of other lists, that are tried at most."""
TEXTS = ["\0", "..", ".a", "a/b", "a//b", "a/.b", "0" * 15 + "g", "A" * 16, "0" * 16 + "\n", "0123456789abcdef"]
SHARES = [-1e-9, 0.999_999, 1 - 1e-16, 1.000_001]
TIMES = [(-1, 0), (0, 1), (1, 999_999_999), (1, 10**9), (1, -1), (2**62, 0), (-(2**62), 0)]
DURATIONS = [(0, 0), (0, 999_999), (0, 1_000_000), (316_224_000, 1_000), (-1, 0), (2**62, 0)]


@dataclass(frozen=True)
class Change:
    """One changed field.

    Args:
        field: full name; with [] it is one entry of that list.
        size: what it is changed to, as a length or a whole number; -1: it is neither.
        value: what it is changed to; then the message that it is in, and so on up to the request.
    """

    field: str
    size: int
    value: Any


def of_message(good: Any, sizes: Sizes) -> Iterator[Change]:
    """Copies of a message, in each of which one flag, or one of the fields that are set, is different.

    Args:
        good: the message.
        sizes: what is tried where.
    """
    told = dict(good.ListFields())
    flags = {field: False for field in good.DESCRIPTOR.fields if field.type == Field.TYPE_BOOL}
    for field, held in (flags | told).items():
        for change in _of_field(field, held, sizes):
            copy = type(good)()
            copy.CopyFrom(good)
            _put(copy, field, change.value)
            yield replace(change, value=copy)


def _of_field(field: Field, held: Any, sizes: Sizes) -> Iterator[Change]:
    yield Change(field.full_name, 0, None)
    lengths = [n for n in sizes(field) if n <= (FEW if field.message_type else MANY)]
    if is_map(field):
        (key, value), (name, one) = field.message_type.fields, next(iter(held.items()))
        yield from (Change(field.full_name, n, {f"{k}": one for k in range(n)}) for n in lengths)
        yield from (replace(change, value={change.value: one}) for change in _of_one(key, name, sizes))
        yield from (replace(change, value={name: change.value}) for change in _of_one(value, one, sizes))
    elif field.is_repeated:
        one = held[0]
        many = [f"i{k}" for k in range(max(lengths))] if isinstance(one, str) else [one] * max(lengths)
        yield from (Change(field.full_name, n, many[:n]) for n in lengths)
        yield Change(field.full_name, -1, [one, one])
        inside = "" if field.message_type else "[]"
        for change in _of_one(field, one, sizes):
            yield replace(change, field=change.field + inside, value=[change.value])
    else:
        yield from _of_one(field, held, sizes)


def _of_one(field: Field, held: Any, sizes: Sizes) -> Iterator[Change]:
    """Of a field that is there once, or of one entry of a list."""
    if isinstance(held, Timestamp | Duration):
        now = int(time.time())
        told = [*TIMES, (now + 290, 0), (now + 310, 0)] if isinstance(held, Timestamp) else DURATIONS
        for seconds, nanos in (*told, *((n, 0) for n in sizes(field))):
            size = -1 if nanos else seconds
            yield Change(field.full_name, size, type(held)(seconds=seconds, nanos=nanos))
    elif isinstance(held, Message):
        yield from of_message(held, sizes)
    elif isinstance(held, str):
        yield from (Change(field.full_name, n, held[0] * n) for n in sizes(field))
        wide = ["ü" * (n // 2) for n in sizes(field) if n <= MANY and n % 2 == 0]
        yield from (Change(field.full_name, -1, text) for text in (*wide, *TEXTS))
    elif isinstance(held, float):
        yield from (Change(field.full_name, -1, number) for number in (*scalars(field), *SHARES))
    else:
        numbers = scalars(field) if isinstance(held, bool) or field.enum_type else [*scalars(field), *sizes(field)]
        yield from (Change(field.full_name, number, number) for number in numbers)


def _put(message: Any, field: Field, value: Any) -> None:
    """Replaces what a field holds; None: nothing is left."""
    message.ClearField(field.name)
    held = getattr(message, field.name)
    if value is None:
        return
    if is_map(field):
        for key, one in value.items():
            if isinstance(one, Message):
                held[key].CopyFrom(one)
            else:
                held[key] = one
    elif field.is_repeated:
        held.extend(value)
    elif isinstance(value, Message):
        held.CopyFrom(value)
    else:
        setattr(message, field.name, value)
