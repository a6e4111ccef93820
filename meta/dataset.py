"""Logs and item tables from files: the only place that knows pandas, file layouts and what a broken row looks like."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from meta.catalogue import MAX_ID_BYTES, Catalogue, CatalogueError, encode_items
from meta.errors import InputError

LIKED = 4.0
"""A MovieLens rating from here on is reward 1, below it reward 0."""
MILLISECONDS_FROM = 1e11
"""Numeric timestamps from here on are milliseconds (it is 1973 then), below it seconds (it is the year 5138 then)."""

_GENRES = [
    *("unknown", "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
]


class DataError(InputError):
    """An input file that cannot be used; the text names file, line, value and rule in one sentence."""


@dataclass(frozen=True, slots=True)
class Interactions:
    """A log of M events, in the order of the file.

    Args:
        user: int32 [M], index into `users`.
        item: int32 [M], catalogue row.
        reward: float32 [M], finite.
        time_ms: int64 [M], milliseconds since 1970.
        users: ids of the users.
        name: where the log came from.
    """

    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    reward: npt.NDArray[np.float32]
    time_ms: npt.NDArray[np.int64]
    users: tuple[str, ...]
    name: str = ""

    def __len__(self) -> int:
        return len(self.user)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any event."""
        digest = hashlib.sha256("\n".join(self.users).encode())
        for column in (self.user, self.item, self.reward, self.time_ms):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()[:16]


def read(interactions: Path, items: Path) -> tuple[Interactions, Catalogue]:
    """Read `user_id,item_id,reward,timestamp` and an item table with `item_id` and any columns; CSV or Parquet.

    Timestamps are seconds or milliseconds since 1970 or ISO 8601; other columns of the log are left alone.

    Raises:
        DataError: for a file that is missing, empty or without a needed column, and for the first broken row.
    """
    catalogue = _catalogue(_table(items, typed=True), items)
    log = _table(interactions, typed=False)
    _need(log, ("user_id", "item_id", "reward", "timestamp"), interactions)
    return _interactions(log, catalogue, interactions), catalogue


def read_movielens(folder: Path) -> tuple[Interactions, Catalogue]:
    """Read MovieLens as it is published; reward 1 for a rating of 4 and more, else 0; year and genres describe a film.

    Layouts: `ratings.csv, movies.csv` (latest-small, 20M, 25M, 32M), `u.data, u.item` (100K), `ratings.dat, movies.dat`
    (1M, 10M).

    Raises:
        DataError: for a folder of another layout, and as `read` does.
    """
    names = ["user_id", "item_id", "rating", "timestamp"]
    if (folder / "ratings.csv").is_file():
        ratings, movies = folder / "ratings.csv", folder / "movies.csv"
        log = _table(ratings, typed=False).rename(columns=lambda name: name.lower())
        log = log.rename(columns={"userid": "user_id", "movieid": "item_id"})
        films = _table(movies, typed=False).rename(columns=lambda name: name.lower())
        films = films.rename(columns={"movieid": "item_id"})
    elif (folder / "u.data").is_file():
        ratings, movies = folder / "u.data", folder / "u.item"
        log = _separated(ratings, "\t", names)
        films = _separated(movies, "|", ["item_id", "title", "date", "video", "url", *_GENRES])
        flags = films[_GENRES].to_numpy() == "1"
        films["genres"] = ["|".join(np.asarray(_GENRES)[row]) for row in flags]
    elif (folder / "ratings.dat").is_file():
        ratings, movies = folder / "ratings.dat", folder / "movies.dat"
        log, films = _separated(ratings, "::", names), _separated(movies, "::", ["item_id", "title", "genres"])
    else:
        raise DataError(f"{folder} holds neither ratings.csv nor u.data nor ratings.dat: it is no MovieLens folder")
    _need(log, names, ratings)
    _need(films, ("item_id", "title", "genres"), movies)
    year = films["title"].astype(str).str.extract(r"\((\d{4})[^()]*\)\s*$")[0].astype(float)
    genres = films["genres"].replace("(no genres listed)", "")
    catalogue = _catalogue(pd.DataFrame({"item_id": films["item_id"], "year": year, "genres": genres}), movies)
    rating = _numbers(log, "rating", ratings)
    log = log.drop(columns="rating").assign(reward=(rating >= LIKED).astype(np.float32))
    return _interactions(log, catalogue, ratings), catalogue


