"""Logs, item tables and user tables from files, in our layout and in MovieLens' own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from meta import tables
from meta.catalogue import Catalogue, CatalogueError, encode_items
from meta.columns import ColumnError, Encoded
from meta.tables import DataError

__all__ = ["DataError", "Interactions", "read", "read_items", "read_movielens"]

LIKED = 4.0
"""A MovieLens rating from here on is reward 1, below it reward 0."""
CONTEXT = "context_"
"""Columns of a log that start so tell the context of an event: `context_device` is the context's `device`."""

_GENRES = [
    *("unknown", "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
]


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
        attributes: of the users, [U, A], all 0 for a user of whom nothing is known; None: of nobody.
        context: in which each event happened, [M, X]; None: not kept.
    """

    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    reward: npt.NDArray[np.float32]
    time_ms: npt.NDArray[np.int64]
    users: tuple[str, ...]
    name: str = ""
    attributes: Encoded | None = None
    context: Encoded | None = None

    def __len__(self) -> int:
        return len(self.user)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change with any event."""
        digest = hashlib.sha256("\n".join(self.users).encode())
        for column in (self.user, self.item, self.reward, self.time_ms):
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()[:16]


def read(interactions: Path, items: Path, users: Path | None = None) -> tuple[Interactions, Catalogue]:
    """Read a log `user_id,item_id,reward,timestamp`, an item table and a user table; CSV or Parquet.

    Items have `item_id` and any columns, users `user_id` and any columns. Timestamps are seconds or milliseconds since
    1970 or ISO 8601. Columns of the log named `context_...` are the context of its events; others are left alone.

    Raises:
        DataError: for a file that is missing, empty or without a needed column, and for the first broken row.
    """
    catalogue = _catalogue(tables.table(items), items)
    log = tables.table(interactions, strings=True)
    tables.need(log, ("user_id", "item_id", "reward", "timestamp"), interactions)
    read_log = _interactions(log, catalogue, interactions)
    if users is not None:
        read_log = replace(read_log, attributes=_attributes(tables.table(users), read_log.users, users))
    return read_log, catalogue


def read_items(path: Path, like: Catalogue | None = None) -> Catalogue:
    """Read an item table, with `item_id` and any columns, encoded as another catalogue's if one is given.

    Raises:
        DataError: as `read` does.
    """
    table = tables.table(path)
    if like is None:
        return _catalogue(table, path)
    ids, columns = _items(table, path)
    try:
        return Catalogue(tuple(ids), like.encode(columns, len(ids)), like.columns)
    except (CatalogueError, ColumnError) as error:
        raise DataError(f"{path}: {error}") from error


def read_movielens(folder: Path) -> tuple[Interactions, Catalogue]:
    """Read MovieLens as it is published; reward 1 for a rating of 4 and more, else 0; year and genres describe a film.

    Layouts: `ratings.csv, movies.csv` (latest-small, 20M, 25M, 32M), `u.data, u.item, u.user` (100K), `ratings.dat,
    movies.dat, users.dat` (1M; 10M without users). Age, gender and occupation describe a user; ages of 1M are brackets.

    Raises:
        DataError: for a folder of another layout, and as `read` does.
    """
    names = ["user_id", "item_id", "rating", "timestamp"]
    people, path = None, folder
    if (folder / "ratings.csv").is_file():
        ratings, movies = folder / "ratings.csv", folder / "movies.csv"
        log = tables.table(ratings, strings=True).rename(columns=lambda name: name.lower())
        log = log.rename(columns={"userid": "user_id", "movieid": "item_id"})
        films = tables.table(movies, strings=True).rename(columns=lambda name: name.lower())
        films = films.rename(columns={"movieid": "item_id"})
    elif (folder / "u.data").is_file():
        ratings, movies = folder / "u.data", folder / "u.item"
        log = tables.separated(ratings, "\t", names)
        films = tables.separated(movies, "|", ["item_id", "title", "date", "video", "url", *_GENRES])
        if (path := folder / "u.user").is_file():
            people = tables.separated(path, "|", ["user_id", "age", "gender", "occupation", "zip"])
        flags = films[_GENRES].to_numpy() == "1"
        films["genres"] = ["|".join(np.asarray(_GENRES)[row]) for row in flags]
    elif (folder / "ratings.dat").is_file():
        ratings, movies = folder / "ratings.dat", folder / "movies.dat"
        log = tables.separated(ratings, "::", names)
        films = tables.separated(movies, "::", ["item_id", "title", "genres"])
        if (path := folder / "users.dat").is_file():
            people = tables.separated(path, "::", ["user_id", "gender", "age", "occupation", "zip"])
    else:
        raise DataError(f"{folder} holds neither ratings.csv nor u.data nor ratings.dat: it is no MovieLens folder")
    tables.need(log, names, ratings)
    tables.need(films, ("item_id", "title", "genres"), movies)
    year = films["title"].astype(str).str.extract(r"\((\d{4})[^()]*\)\s*$")[0].astype(float)
    genres = films["genres"].replace("(no genres listed)", "")
    catalogue = _catalogue(pd.DataFrame({"item_id": films["item_id"], "year": year, "genres": genres}), movies)
    rating = tables.numbers(log, "rating", ratings)
    log = log.drop(columns="rating").assign(reward=(rating >= LIKED).astype(np.float32))
    read_log = _interactions(log, catalogue, ratings)
    if people is not None:
        age = tables.numbers(people, "age", path)
        people = people.drop(columns="zip").assign(age=age if path.name == "u.user" else age.astype(int).astype(str))
        read_log = replace(read_log, attributes=_attributes(people, read_log.users, path))
    return read_log, catalogue


def _interactions(log: pd.DataFrame, catalogue: Catalogue, path: Path) -> Interactions:
    owner = tables.ids(log, "user_id", path)
    item = catalogue.rows(tables.ids(log, "item_id", path))
    tables.refuse(log, item < 0, "item_id", "must be in the item table", path)
    reward = tables.numbers(log, "reward", path)
    code, found = pd.factorize(np.asarray(owner, object))
    name, times = f"{path.parent.name}/{path.name}", tables.times(log, path)
    return Interactions(
        code.astype(np.int32), item, reward.astype(np.float32), times, tuple(map(str, found)), name,
        context=_context(log, path),
    )  # fmt: skip


def _attributes(people: pd.DataFrame, users: tuple[str, ...], path: Path) -> Encoded:
    """Attributes [U, A] of the users of a log; those whom the table lacks are all 0."""
    tables.need(people, ("user_id",), path)
    ids = tables.ids(people, "user_id", path)
    tables.refuse(people, people["user_id"].astype(str).duplicated(), "user_id", "must be unique", path)
    told = _encoded(people, [str(name) for name in people.columns if name != "user_id"], path)
    row = {user: at for at, user in enumerate(ids)}
    at = np.array([row.get(user, -1) for user in users])
    return Encoded(told.columns, np.where(at[:, None] >= 0, told.features[at], np.float32(0)))


def _context(log: pd.DataFrame, path: Path) -> Encoded | None:
    names = [str(name) for name in log.columns if str(name).startswith(CONTEXT)]
    if not names:
        return None
    frame = log[names] if path.suffix in (".parquet", ".pq") else tables.typed(log[names])
    told = _encoded(frame.rename(columns=lambda name: name.removeprefix(CONTEXT)), None, path)
    for column in told.columns:
        if column.kind == "vector":
            raise DataError(f"{path}: column {CONTEXT}{column.name} must hold numbers or words, got vectors")
    return told


def _encoded(frame: pd.DataFrame, names: list[str] | None, path: Path) -> Encoded:
    try:
        return Encoded.fit(tables.columns(frame, names or list(map(str, frame.columns)), path), len(frame))
    except ColumnError as error:
        raise DataError(f"{path}: {error}") from error


def _items(table: pd.DataFrame, path: Path) -> tuple[list[str], dict[str, list[Any]]]:
    """Ids and other columns of an item table."""
    tables.need(table, ("item_id",), path)
    tables.refuse(table, table["item_id"].isna(), "item_id", "must not be empty", path)
    columns = tables.columns(table, [str(name) for name in table.columns if name != "item_id"], path)
    return table["item_id"].astype(str).tolist(), columns


def _catalogue(table: pd.DataFrame, path: Path) -> Catalogue:
    ids, columns = _items(table, path)
    try:
        return encode_items(ids, columns)
    except (CatalogueError, ColumnError) as error:
        raise DataError(f"{path}: {error}") from error
