"""Logs that somebody else wrote: a table whose columns are named by options, and the layout of the Open Bandit Dataset.

A row is one shown item or one slate. Its rewards are known at once, and the shown items are the user's next events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from meta import histories, tables
from meta.errors import InputError
from meta.types import BoolArray, IntArray
from replay.bad_rows import BadRows
from replay.decisions import Decisions, Log, Recorded, joined

FIELDS = {
    "user": "whose row it is; without it every row is a user of its own",
    "time": "seconds, milliseconds or ISO 8601; without it rows stand in the order of time",
    "item": "the item, or the slate: a list, JSON, or separated by '|'",
    "propensity": "of each position given those above, as many as items",
    "reward": "of each position, as many as items",
    "candidates": "as items; without it the whole catalogue",
    "segment": "any category that results are told by",
}
NEEDED = ("item", "propensity", "reward")
RULES = {
    "user": "the user is missing",
    "time": "the time is missing or no time",
    "item": "the item is missing",
    "unknown": "the item is not in the catalogue",
    "uneven": "items, propensities and rewards differ in number",
    "repeated": "the slate shows an item twice",
    "propensity": "a propensity is not in (0, 1]",
    "reward": "a reward is missing or not finite",
}
OPEN_BANDIT = {
    "time": "timestamp",
    "item": "item_id",
    "propensity": "propensity_score",
    "reward": "click",
    "segment": "position",
}


def mapped(options: Sequence[str]) -> dict[str, str]:
    """Columns by field from options such as "item=article_id".

    Raises:
        InputError: an option is no pair, names no field, or one that is needed is missing.
    """
    found: dict[str, str] = {}
    for option in options:
        field, equals, column = option.partition("=")
        if not equals or not column or field not in FIELDS:
            fields = ", ".join(FIELDS)
            raise InputError(f"--map takes FIELD=COLUMN with a field of {fields}, got {option!r}")
        found[field] = column
    if lacking := [field for field in NEEDED if field not in found]:
        raise InputError(f"--map must name the column of {', '.join(lacking)}; add --map {lacking[0]}=COLUMN")
    return found


def is_open_bandit(path: Path) -> bool:
    """Whether a folder has the layout of the Open Bandit Dataset: a table named as the folder, and item_context.csv."""
    return (path / "item_context.csv").is_file() and _open_bandit_table(path) is not None


def read_open_bandit(folder: Path) -> Log:
    """The log of one campaign and logging policy, of single items at one of three positions.

    Saito et al. 2020, "Open Bandit Dataset and Pipeline". There are no user ids, so every row is a user of its own; all
    items of the campaign were candidates.
    """
    table = _open_bandit_table(folder)
    if table is None:
        raise InputError(f"{folder} holds no {folder.name}.csv of the Open Bandit layout")
    items = tables.table(folder / "item_context.csv")["item_id"].astype(str).tolist()
    return read(table, OPEN_BANDIT, candidates=items)


def read(path: Path, columns: Mapping[str, str], *, candidates: Sequence[str] = (), known: Sequence[str] = ()) -> Log:
    """A log of rows with their own column names, bad rows counted and left out.

    Args:
        path: CSV (also compressed) or Parquet.
        columns: column names by field, as `mapped` gives them.
        candidates: of all rows, where the log has no column of them; none: the whole catalogue.
        known: ids of items that rows may show; none: all that are named.

    Raises:
        InputError: a column is missing, or no row is usable.
    """
    frame = tables.table(path)
    tables.need(frame, list(columns.values()), path)
    rows = {field: frame[column].tolist() for field, column in columns.items()}
    n = len(frame)
    slates = [_list(value) for value in rows["item"]]
    chances, rewards = ([_numbers(value) for value in rows[field]] for field in ("propensity", "reward"))
    users = [_text(value) for value in rows["user"]] if "user" in rows else [str(k) for k in range(n)]
    time = _times(frame[columns["time"]]) if "time" in columns else np.arange(n, dtype=np.int64)
    catalogue = set(known)
    broken = {
        RULES["user"]: _flags(users, lambda user: not user),
        RULES["time"]: time < 0,
        RULES["item"]: _flags(slates, lambda slate: not slate or not all(slate)),
        RULES["unknown"]: _flags(slates, lambda slate: bool(catalogue) and not catalogue.issuperset(slate)),
        RULES["reward"]: _flags(rewards, lambda reward: not reward or not np.isfinite(reward).all()),
        RULES["propensity"]: _flags(chances, lambda chance: not chance or not all(0 < each <= 1 for each in chance)),
        RULES["uneven"]: np.array(
            [not len(s) == len(p) == len(r) for s, p, r in zip(slates, chances, rewards, strict=True)], bool
        ),
        RULES["repeated"]: _flags(slates, lambda slate: len(set(slate)) < len(slate)),
    }
    bad = BadRows()
    line = 1 if path.suffix in (".parquet", ".pq") else 2
    good = np.flatnonzero(bad.sift(n, broken, lambda at: f"line {at + line}: {frame.iloc[at].to_dict()}"))
    if not good.size:
        worst, count = max(bad.count.items(), key=lambda rule: rule[1])
        raise InputError(f"{path} holds no usable row of {n}; in {count} {worst}; check --map")
    given = [_list(value) for value in rows["candidates"]] if "candidates" in rows else None
    segment = [_text(value) for value in rows["segment"]] if "segment" in rows else None
    taken = [*map(int, good)]
    return _log(
        [users[k] for k in taken],
        time[good],
        [slates[k] for k in taken],
        [chances[k] for k in taken],
        [rewards[k] for k in taken],
        list(candidates) if given is None else [given[k] for k in taken],
        [f"{columns['segment']} {segment[k]}" for k in taken] if segment else ["all"] * len(taken),
        bad,
    )


def _log(
    users: list[str],
    time: IntArray,
    slates: list[list[str]],
    chances: list[list[float]],
    rewards: list[list[float]],
    candidates: list[str] | list[list[str]],
    segments: list[str],
    bad: BadRows,
) -> Log:
    """The arrays of usable rows; `candidates` are of all rows or of each."""
    n = len(users)
    user, user_codes = _codes(users)
    segment, segment_codes = _codes(segments)
    size = np.array([len(slate) for slate in slates])
    flat = [item for slate in slates for item in slate]
    every = [item for row in candidates for item in row] if _nested(candidates) else list(candidates)
    codes, items = _codes([*flat, *every])
    slate = _table(codes[: len(flat)], size, -1)
    if _nested(candidates):
        given = _table(codes[len(flat) :], np.array([len(row) for row in candidates]), -1)
    else:
        given = np.broadcast_to(codes[len(flat) :], (n, len(every)))
    reward = _table(np.array([each for row in rewards for each in row], np.float32), size, 0)
    chance = _table(np.array([each for row in chances for each in row], np.float32), size, 1)
    key = np.arange(n, dtype=np.int64)
    decisions = Decisions(
        user=user, time_ms=time, candidates=given, excluded=np.zeros((n, 0), np.int32), include_seen=np.ones(n, bool),
        slate=slate, propensity=chance, reward=reward, begin=key * 0, seen=key * 0,
        watermark=np.zeros(n, np.uint64), segment=segment.astype(np.int16),
    )  # fmt: skip
    of = np.repeat(key, size)
    tag = np.array([histories.tag(str(k)) for k in range(n)], np.uint8)[of]
    recorded = Recorded(
        user=user[of], item=codes[: len(flat)], reward=reward[slate >= 0], time_ms=time[of], recorded_ms=time[of],
        tag=tag, mark=np.zeros(len(of), np.uint32),
    )  # fmt: skip
    unordered = int((np.diff(time[np.argsort(user, kind="stable")])[np.diff(np.sort(user)) == 0] < 0).sum())
    found = Log(tuple(items), len(user_codes), tuple(segment_codes), decisions, recorded, bad, unordered=unordered)
    position = np.concatenate([np.arange(1, each + 1) for each in size]).astype(np.int32)
    return joined(found, key, of, window_ms=0, default=0.0, position=position)


def _nested(candidates: Sequence[Any]) -> bool:
    return bool(candidates) and isinstance(candidates[0], list)


def _open_bandit_table(folder: Path) -> Path | None:
    names = (folder / f"{folder.name}{ending}" for ending in (".csv", ".csv.gz"))
    return next((path for path in names if path.is_file()), None)


def _codes(values: Sequence[str]) -> tuple[IntArray, list[str]]:
    """Codes int32 by first appearance, and what they stand for."""
    codes, found = pd.factorize(np.array(values, object))
    return codes.astype(np.int32), list(found)


def _table(flat: Any, size: IntArray, empty: float) -> Any:
    inside = np.arange(size.max(initial=0)) < size[:, None]
    out = np.full(inside.shape, empty, flat.dtype)
    out[inside] = flat
    return out


def _flags(values: Sequence[Any], rule: Callable[[Any], bool]) -> BoolArray:
    return np.fromiter(map(rule, values), bool, len(values))


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value)) or value == ""


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers with a gap in it
    return "" if _missing(value) else str(value)


def _list(value: Any) -> list[str]:
    """A list of ids, from a list, JSON, or text separated by '|'."""
    if isinstance(value, list | tuple | np.ndarray):
        return [_text(each) for each in value]
    text = _text(value)
    if text.startswith("["):
        try:
            return [_text(each) for each in json.loads(text)]
        except ValueError:
            return [text]
    return text.split("|") if text else []


def _numbers(value: Any) -> list[float]:
    """Numbers of a row, NaN for what is none."""
    if isinstance(value, int | float | np.number):
        return [float(value)]
    return [_number(each) for each in _list(value)]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _times(column: pd.Series[Any]) -> IntArray:
    """Milliseconds since 1970, -1 where there is no time."""
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().any():
        scale = 1 if numbers.median() >= tables.MILLISECONDS_FROM else 1000
        return np.asarray((numbers * scale).fillna(-1), np.int64)
    times = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    found: IntArray = np.where(
        times.isna(), -1, np.asarray(times.dt.tz_localize(None), "datetime64[ms]").astype(np.int64)
    )
    return found
