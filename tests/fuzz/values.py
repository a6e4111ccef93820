"""Values of every type of field, in range and out of it; `messages` draws from them, `strategies` shrinks to them."""

from __future__ import annotations

import math
import time
from typing import Any

from google.protobuf.descriptor import FieldDescriptor as Field

KNOWN = [f"i{n}" for n in range(120)]
"""Items of the small policy, as `tests.service.support.make_policy` names them; users are called so too."""
STRINGS = [
    "", "a", "ü", "日本語", "\0", "\n", " ", "{u}", "}:h", "*", "..", "'; --", "\U0010ffff", "|", "a|b",
    "x" * 127, "x" * 128, "x" * 129, "x" * 256, "x" * 257, "ü" * 128, "ü" * 129, "y" * 1_000,
]  # fmt: skip
_WHOLE = [0, 1, 2, 3, 7, 10, 99, 100, 101, 128, 1_000, 65_535]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 5.0, 1e-45, 1e30, -1e30, 3.4e38, math.nan, math.inf, -math.inf]
DOUBLES = [*FLOATS, 5e-324, 1e300, 1.797e308, -1.797e308]
LENGTHS, WIDE = [0, 1, 2, 3, 8], [63, 64, 65, 300, 1_000, 1_001, 1_025, 10_000, 10_001]
"""How long a repeated field is: usually, and seldom. Those above 1,001 are of numbers and strings only."""


def _signed(bits: int) -> list[int]:
    edge = 2 ** (bits - 1)
    now = int(time.time())
    near = [now - 3_600, now, now + 299, now + 301, 999_999_999] if bits == 64 else [999_999_999, 1_000_000_000]
    return [*_WHOLE, *(-n for n in _WHOLE), *near, edge - 1, -edge]


def _unsigned(bits: int) -> list[int]:
    return [*_WHOLE, 2 ** (bits - 1), 2**bits - 1]


_SCALARS: dict[int, list[Any]] = {
    Field.TYPE_BOOL: [False, True],
    Field.TYPE_BYTES: [b"", b"\0", b"\xff" * 8, b"x" * 300],
    Field.TYPE_DOUBLE: DOUBLES,
    Field.TYPE_FLOAT: FLOATS,
    Field.TYPE_STRING: [*KNOWN[:20], *STRINGS],
    **dict.fromkeys((Field.TYPE_INT32, Field.TYPE_SINT32, Field.TYPE_SFIXED32), _signed(32)),
    **dict.fromkeys((Field.TYPE_INT64, Field.TYPE_SINT64, Field.TYPE_SFIXED64), _signed(64)),
    **dict.fromkeys((Field.TYPE_UINT32, Field.TYPE_FIXED32), _unsigned(32)),
    **dict.fromkeys((Field.TYPE_UINT64, Field.TYPE_FIXED64), _unsigned(64)),
}


def scalars(field: Field) -> list[Any]:
    """Values of a field that is not a message; a type that is not in the table is an error, not a gap."""
    if field.enum_type is not None:
        return [*(value.number for value in field.enum_type.values), 99, -1, 2**31 - 1]
    return _SCALARS[field.type]


def is_map(field: Field) -> bool:
    """Whether a field is a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
