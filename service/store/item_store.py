"""Changes of the catalogue in the store: what stands of every changed item, and a numbered stream of what changed.

`{qs:items}:state` is a hash of stored items by id; its field "" counts the changes. `{qs:items}` is a stream whose
entry `N-0` names the items of change N. Both are one for all tenants: the catalogue is the service's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.store.attributes import HEADER
from service.store.store import PIECE, Store

GONE = b"-"
"""What is stored of an item of some policy's catalogue that is not to be ranked."""
NOTHING = b""
"""Stored in the place of an item of which nothing is to stand."""
CHANGES = 1_000
"""Changes that a reader may be behind before it has to read all that stands."""
_COUNT = b""


def pack(item_id: str, features: pb.Attributes) -> bytes:
    """What is stored of an item: 8 bytes that change with it, then its features as they were told."""
    body = features.SerializeToString(deterministic=True)
    return hashlib.blake2b(body, digest_size=HEADER, key=item_id.encode()[:64]).digest() + body


class ItemStore:
    """The changes of one store. Every method raises StoreUnavailableError where `Store` does.

    Args:
        store: where they are kept.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stream, self._state = store.key("{qs:items}"), store.key("{qs:items}:state")

    async def change(self, items: Mapping[str, bytes]) -> None:
        """Stores items in the place of what stood, all at once, and tells those who follow."""
        pairs = [part for item in items.items() for part in item]
        await self._store.run("change_items", "change_items", (self._stream, self._state), (CHANGES, *pairs))

    async def count(self) -> int:
        """Number of the latest change; 0 before the first."""
        (found,) = await self._store.ask("items", ("HGET", self._state, _COUNT))
        return int(found or 0)

    async def since(self, seen: int, now: int) -> set[bytes] | None:
        """Ids of items that changed after change `seen` up to `now`; None where the stream cannot tell all of them."""
        if not 0 < now - seen <= CHANGES:
            return None
        (entries,) = await self._store.ask("items", ("XRANGE", self._stream, f"{seen + 1}-0", f"{now}-0"))
        if len(entries) < now - seen:
            return None
        return {name for _, fields in entries for name in fields}

    async def items(self, ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """What stands of items, `NOTHING` where nothing does."""
        wanted = list(ids)
        found: dict[bytes, bytes] = {}
        for start in range(0, len(wanted), PIECE):
            piece = wanted[start : start + PIECE]
            (values,) = await self._store.ask("items", ("HMGET", self._state, *piece))
            found |= zip(piece, (value or NOTHING for value in values), strict=True)
        return found

    async def everything(self) -> dict[bytes, bytes]:
        """All that stands, read in pieces so that nobody waits for all of it."""
        found = await self._store.scan("items", self._state)
        found.pop(_COUNT, None)
        return found
