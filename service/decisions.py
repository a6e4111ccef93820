"""The decision log's entries: names, seeds, and Decision messages put together from bytes already at hand."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import NamedTuple

from meta.catalogue import id_hash
from service.access.tenants import key
from service.wire import varint

_TIME_TAG, _REQUEST_TAG, _RESPONSE_TAG, _APPRENTICE_TAG = (
    b"\x08",
    b"\x12",
    b"\x1a",
    b"\x22",
)  # fields 1 to 4 of Decision


class Logged(NamedTuple):
    """A decision to be logged: the tenant whose it is, and a serialized Decision."""

    tenant: str
    value: bytes


def stream(tenant: str, shard: int) -> str:
    """The key of one of the streams that keep a tenant's decisions."""
    return key(tenant, f"qs:decisions:{shard}")


def new_ids() -> Iterator[str]:
    """Endless distinct decision ids of 24 hexadecimal digits: 16 random ones of this process, then a counter."""
    process = os.urandom(8).hex()
    return (f"{process}{n:08x}" for n in itertools.count())


def seed_of(decision_id: str) -> int:
    """The seed of a draw that was asked for without one."""
    return id_hash(decision_id)


def encode(time_ms: int, request: bytes, response: bytes, apprentice: bytes = b"") -> bytes:
    """A serialized Decision; joining the parts at hand spares building the message anew."""
    return b"".join(
        (
            *(_TIME_TAG, varint(time_ms)),
            *(_REQUEST_TAG, varint(len(request)), request),
            *(_RESPONSE_TAG, varint(len(response)), response),
            *((_APPRENTICE_TAG, varint(len(apprentice)), apprentice) if apprentice else ()),
        )
    )
