"""Files as frames: the layouts that can be read, and what a broken row looks like."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from meta.catalogue import MAX_ID_BYTES
from meta.errors import InputError

MILLISECONDS_FROM = 1e11
"""Numeric timestamps from here on are milliseconds (it is 1973 then), below it seconds (it is the year 5138 then)."""


class DataError(InputError):
    """An input file that cannot be used; the text names file, line, value and rule in one sentence."""


def table(path: Path, *, strings: bool = False) -> pd.DataFrame:
    """A file as a frame; the index counts rows from 0. `strings`: nothing is parsed, NaN is what is absent."""
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        if path.suffix in (".parquet", ".pq"):
            return pd.read_parquet(path)
        if not strings:
            text = {"item_id": str, "user_id": str}
            frame = pd.read_csv(
                path, dtype=text, keep_default_na=False, na_values=[""], low_memory=False, skip_blank_lines=False
            )
            return frame.dropna(how="all")
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
        return frame[(frame.fillna("") != "").any(axis=1)]  # without blank lines; line numbers stay those of the file
    except (ValueError, OSError) as error:
        raise _unreadable(path, error) from error


def separated(path: Path, separator: str, names: Sequence[str]) -> pd.DataFrame:
    """A headless file of a one- or two-letter separator; its index starts at -1, so that line = index + 2 here too."""
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    text = path.read_text(encoding="latin-1").replace(separator, "\t")
    try:
        frame = pd.read_csv(
            io.StringIO(text), sep="\t", names=list(names), dtype=str, keep_default_na=False, quoting=3, index_col=False
        )
    except ValueError as error:
        raise _unreadable(path, error) from error
    return frame.set_axis(frame.index - 1, axis=0)


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, pd.errors.EmptyDataError):
        return DataError(f"{path} is empty")
    fields = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
    if fields:
        want, line, got = fields.groups()
        return DataError(f"{path} line {line}: a row must have {want} fields, got {got}")
    return DataError(f"{path} cannot be read: {' '.join(str(error).split())}")


def need(frame: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    """Raise unless a frame has these columns and a row."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns))
        raise DataError(f"{path} lacks column {', '.join(missing)}; it has {found}")
    if not len(frame):
        raise DataError(f"{path} has a header but no rows")


def ids(frame: pd.DataFrame, name: str, path: Path) -> list[str]:
    """A column of ids of 1 to 256 bytes."""
    text = frame[name].astype(str)
    refuse(frame, frame[name].isna() | (text == ""), name, "must not be empty", path)
    long = [len(value.encode()) > MAX_ID_BYTES for value in text]
    refuse(frame, long, name, f"must have at most {MAX_ID_BYTES} bytes", path)
    return text.tolist()


def numbers(log: pd.DataFrame, name: str, path: Path) -> npt.NDArray[np.float64]:
    """A column of finite numbers."""
    numbers = np.asarray(pd.to_numeric(log[name], errors="coerce"), np.float64)
    refuse(log, ~np.isfinite(numbers.astype(np.float32)), name, "must be a finite number", path)
    return numbers


def times(log: pd.DataFrame, path: Path) -> npt.NDArray[np.int64]:
    """The column `timestamp` as milliseconds since 1970."""
    column = log["timestamp"]
    if not pd.api.types.is_datetime64_any_dtype(column):
        numbers = np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)
        if np.isfinite(numbers).any():
            refuse(log, ~np.isfinite(numbers), "timestamp", "must be a number as in other rows", path)
            return (numbers if np.median(numbers) >= MILLISECONDS_FROM else 1000.0 * numbers).astype(np.int64)
    times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    refuse(log, times.isna(), "timestamp", "must be seconds, milliseconds or ISO 8601", path)
    return np.asarray(times.dt.tz_localize(None), "datetime64[ms]").astype(np.int64)


def refuse(log: pd.DataFrame, broken: Any, name: str, rule: str, path: Path) -> None:
    """Raise for the first broken row, by its line in a text file or its row in Parquet."""
    at = np.flatnonzero(np.asarray(broken))
    if at.size:
        value, row = log[name].iloc[at[0]], int(np.asarray(log.index)[at[0]])
        shown = "nothing" if value is None or value == "" or value != value else str(value)[:80]
        where = f"row {row + 1}" if path.suffix in (".parquet", ".pq") else f"line {row + 2}"
        raise DataError(f"{path} {where}: {name} {rule}, got {shown}")


def columns(frame: pd.DataFrame, names: Sequence[str], path: Path) -> dict[str, list[Any]]:
    """Plain values of some columns of a typed frame by name, None where missing; strings that are JSON lists are lists.

    Raises:
        DataError: for the first infinite number.
    """
    found = {}
    for name in names:
        if pd.api.types.is_float_dtype(frame[name]):
            refuse(frame, np.isinf(frame[name]), name, "must be a finite number", path)
        found[name] = _values(frame[name])
    return found


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame of strings with numbers in the columns that hold nothing else; what is empty is missing."""
    frame = frame.mask(frame == "")
    parsed = {name: pd.to_numeric(frame[name], errors="coerce") for name in frame.columns}
    return frame.assign(**{name: new for name, new in parsed.items() if (new.isna() == frame[name].isna()).all()})


def _values(column: pd.Series[Any]) -> list[Any]:
    values = [
        None if not isinstance(value, list | tuple | np.ndarray) and pd.isna(value) else value for value in column
    ]
    texts = [value for value in values if value is not None]
    if texts and all(isinstance(value, str) and value.startswith("[") for value in texts):
        try:
            return [None if value is None else json.loads(value) for value in values]
        except ValueError:
            return values
    return values
