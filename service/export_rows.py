"""Entries of the decision log as rows of the tables of `replay.log`."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from protos.quickstudy.v1 import decision_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from replay import log

MET = 100_000
"""Latest decisions among which repeats are looked for: a write is repeated at once, or not at all."""


class Activated(NamedTuple):
    """The news that a deferred decision was shown."""

    decision_id: str
    time_ms: int


class Written(NamedTuple):
    """Rows of the files of one number."""

    decisions: int
    events: int
    activations: int
    shadows: int


@dataclass(slots=True)
class Rows:
    """Rows that are not written yet, and what later ones are compared with.

    Args:
        decisions, events, shadows: rows.
        activations: whose decisions are known, with their users.
        waiting: whose decisions are not.
        met: the latest decisions.
        deferred: users of the deferred decisions met so far, by decision.
        repeated: decisions met twice.
    """

    decisions: list[decision_pb2.Decision] = field(default_factory=list)
    events: list[tuple[int, int, decision_pb2.Outcome]] = field(default_factory=list)
    shadows: list[decision_pb2.Decision] = field(default_factory=list)
    activations: list[tuple[Activated, str]] = field(default_factory=list)
    waiting: list[Activated] = field(default_factory=list)
    met: OrderedDict[str, None] = field(default_factory=OrderedDict)
    deferred: dict[str, str] = field(default_factory=dict)
    repeated: int = 0
    _searched: bool = False

    @classmethod
    def after(cls, out: Path, file: int) -> Rows:
        """No rows, after the files before number `file`."""
        rows = cls()
        last = _path(out, "decisions", file - 1)
        if file and last.exists():
            rows.met.update((name, None) for name in log.column(last, "decisions", "decision_id"))
        return rows

    @property
    def size(self) -> int:
        """Rows of the longest table."""
        return max(len(self.decisions), len(self.events), len(self.shadows))

    def decided(self, entry: decision_pb2.Decision) -> None:
        """Takes in a decision, the news that one was shown, or what a shadow made of one."""
        if entry.HasField("activated"):
            self.waiting.append(Activated(entry.activated.decision_id, entry.time_ms))
            return
        if entry.HasField("shadow"):
            self.shadows.append(entry)
            return
        name = entry.response.decision_id
        if name in self.met:
            self.repeated += 1
            return
        self.met[name] = None
        if len(self.met) > MET:
            self.met.popitem(last=False)
        if entry.request.defer_activation:
            self.deferred[name] = user_of(entry.user, name)
        self.decisions.append(entry)

    def happened(self, entry: decision_pb2.Recorded) -> None:
        """Takes in events."""
        self.events += [(entry.user, entry.time_ms, outcome) for outcome in entry.outcomes]

    def resolve(self, out: Path, files: int, since_ms: float) -> None:
        """Finds the decisions of activations among those met, and once among all files before number `files`.

        Activations from before `since_ms` wait no longer: no reward of their decision would count any more.
        """
        if any(each.decision_id not in self.deferred for each in self.waiting) and not self._searched:
            self._searched = True
            for path in (_path(out, "decisions", n) for n in range(files)):
                if path.exists():
                    told = [log.column(path, "decisions", name) for name in ("decision_id", "user", "deferred")]
                    self.deferred |= {name: user for name, user, later in zip(*told, strict=True) if later}
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            if (user := self.deferred.get(each.decision_id)) is not None:
                self.activations.append((each, user))
            elif each.time_ms >= since_ms:
                self.waiting.append(each)

    def written(self, tenant: str, out: Path, file: int) -> Written:
        """Writes all rows as the files of this number, and forgets them."""
        decisions = [_decision(entry, tenant) for entry in self.decisions]
        decisions += [_activation(*each, tenant) for each in self.activations]
        done = Written(len(self.decisions), len(self.events), len(self.activations), len(self.shadows))
        if decisions:
            log.write(_path(out, "decisions", file), "decisions", _columns("decisions", decisions))
        if self.events:
            log.write(_path(out, "events", file), "events", _columns("events", [_event(*each) for each in self.events]))
        if self.shadows:
            log.write(_path(out, "shadows", file), "shadows", _columns("shadows", [_shadow(x) for x in self.shadows]))
        self.decisions, self.events, self.activations, self.shadows = [], [], [], []
        return done


def user_of(pseudonym: int, decision_id: str) -> str:
    """A user's name in the tables; of somebody whom nobody knows that of the decision, which no other user has."""
    return f"{pseudonym:016x}" if pseudonym else log.UNKNOWN + decision_id


def _path(out: Path, table: str, file: int) -> Path:
    return out / f"{table}-{file:08d}.parquet"


def _columns(table: str, rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in log.NAMES[table].names}


def _decision(entry: decision_pb2.Decision, tenant: str) -> dict[str, Any]:
    request, response, beside = entry.request, entry.response, entry.apprentice
    made = beside.adaptation if entry.HasField("apprentice") else response.adaptation
    return {
        "decision_id": response.decision_id,
        "time": entry.time_ms,
        "user": user_of(entry.user, response.decision_id),
        "tenant": tenant,
        "policy_version": response.adaptation.policy_version,
        "adapter": response.adaptation.adapter,
        "source": _source(response),
        "mode": pb.Mode.Name(request.mode).removeprefix("MODE_").lower(),
        "deferred": request.defer_activation,
        "activated": False,
        "watermark": made.watermark,
        "events_used": made.events_used,
        "candidates": list(request.candidate_ids),
        "excluded": list(request.excluded_ids),
        "include_seen": request.include_seen,
        "slate": [item.item_id for item in response.items],
        "propensities": [item.propensity for item in response.items],
        "log_propensity": response.log_propensity,
        "seed": response.seed,
        "temperature": entry.temperature,
        "context": _context(request.context) if request.HasField("context") else "",
        "reason": response.adaptation.reason,
        "proposed": [item.item_id for item in beside.items],
        "proposed_propensities": [item.propensity for item in beside.items],
    }


def _shadow(entry: decision_pb2.Decision) -> dict[str, Any]:
    shown = entry.shadow
    return {
        "decision_id": shown.decision_id,
        "time": entry.time_ms,
        "policy_version": shown.adaptation.policy_version,
        "source": _source(shown),
        "events_used": shown.adaptation.events_used,
        "slate": [item.item_id for item in shown.items],
        "propensities": [item.propensity for item in shown.items],
        "log_propensity": shown.log_propensity,
        "reason": shown.adaptation.reason,
    }


def _source(response: pb.RecommendResponse) -> str:
    return pb.Source.Name(response.adaptation.source).removeprefix("SOURCE_").lower()


def _activation(news: Activated, user: str, tenant: str) -> dict[str, Any]:
    nothing = _decision(decision_pb2.Decision(time_ms=news.time_ms), tenant)
    return nothing | {"decision_id": news.decision_id, "user": user, "source": "", "mode": "", "activated": True}


def _context(told: pb.Context) -> str:
    return json.dumps({"numbers": dict(told.numbers), "categories": dict(told.categories)}, sort_keys=True)


def _event(user: int, received_ms: int, outcome: decision_pb2.Outcome) -> dict[str, Any]:
    return {
        "event": outcome.event_hash,
        "user": user_of(user, ""),
        "item_id": outcome.item_id,
        "reward": outcome.reward,
        "time": outcome.time_ms,
        "recorded": received_ms,
        "decision_id": outcome.decision_id,
        "position": outcome.position,
    }
