"""The decision log from Redis to a folder of Parquet files, as `replay` reads it; the server imports none of this.

An export goes on where the last one stopped. Where that was stands in `position.json`, written after the files that it
speaks of and put in place as a whole; files that a killed export left beyond it are written anew under the same names.
So every entry is exported once, as long as its stream has it: what left a stream before is counted.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from meta.errors import InputError
from protos.quickstudy.v1 import decision_pb2
from replay import log
from replay.rewards import Rewards
from service.decisions import event_stream, stream
from service.export_rows import Activated, Rows

PIECE = 1_000
"""Entries read at a time."""
FILE = 10_000
"""Rows after which a file is full."""
POSITION = "position.json"


@dataclass(slots=True)
class Position:
    """Where an export stopped.

    Args:
        source: key prefix and tenant; a folder holds the log of one.
        file: number of the next files.
        last: id of the last entry read, by stream.
        entries: entries read or lost so far, by stream.
        waiting: activations whose decision has not come yet, as [decision_id, time in ms].
    """

    source: list[str]
    file: int = 0
    last: dict[str, str] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    waiting: list[list[Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Exported:
    """What one export has done so far.

    Args:
        decisions, events, activations, shadows: rows written.
        repeated: decisions that the log held twice.
        lost: entries that had left their stream before they could be read.
        left: entries still to be read.
    """

    decisions: int = 0
    events: int = 0
    activations: int = 0
    shadows: int = 0
    repeated: int = 0
    lost: int = 0
    left: int = 0


def export(redis: Redis, out: Path, *, prefix: str, tenant: str, shards: int, rewards: Rewards) -> Iterator[Exported]:
    """Writes what the log has got since the last export into the same folder; yields after every file and at the end.

    Args:
        redis: a client that returns bytes.
        out: folder, made if need be.
        prefix: of the service's keys.
        tenant: whose log.
        shards: number of streams of each kind, as the service was told.
        rewards: by which replay joins unless it is told otherwise; kept in the folder.

    Raises:
        InputError: another export is at work, the folder holds another log, a stream was begun anew, or Redis is away.
    """
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out), _clear(redis):
        position = _resume(out, [prefix, tenant])
        rewards.keep(out)
        rows, done = Rows.after(out, position.file), Exported()
        streams = [prefix + name(tenant, n) for name in (stream, event_stream) for n in range(shards)]
        ends = {key: end for key in streams if (end := _end(redis, key)) is not None}
        total = sum(added - position.entries.get(key, 0) for key, (_, added) in ends.items())
        read = lost = 0
        rows.waiting = [Activated(*each) for each in position.waiting]

        def written() -> Exported:
            rows.resolve(out, position.file, (time.time() - rewards.window_s) * 1_000)
            told = rows.written(tenant, out, position.file)
            position.file += 1
            position.waiting = [[each.decision_id, each.time_ms] for each in rows.waiting]
            _keep(out, position)
            return replace(
                done,
                decisions=done.decisions + told.decisions,
                events=done.events + told.events,
                activations=done.activations + told.activations,
                shadows=done.shadows + told.shadows,
                repeated=rows.repeated,
                lost=lost,
                left=total - read - lost,
            )

        for key, (last, added) in ends.items():
            _check_goes_on(key, position.last.get(key), last)
            while entries := _piece(redis, key, position.last.get(key), last):
                for _, fields in entries:
                    if b"d" in fields:
                        rows.decided(decision_pb2.Decision.FromString(fields[b"d"]))
                    else:
                        rows.happened(decision_pb2.Recorded.FromString(fields[b"e"]))
                read += len(entries)
                position.last[key] = entries[-1][0].decode()
                position.entries[key] = position.entries.get(key, 0) + len(entries)
                if rows.size >= FILE:
                    yield (done := written())
            lost += max(0, added - position.entries.get(key, 0))
            position.entries[key] = max(added, position.entries.get(key, 0))
        yield written()


def _end(redis: Redis, key: str) -> tuple[str, int] | None:
    """The id of the last entry of a stream and how many it ever had; None where there is no stream."""
    if not redis.exists(key):
        return None
    about: Any = redis.xinfo_stream(key)
    if "entries-added" not in about:
        raise InputError("the store must be Valkey, or Redis 7 or later, for it has to count what left a stream")
    return about["last-generated-id"].decode(), int(about["entries-added"])


def _piece(redis: Redis, key: str, after: str | None, last: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
    found: Any = redis.xrange(key, f"({after}" if after else "-", last, count=PIECE)
    return list(found)


def _check_goes_on(key: str, after: str | None, last: str) -> None:
    if after is not None and _order(after) > _order(last):
        raise InputError(f"stream {key} was begun anew since the last export; export into another folder")


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))


def _resume(out: Path, source: list[str]) -> Position:
    file = out / POSITION
    if not file.exists():
        if log.files(out, "decisions") or log.files(out, "events"):
            raise InputError(f"{out} holds a log but no {POSITION}; export into another folder")
        return Position(source)
    position = Position(**json.loads(file.read_text()))
    if position.source != source:
        raise InputError(
            f"{out} holds the log of prefix and tenant {position.source}, not of {source}; export into another folder"
        )
    return position


def _keep(out: Path, position: Position) -> None:
    unfinished = out / f".{POSITION}.unfinished"
    with unfinished.open("w") as file:
        json.dump(asdict(position), file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(out / POSITION)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another export writes into {out}; wait for it") from error
        yield


@contextmanager
def _clear(redis: Redis) -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise InputError(f"the store must answer an export, got {type(error).__name__}: {error}") from error
