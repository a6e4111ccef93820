"""The decision log's entries: names, seeds, and Decision messages put together from bytes already at hand.

The log names nobody: `decision.proto` says how. A user is the pseudonym in the header of their history, so that erasing
the history leaves entries behind that nothing leads back to.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from meta.catalogue import id_hash
from protos.quickstudy.v1 import decision_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access.tenants import UserKey, key
from service.wire import varint

# Fields 1 to 4 of Decision, then 6 and 7, which have a fixed size.
_TIME_TAG, _REQUEST_TAG, _RESPONSE_TAG, _APPRENTICE_TAG = b"\x08", b"\x12", b"\x1a", b"\x22"
_USER_TAG, _TEMPERATURE_TAG = 0x31, 0x3D
_USER_AND_TEMPERATURE = struct.Struct("<BQBf")


class Logged(NamedTuple):
    """A decision to be logged: the tenant whose it is, and a serialized Decision."""

    tenant: str
    value: bytes


def stream(tenant: str, shard: int) -> str:
    """The key of one of the streams that keep a tenant's decisions."""
    return key(tenant, f"qs:decisions:{shard}")


def event_stream(tenant: str, shard: int) -> str:
    """The key of one of the streams that keep a tenant's events."""
    return key(tenant, f"qs:events:{shard}")


def new_pseudonym() -> int:
    """A number by which the log shall know somebody."""
    return int.from_bytes(os.urandom(8), "little") or 1


def logged_id(user: UserKey, decision_id: str) -> str:
    """How the log names a decision; its id may be the caller's, which may tell whose it is, and is unique per user."""
    text = f"{len(user)}:{user}{decision_id}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def outcome(event: pb.Event, at_ms: int, decision_id: str) -> bytes:
    """A serialized Recorded of one outcome alone: an event's, of that time and of a decision as the log names it."""
    told = decision_pb2.Outcome(
        event_hash=id_hash(event.event_id),
        item_id=event.item_id,
        reward=event.reward,
        time_ms=at_ms,
        decision_id=decision_id,
        position=event.position,
    )
    return decision_pb2.Recorded(outcomes=[told]).SerializeToString()


def new_ids() -> Iterator[str]:
    """Endless distinct decision ids of 24 hexadecimal digits: 16 random ones of this process, then a counter."""
    process = os.urandom(8).hex()
    return (f"{process}{n:08x}" for n in itertools.count())


def seed_of(decision_id: str) -> int:
    """The seed of a draw that was asked for without one."""
    return id_hash(decision_id)


def encode(
    time_ms: int, request: bytes, response: bytes, apprentice: bytes = b"", *, user: int = 0, temperature: float = 0.0
) -> bytes:
    """A serialized Decision; joining the parts at hand spares building the message anew."""
    return b"".join(
        (
            *(_TIME_TAG, varint(time_ms)),
            *(_REQUEST_TAG, varint(len(request)), request),
            *(_RESPONSE_TAG, varint(len(response)), response),
            *((_APPRENTICE_TAG, varint(len(apprentice)), apprentice) if apprentice else ()),
            _USER_AND_TEMPERATURE.pack(_USER_TAG, user, _TEMPERATURE_TAG, temperature),
        )
    )
