"""The log on disk: a folder of Parquet files, decisions and events, of one versioned schema that is checked on reading.

`decisions-*.parquet` holds one row a decision, `events-*.parquet` one row an event that was recorded, and
`shadows-*.parquet`, where a shadow version ran, what it would have shown in the place of decisions. Files may be
many, in any order, and may overlap: who writes them does so at least once, and readers know a decision by (user,
decision_id) and an event by (user, event). A file appears under its name when it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from meta.errors import InputError

VERSION = 1
"""Of both schemas; a change that an older reader would misread raises it."""
ROWS = 1 << 16
"""Rows of a row group: what a reader holds of a file at once."""
UNKNOWN = "unknown-"
"""Before the id of a decision: the user of one of whom the service could not tell whose it was."""
_TIME = pa.timestamp("ms", tz="UTC")


class LogError(InputError):
    """A log that cannot be read; the text names file, column and rule."""


def _schema(table: str, columns: Mapping[str, pa.DataType]) -> pa.Schema:
    about = {"quickstudy.table": table, "quickstudy.version": str(VERSION)}
    return pa.schema(list(columns.items()), metadata=about)


DECISIONS = _schema(
    "decisions",
    {
        "decision_id": pa.string(),
        "time": _TIME,  # when it was answered
        "user": pa.string(),  # a pseudonym, the same in both tables, another one in each tenant; or `UNKNOWN`
        "tenant": pa.string(),
        "policy_version": pa.string(),
        "adapter": pa.string(),
        "source": pa.string(),  # adapted, stale, prior, baseline
        "mode": pa.string(),  # unspecified, greedy, explore, baseline
        "deferred": pa.bool_(),
        "activated": pa.bool_(),  # that a deferred decision was shown; in a row without a slate: was, as is known now
        "watermark": pa.uint64(),
        "events_used": pa.int64(),
        "candidates": pa.list_(pa.string()),  # as asked; empty: the whole catalogue
        "excluded": pa.list_(pa.string()),  # never to be shown
        "include_seen": pa.bool_(),  # whether a ranking of the whole catalogue may show what is in the history
        "slate": pa.list_(pa.string()),  # first position first
        "propensities": pa.list_(pa.float32()),  # of each position given those above, in (0, 1]
        "log_propensity": pa.float64(),  # of the slate
        "seed": pa.uint64(),
        "temperature": pa.float32(),
        "context": pa.string(),  # JSON: {"numbers": {...}, "categories": {...}}; "" where none was given
        "reason": pa.string(),
        "proposed": pa.list_(pa.string()),  # in mode baseline: what the policy would have shown
        "proposed_propensities": pa.list_(pa.float32()),
    },
)
"""Decisions. A row with an empty slate and `activated` says only that a deferred decision of this id was shown."""
EVENTS = _schema(
    "events",
    {
        "event": pa.uint64(),  # id_hash of the event's id
        "user": pa.string(),
        "item_id": pa.string(),
        "reward": pa.float32(),
        "time": _TIME,  # when it happened
        "recorded": _TIME,  # when the service kept it: from then on a copy may have learnt from it
        "decision_id": pa.string(),  # "" where it belongs to none
        "position": pa.int32(),  # from 1, 0 where unknown
    },
)
"""Events, all of them: histories are made from these, rewards from those that name a decision."""
SHADOWS = _schema(
    "shadows",
    {
        "decision_id": pa.string(),  # of the decision that was shown in its place
        "time": _TIME,  # when that was answered
        "policy_version": pa.string(),
        "source": pa.string(),  # as in decisions
        "events_used": pa.int64(),
        "slate": pa.list_(pa.string()),
        "propensities": pa.list_(pa.float32()),
        "log_propensity": pa.float64(),
        "reason": pa.string(),
    },
)
"""What a shadow version would have shown, of those decisions for which it had the time."""
NAMES = {"decisions": DECISIONS, "events": EVENTS, "shadows": SHADOWS}


def write(path: Path, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write one file of a log, whole or not at all.

    Args:
        path: where; the name begins with `table` and a dash, or readers do not find it.
        table: "decisions", "events" or "shadows".
        columns: all columns of its schema by name; times as ms since 1970.
    """
    schema = NAMES[table]
    if not path.name.startswith(f"{table}-"):
        raise LogError(f"a file of {table} must be named {table}-*.parquet, got {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    arrays = [_array(columns[name], schema.field(name).type) for name in schema.names]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), unfinished, row_group_size=ROWS, compression="zstd")
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)


def files(folder: Path, table: str) -> list[Path]:
    """The files of one table, in the order of their names."""
    return sorted(folder.glob(f"{table}-*.parquet"))


def batches(folder: Path, table: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """All rows of one table, a row group at a time, repeats included.

    Args:
        folder: of the log.
        table: "decisions" or "events".
        columns: which to read; None: all.

    Raises:
        LogError: a file is damaged, of another version, or lacks a column; the text names it.
    """
    for path in files(folder, table):
        with _opened(path) as file:
            check(file.schema_arrow, table, path)
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group, columns=columns).combine_chunks().to_batches()


def column(path: Path, table: str, name: str) -> list[Any]:
    """One column of one file, checked as in `batches`."""
    with _opened(path) as file:
        check(file.schema_arrow, table, path)
        values: list[Any] = file.read([name])[name].to_pylist()
        return values


def rows(folder: Path, table: str) -> int:
    """How many rows the files of a table have, repeats included."""
    total = 0
    for path in files(folder, table):
        with _opened(path) as file:
            total += file.metadata.num_rows
    return total


def check(found: pa.Schema, table: str, path: Path) -> None:
    """Raise a LogError unless a file is of this table, this version, and has its columns with their types."""
    about = {key.decode(): value.decode() for key, value in (found.metadata or {}).items()}
    name, version = about.get("quickstudy.table"), about.get("quickstudy.version")
    if name != table or version is None:
        raise LogError(f"{path} is no table of {table} of a quickstudy log; give a log of your own with --map")
    if version != str(VERSION):
        raise LogError(f"{path} has version {version} of the log, this build reads {VERSION}; export the log anew")
    for wanted in NAMES[table]:
        at = found.get_field_index(wanted.name)
        if at < 0:
            raise LogError(f"{path} lacks column {wanted.name} of version {version} of the log; export the log anew")
        if found.field(at).type != wanted.type:
            raise LogError(
                f"{path}: column {wanted.name} must be {wanted.type} in version {version} of the log, "
                f"got {found.field(at).type}"
            )


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise LogError(f"{path} is no whole Parquet file: {' '.join(str(error).split())[:200]}") from error


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)
