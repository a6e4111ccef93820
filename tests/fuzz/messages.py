"""Requests drawn from the descriptors, thousands a second: every field of every method, and bytes that went astray."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message_factory import GetMessageClass

from tests.fuzz.values import KNOWN, LENGTHS, WIDE, is_map, scalars

GOOD = 0.7
"""Share of strings that are plain ids, so that calls get beyond the first check."""
PRESENT = 0.8
"""Share of fields that are set."""
LONG = 0.005
"""Share of lists that are as long as only a test makes them."""
ASTRAY = 0.1
"""Share of messages whose bytes are damaged on the way."""


def request(kind: Descriptor, rng: random.Random) -> bytes:
    """One request of a kind, perhaps damaged."""
    message = GetMessageClass(kind)()
    fill(message, rng)
    raw: bytes = message.SerializeToString()
    return damaged(raw, rng) if rng.random() < ASTRAY else raw


def fill(message: Any, rng: random.Random) -> None:
    """Sets fields of a message, and of the messages in it."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() > PRESENT:
            continue
        if is_map(field):
            _fill_map(message, field, rng)
        elif field.is_repeated:
            held, made = getattr(message, field.name), field.type != Field.TYPE_MESSAGE
            if made:
                held.extend([_draw(field, rng) for _ in range(_length(rng, scalar=True))])
            else:
                for _ in range(_length(rng, scalar=False)):
                    fill(held.add(), rng)
        elif field.type == Field.TYPE_MESSAGE:
            getattr(message, field.name).SetInParent()
            fill(getattr(message, field.name), rng)
        else:
            setattr(message, field.name, _draw(field, rng))


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """Bytes with some of them changed, lost, doubled or made up."""
    out = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(4):
            case 0 if at < len(out):
                out[at] = rng.randrange(256)
            case 1:
                del out[at : at + rng.choice((1, 4, 1_000))]
            case 2:
                out[at:at] = out[at : at + 16]
            case _:
                out[at:at] = rng.randbytes(rng.choice((1, 2, 8)))
    return bytes(out)


def _fill_map(message: Any, field: Field, rng: random.Random) -> None:
    held, (key, value) = getattr(message, field.name), field.message_type.fields  # type: ignore[union-attr] # a map has entries
    for _ in range(_length(rng, scalar=False)):
        if value.type == Field.TYPE_MESSAGE:
            fill(held[_draw(key, rng)], rng)
        else:
            held[_draw(key, rng)] = _draw(value, rng)


def _draw(field: Field, rng: random.Random) -> Any:
    if field.type == Field.TYPE_STRING and rng.random() < GOOD:
        return rng.choice(KNOWN)
    return rng.choice(scalars(field))


def _length(rng: random.Random, *, scalar: bool) -> int:
    if rng.random() > LONG:
        return rng.choice(LENGTHS)
    return rng.choice(WIDE if scalar else [n for n in WIDE if n <= 1_001])
