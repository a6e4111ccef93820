"""Decisions that callers gave a name to: asked for again by user and `decision_id`, they are given as they were.

The store keeps the latest of each user in one string: for each the hash of its name (8 bytes), the length of the reply
(4 bytes, little endian) and the reply. `keep_decision.lua` writes this layout, this file reads it.
"""

from __future__ import annotations

from typing import NamedTuple

from meta.catalogue import id_hash
from service.access.tenants import UserKey

HEAD = 12
"""Bytes of an entry before the reply."""


class Name(NamedTuple):
    """Which decision: whose, and the 8-byte hash of its `decision_id`."""

    user: UserKey
    hash: bytes


def name_of(user: UserKey, decision_id: str) -> Name:
    """The name of a user's decision."""
    return Name(user, id_hash(decision_id).to_bytes(8, "little"))


def find(kept: bytes | None, name: Name) -> bytes | None:
    """The serialized reply of a decision among those that are kept of its user; None where it is not."""
    at = 0
    while kept is not None and at + HEAD <= len(kept):
        end = at + HEAD + int.from_bytes(kept[at + 8 : at + HEAD], "little")
        if kept[at : at + 8] == name.hash:
            return kept[at + HEAD : end]
        at = end
    return None
