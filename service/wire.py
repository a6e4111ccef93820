"""The one piece of protobuf's wire format that is written by hand."""

from __future__ import annotations


def _digits(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


_SHORT = tuple(map(_digits, range(4_096)))
"""The lengths of nearly everything."""


def varint(n: int) -> bytes:
    """A non-negative integer in base 128, least significant digit first."""
    return _SHORT[n] if n < len(_SHORT) else _digits(n)
