"""The one piece of protobuf's wire format that is written by hand."""

from __future__ import annotations


def varint(n: int) -> bytes:
    """A non-negative integer in base 128, least significant digit first."""
    if n < 0x80:
        return bytes((n,))
    if n < 0x4000:
        return bytes((n & 0x7F | 0x80, n >> 7))
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)
