"""From the files of our own log to arrays, a row group at a time; long logs one part of the users after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meta import histories
from meta.errors import InputError
from meta.types import BoolArray, IntArray
from replay import log
from replay.bad_rows import BadRows
from replay.decisions import Decisions, Log, Recorded, joined
from replay.held_out import held_out
from replay.rewards import Rewards

PART = 1_000_000
"""Decisions, about, that are in memory at once."""
RULES = {
    "empty": "the slate is empty",
    "uneven": "slate and propensities differ in length",
    "repeated": "the slate shows an item twice",
    "propensity": "a propensity is not in (0, 1]",
    "foreign": "the slate shows what was no candidate",
    "reward": "the reward is not finite",
}
_COLUMNS = (
    "decision_id", "time", "user", "policy_version", "source", "mode", "deferred", "activated", "watermark",
    "candidates", "excluded", "include_seen", "slate", "propensities", "context",
)  # fmt: skip


def parts(folder: Path) -> int:
    """Into how many parts of its users a log is read, so that each fits into memory.

    Raises:
        InputError: the folder holds no decisions.
    """
    if not log.files(folder, "decisions"):
        raise InputError(
            f"{folder} holds no decisions-*.parquet; give the folder of an exported log, or --map for others"
        )
    return max(1, -(-log.rows(folder, "decisions") // PART))


def in_parts(
    folder: Path, window_s: float | None, default: float | None, share: float = 0.0
) -> tuple[int, Iterator[Log]]:
    """How many decisions a log has, about, and its parts, one after the other; arguments as in `read`.

    Where a share is given, of the users only whom a training that left out so many has not learnt from.
    """
    among = (lambda user: held_out(user, share)) if share else None
    of, window_ms = parts(folder), None if window_s is None else round(1_000 * window_s)
    each = (read(folder, part, of, window_ms=window_ms, default=default, among=among) for part in range(of))
    return round(log.rows(folder, "decisions") * (share or 1.0)), each


def read(
    folder: Path,
    part: int = 0,
    of: int = 1,
    *,
    window_ms: int | None = None,
    default: float | None = None,
    among: Callable[[str], bool] | None = None,
) -> Log:
    """Read the decisions and events of a part of the users, each once, with rewards joined.

    Args:
        folder: of the log.
        part: which of the parts, 0..of-1.
        of: number of parts.
        window_ms, default: as in `joined`; None: as the folder's `Rewards` say.
        among: whether a user is read; None: all are.

    Raises:
        LogError: a file does not fit the schema.
    """
    kept = Rewards.of(folder)
    window_ms = round(1_000 * kept.window_s) if window_ms is None else window_ms
    default = kept.default if default is None else default
    reader = _Reader(part, of, among)
    decided = list(reader.decided(log.batches(folder, "decisions", _COLUMNS)))
    happened = list(reader.happened(log.batches(folder, "events")))
    if reader.deferred:
        unseen = np.array([key in reader.deferred and key not in reader.activated for key in reader.keys], bool)
    else:
        unseen = np.zeros(len(reader.keys), bool)
    decisions, key = _decisions(decided).taken(np.flatnonzero(~unseen)), np.array(reader.keys, np.int64)
    recorded, event_key, position = _recorded(happened)
    found = Log(
        tuple(reader.items), len(reader.users), tuple(reader.segments), decisions, recorded, reader.bad,
        int(unseen.sum()), reader.repeated,
    )  # fmt: skip
    return joined(found, key[~unseen], event_key, window_ms=window_ms, default=default, position=position)


@dataclass(slots=True)
class _Reader:
    """What is remembered from one row group to the next: codes of users, items and segments, and what was seen."""

    part: int
    of: int
    among: Callable[[str], bool] | None = None
    users: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    segments: dict[str, int] = field(default_factory=dict)
    keys: list[int] = field(default_factory=list)
    deferred: set[int] = field(default_factory=set)
    activated: set[int] = field(default_factory=set)
    bad: BadRows = field(default_factory=BadRows)
    repeated: int = 0

    def decided(self, batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
        """Columns of the usable decisions of each row group."""
        met: set[int] = set()
        for batch in batches:
            users, ids = batch["user"].to_pylist(), batch["decision_id"].to_pylist()
            keys = list(map(hash, zip(users, ids, strict=True)))
            deferred, activated = (np.asarray(batch[name].fill_null(False)) for name in ("deferred", "activated"))
            size = _lengths(batch["slate"])
            for at in np.flatnonzero(activated).tolist():
                self.activated.add(keys[at])
            news = np.flatnonzero(self._mine(users) & ~(activated & (size == 0)))
            new = [at for at in news.tolist() if not (keys[at] in met or met.add(keys[at]))]  # type: ignore[func-returns-value]
            self.repeated += news.size - len(new)
            if not new:
                continue
            taken = batch.take(pa.array(new, pa.int64()))
            table = self._columns(taken, [users[at] for at in new])
            good = self.bad.sift(len(new), _broken(table), partial(_told, "decision", taken))
            kept = [keys[at] for at, fine in zip(new, good.tolist(), strict=True) if fine]
            self.keys += kept
            self.deferred.update(key for key, later in zip(kept, deferred[new][good].tolist(), strict=True) if later)
            yield {name: column if column is None else column[good] for name, column in table.items()}

    def happened(self, batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
        """Columns of the usable events of each row group, of users who had decisions.

        An event that names a decision of an unknown user comes a second time, as nobody's, for that decision's reward.
        """
        met: set[int] = set()
        unknown = {user for user in self.users if user.startswith(log.UNKNOWN)}
        codes = self.users | dict.fromkeys(unknown, -1)
        for batch in batches:
            users = batch["user"].to_pylist()
            if unknown:
                deciders = [f"{log.UNKNOWN}{name}" for name in batch["decision_id"].to_pylist()]
                again = [at for at, user in enumerate(deciders) if user in unknown]
                batch = batch.take(pa.array([*range(len(users)), *again], pa.int64()))
                users += [deciders[at] for at in again]
            ids = batch["event"].to_pylist()
            keys = list(map(hash, zip(users, ids, strict=True)))
            ours = [at for at, user in enumerate(users) if user in self.users]
            new = [at for at in ours if not (keys[at] in met or met.add(keys[at]))]  # type: ignore[func-returns-value]
            self.repeated += len(ours) - len(new)
            if not new:
                continue
            taken = batch.take(pa.array(new, pa.int64()))
            reward = np.asarray(taken["reward"].fill_null(np.nan), np.float32)
            good = self.bad.sift(
                len(new),
                {RULES["reward"]: ~np.isfinite(reward)},
                partial(_told, "event", taken),
            )
            of, named = [users[at] for at in new], taken["decision_id"].to_pylist()
            table = {
                "user": np.fromiter(map(codes.__getitem__, of), np.int32, len(new)),
                "item": self._codes(taken["item_id"]),
                "reward": reward,
                "time": _ms(taken["time"]),
                "recorded": _ms(taken["recorded"]),
                "tag": np.fromiter(map(histories.tag, named), np.uint8, len(new)),
                "mark": (np.array(taken["event"].to_pylist(), np.uint64) & np.uint64(0xFFFFFFFF)).astype(np.uint32),
                "key": np.fromiter(map(hash, zip(of, named, strict=True)), np.int64, len(new)),
                "position": np.asarray(taken["position"].fill_null(0), np.int32),
            }
            yield {name: column[good] for name, column in table.items()}

    def _mine(self, users: list[str]) -> BoolArray:
        """Which rows belong to the users of this part."""
        mine: BoolArray = np.ones(len(users), bool)
        if self.of > 1:
            mine = np.fromiter(map(hash, users), np.int64, len(users)) % self.of == self.part
        if self.among is not None:
            mine &= np.fromiter(map(self.among, users), bool, len(users))
        return mine

    def _columns(self, batch: pa.RecordBatch, users: list[str]) -> dict[str, Any]:
        for user in users:
            self.users.setdefault(user, len(self.users))
        names = zip(*(batch[name].to_pylist() for name in ("policy_version", "source", "mode")), strict=True)
        segments = [" ".join(filter(None, each)) for each in names]
        for each in segments:
            self.segments.setdefault(each, len(self.segments))
        told = batch["context"].to_pylist()
        return {
            "user": np.fromiter(map(self.users.__getitem__, users), np.int32, len(users)),
            "time_ms": _ms(batch["time"]),
            "candidates": self._lists(batch["candidates"]),
            "excluded": self._lists(batch["excluded"]),
            "include_seen": np.asarray(batch["include_seen"].fill_null(False)),
            "slate": self._lists(batch["slate"]),
            "propensity": _padded(batch["propensities"], np.asarray(batch["propensities"].flatten(), np.float32), 1.0),
            "size": _lengths(batch["slate"]),
            "propensities": _lengths(batch["propensities"]),
            "watermark": np.asarray(batch["watermark"].fill_null(0), np.uint64),
            "segment": np.fromiter(map(self.segments.__getitem__, segments), np.int16, len(users)),
            "context": np.array(told, object) if any(told) else None,
        }

    def _lists(self, column: pa.ListArray) -> IntArray:
        """Lists of ids as codes [n, longest], -1 where padded."""
        codes: IntArray = _padded(column, self._codes(column.flatten()), -1)
        return codes

    def _codes(self, ids: pa.StringArray) -> IntArray:
        coded = pc.dictionary_encode(ids.fill_null(""))
        known = [self.items.setdefault(item, len(self.items)) for item in coded.dictionary.to_pylist()]
        return np.array(known, np.int32)[np.asarray(coded.indices)] if known else np.zeros(0, np.int32)


def _broken(table: dict[str, Any]) -> dict[str, BoolArray]:
    slate, chance, size = table["slate"], table["propensity"], table["size"]
    inside = np.arange(slate.shape[1]) < size[:, None]
    sorted_ = np.sort(np.where(inside, slate, -1 - np.arange(slate.shape[1])), 1)
    candidates = table["candidates"]
    given = (candidates >= 0).any(1)
    lost = np.zeros(len(slate), bool)
    for k in range(slate.shape[1]):
        lost |= inside[:, k] & ~(candidates == slate[:, k, None]).any(1)
    with np.errstate(invalid="ignore"):
        possible = (chance > 0) & (chance <= 1 + 1e-6)
    return {
        RULES["empty"]: size == 0,
        RULES["uneven"]: size != table["propensities"],
        RULES["repeated"]: (sorted_[:, 1:] == sorted_[:, :-1]).any(1),
        RULES["propensity"]: ~possible.all(1),
        RULES["foreign"]: given & lost,
    }


def _told(kind: str, rows: pa.RecordBatch, at: int) -> str:
    return f"{kind} {rows.slice(at, 1).to_pylist()[0]}"


def _lengths(column: pa.ListArray) -> IntArray:
    return np.asarray(pc.list_value_length(column).fill_null(0), np.int64)


def _padded(column: pa.ListArray, flat: Any, empty: float) -> Any:
    """The values of lists as a table [n, longest]."""
    size = _lengths(column)
    inside = np.arange(size.max(initial=0)) < size[:, None]
    out = np.full(inside.shape, empty, flat.dtype)
    out[inside] = flat
    return out


def _ms(column: pa.Array) -> IntArray:
    return np.asarray(column.cast(pa.int64()), np.int64)


def _joined(tables: list[Any], empty: float) -> Any:
    """Tables [n_i, w_i] under each other, padded to the widest."""
    width = max((table.shape[1] for table in tables), default=0)
    wide = [
        table
        if table.shape[1] == width
        else np.pad(table, ((0, 0), (0, width - table.shape[1])), constant_values=empty)
        for table in tables
    ]
    return np.concatenate(wide) if wide else np.zeros((0, width), np.int32)


def _decisions(tables: list[dict[str, Any]]) -> Decisions:
    def column(name: str, dtype: Any) -> Any:
        return np.concatenate([np.zeros(0, dtype), *(table[name] for table in tables)])

    n = sum(len(table["user"]) for table in tables)
    told = None
    if any(table["context"] is not None for table in tables):
        blank = [np.full(len(table["user"]), "", object) for table in tables]
        told = np.concatenate(
            [none if t["context"] is None else t["context"] for t, none in zip(tables, blank, strict=True)]
        )
    slate = _joined([table["slate"] for table in tables], -1)
    propensity = np.ones(slate.shape, np.float32)
    given = _joined([table["propensity"] for table in tables], 1.0)
    propensity[:, : given.shape[1]] = given[:, : slate.shape[1]]
    return Decisions(
        user=column("user", np.int32),
        time_ms=column("time_ms", np.int64),
        candidates=_joined([table["candidates"] for table in tables], -1),
        excluded=_joined([table["excluded"] for table in tables], -1),
        include_seen=column("include_seen", bool),
        slate=slate,
        propensity=np.where(slate >= 0, np.minimum(propensity, 1), 1).astype(np.float32),
        reward=np.zeros(slate.shape, np.float32),
        begin=np.zeros(n, np.int64),
        seen=np.zeros(n, np.int64),
        watermark=column("watermark", np.uint64),
        segment=column("segment", np.int16),
        context=told,
    )


def _recorded(tables: list[dict[str, Any]]) -> tuple[Recorded, IntArray, IntArray]:
    """The events, the keys of the decisions that they name, and the positions."""

    def column(name: str, dtype: Any) -> Any:
        return np.concatenate([np.zeros(0, dtype), *(table[name] for table in tables)])

    events = Recorded(
        column("user", np.int32), column("item", np.int32), column("reward", np.float32), column("time", np.int64),
        column("recorded", np.int64), column("tag", np.uint8), column("mark", np.uint32),
    )  # fmt: skip
    return events, column("key", np.int64), column("position", np.int32)