def _table(path: Path, *, typed: bool) -> pd.DataFrame:
    """A file as a frame; the index counts rows from 0. Untyped frames hold strings, and NaN for what is absent."""
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        if path.suffix in (".parquet", ".pq"):
            return pd.read_parquet(path)
        if typed:
            return pd.read_csv(path, dtype={"item_id": str}, keep_default_na=False, na_values=[""], low_memory=False)
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, skip_blank_lines=False)
        return frame[(frame.fillna("") != "").any(axis=1)]  # without blank lines; line numbers stay those of the file
    except (ValueError, OSError) as error:
        raise _unreadable(path, error) from error


def _separated(path: Path, separator: str, names: Sequence[str]) -> pd.DataFrame:
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


def _need(frame: pd.DataFrame, columns: Sequence[str], path: Path) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns))
        raise DataError(f"{path} lacks column {', '.join(missing)}; it has {found}")
    if not len(frame):
        raise DataError(f"{path} has a header but no rows")


def _interactions(log: pd.DataFrame, catalogue: Catalogue, path: Path) -> Interactions:
    for name in ("user_id", "item_id"):
        text = log[name].astype(str)
        _refuse(log, log[name].isna() | (text == ""), name, "must not be empty", path)
        long = [len(value.encode()) > MAX_ID_BYTES for value in text]
        _refuse(log, long, name, f"must have at most {MAX_ID_BYTES} bytes", path)
    item = catalogue.rows(log["item_id"].astype(str).tolist())
    _refuse(log, item < 0, "item_id", "must be in the item table", path)
    reward = _numbers(log, "reward", path)
    code, users = pd.factorize(log["user_id"].astype(str))
    name, times = f"{path.parent.name}/{path.name}", _times(log, path)
    return Interactions(code.astype(np.int32), item, reward.astype(np.float32), times, tuple(map(str, users)), name)


def _numbers(log: pd.DataFrame, name: str, path: Path) -> npt.NDArray[np.float64]:
    numbers = np.asarray(pd.to_numeric(log[name], errors="coerce"), np.float64)
    _refuse(log, ~np.isfinite(numbers.astype(np.float32)), name, "must be a finite number", path)
    return numbers


def _times(log: pd.DataFrame, path: Path) -> npt.NDArray[np.int64]:
    column = log["timestamp"]
    if not pd.api.types.is_datetime64_any_dtype(column):
        numbers = np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)
        if np.isfinite(numbers).any():
            _refuse(log, ~np.isfinite(numbers), "timestamp", "must be a number as in other rows", path)
            return (numbers if np.median(numbers) >= MILLISECONDS_FROM else 1000.0 * numbers).astype(np.int64)
    times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    _refuse(log, times.isna(), "timestamp", "must be seconds, milliseconds or ISO 8601", path)
    return np.asarray(times.dt.tz_localize(None), "datetime64[ms]").astype(np.int64)


def _refuse(log: pd.DataFrame, broken: Any, name: str, rule: str, path: Path) -> None:
    """Raise for the first broken row, by its line in a text file or its row in Parquet."""
    at = np.flatnonzero(np.asarray(broken))
    if at.size:
        value, row = log[name].iloc[at[0]], int(np.asarray(log.index)[at[0]])
        shown = "nothing" if value is None or value == "" or value != value else str(value)[:80]
        where = f"row {row + 1}" if path.suffix in (".parquet", ".pq") else f"line {row + 2}"
        raise DataError(f"{path} {where}: {name} {rule}, got {shown}")


def _catalogue(table: pd.DataFrame, path: Path) -> Catalogue:
    _need(table, ("item_id",), path)
    _refuse(table, table["item_id"].isna(), "item_id", "must not be empty", path)
    columns = {str(name): _values(table[name]) for name in table.columns if name != "item_id"}
    try:
        return encode_items(table["item_id"].astype(str).tolist(), columns)
    except CatalogueError as error:
        raise DataError(f"{path}: {error}") from error


def _values(column: pd.Series[Any]) -> list[Any]:
    """Plain values, None where missing; strings that are all JSON lists become lists."""
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
