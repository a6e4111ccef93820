"""A user's history as one packed string, and a batch of such strings as arrays.

Layout, little endian: a 16-byte header, then one 28-byte record an event in time order, oldest first. The header is two
uint64: the watermark, exclusive or of the low halves of all accepted event hashes (low 32 bits) and number of events
ever accepted (high 32 bits); and the pseudonym, a random number by which the decision log knows the user: it lives and
dies with the history. `append.lua` writes this layout, this file reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from meta import histories
from meta.assortment import Assortment
from meta.catalogue import id_hash
from meta.types import Events

HEADER = 16
RECORD = np.dtype(
    [
        ("event", "<u8"),  # hash of the event id
        ("time_low", "<u4"),  # milliseconds since 1970, 48 bits
        ("time_high", "<u2"),
        ("item", "<u8"),  # hash of the item id
        ("reward", "<f4"),
        ("decision", "u1"),  # 8-bit hash of the decision id, 0: none
        ("position", "u1"),  # 1 is the first, 0: unknown
    ]
)
_PACK = struct.Struct("<QIHQfBB")


def pack(event_id: str, time_ms: int, item_id: str, reward: float, decision_id: str, position: int) -> bytes:
    """One record of 28 bytes."""
    low, high = time_ms & 0xFFFFFFFF, time_ms >> 32
    return _PACK.pack(id_hash(event_id), low, high, id_hash(item_id), reward, histories.tag(decision_id), position)


@dataclass(frozen=True, slots=True)
class Histories:
    """A batch of decoded histories.

    Args:
        events: what the policy reads, [B, T].
        watermark: uint64 [B], 0 for an empty history.
        pseudonym: uint64 [B], 0 for an empty history.
        unreadable: bool [B], true where the stored bytes are damaged; such a history counts as empty.
        mark: uint64 [B], which of their items have changed since the policy was made, and how; 0 where none has.
    """

    events: Events
    watermark: npt.NDArray[np.uint64]
    pseudonym: npt.NDArray[np.uint64]
    unreadable: npt.NDArray[np.bool_]
    mark: npt.NDArray[np.uint64]


def length(value: bytes) -> int:
    """How many records a stored history has."""
    return max(0, len(value) - HEADER) // RECORD.itemsize


def records(value: bytes | None) -> npt.NDArray[Any]:
    """The records [T] of one stored history."""
    return np.frombuffer(value, RECORD, offset=HEADER) if value and _whole(value) else np.zeros(0, RECORD)


def empty(pseudonym: int) -> bytes:
    """A stored history without events."""
    return bytes(8) + pseudonym.to_bytes(8, "little")


def watermark(value: bytes | None) -> int:
    """The watermark of one stored history; 0 without one."""
    return int.from_bytes((value or b"")[:8], "little")


def times(record: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Milliseconds since 1970 of records of any shape."""
    return record["time_low"].astype(np.int64) + (record["time_high"].astype(np.int64) << 32)


def decode(values: Sequence[bytes | None], items: Assortment) -> Histories:
    """Reads a batch of stored histories in one pass over all their bytes.

    How events are grouped is told in `meta.histories`.

    Args:
        values: B stored strings, None for an unknown user.
        items: turns item hashes into rows.
    """
    whole = [value if value and _whole(value) else b"" for value in values]
    flat: npt.NDArray[Any] = np.frombuffer(b"".join([value[HEADER:] for value in whole]), RECORD)
    heads = b"".join([value[:HEADER] or bytes(HEADER) for value in whole])
    count = np.fromiter(map(len, whole), np.int64, len(whole))
    count = np.maximum(count - HEADER, 0) // RECORD.itemsize
    width = max(int(count.max(initial=0)), 1)
    inside = np.arange(width) < count[:, None]

    def table(column: npt.NDArray[Any], empty: int) -> npt.NDArray[Any]:
        if column.size == inside.size:  # histories of one length, as when all are full
            return column.reshape(inside.shape)
        padded = np.full(inside.shape, empty, column.dtype)
        padded[inside] = column
        return padded

    item = table(items.rows_of_hashes(flat["item"]), -1)
    events = histories.events(item, table(flat["reward"], 0), table(times(flat), 0), table(flat["decision"], 0), inside)
    unreadable = np.array([bool(value) and not _whole(value or b"") for value in values], bool)
    mark = table(items.stamps_of_hashes(flat["item"]), 0).sum(axis=1, dtype=np.uint64)
    header = np.frombuffer(heads, "<u8").astype(np.uint64).reshape(-1, 2)
    return Histories(events, header[:, 0], header[:, 1], unreadable, mark)


def likes(packed: Sequence[bytes], results: str) -> list[tuple[bytes, int]]:
    """Item hash (8 bytes) and time (ms since 1970) of the added records (a result of 1) with a reward above 0."""
    found = []
    for record, result in zip(packed, results, strict=True):
        _, low, high, item, reward, *_ = _PACK.unpack(record)
        if result == "1" and reward > 0:
            found.append((item.to_bytes(8, "little"), low | high << 32))
    return found


def newest(value: bytes, watermark: int) -> int:
    """How many of the newest events of a history were accepted since it stood at `watermark`; 0 where others were too.

    The count of the watermarks says how many came, the exclusive or of their hashes whether they are the newest ones:
    an event that came late stands further up, or is gone already.
    """
    mixed, total = struct.unpack_from("<II", value)
    came = (total - (watermark >> 32)) & 0xFFFFFFFF
    hashes = records(value)["event"]
    if not 0 < came <= len(hashes):
        return 0
    since = int(np.bitwise_xor.reduce(hashes[-came:])) & 0xFFFFFFFF
    return came if since == mixed ^ (watermark & 0xFFFFFFFF) else 0


def _whole(value: bytes) -> bool:
    return len(value) >= HEADER and (len(value) - HEADER) % RECORD.itemsize == 0
