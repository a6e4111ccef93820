"""What the process of a replay is told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Self

from replay.question import Question

RESULT, REPORT, ERRORS = "result.json", "report.html", "stderr.txt"
"""Files of a job's folder."""
EXPORTING = "exporting"
"""The phase before those of `replay.question`."""


@dataclass(frozen=True, slots=True)
class Source:
    """The log that the service keeps in Redis.

    Args:
        redis: URL, password included.
        prefix: of the service's keys.
        tenant: whose log.
        shards: number of streams of each kind.
        window_s: seconds after a decision in which events count as its reward.
        default: reward of a shown item without such an event.
    """

    redis: str = field(repr=False)
    prefix: str
    tenant: str
    shards: int
    window_s: float
    default: float


@dataclass(frozen=True, slots=True)
class Job:
    """A question to a log.

    Args:
        question: whose policies are named by their versions.
        root: folder that the log lies in; of a log in Redis the job's own.
        log: folder of the log in there, and how it is called.
        source: where the log is copied from first; None: it is there.
        report: whether a page is wanted.
    """

    question: Question
    root: str
    log: str
    source: Source | None
    report: bool

    def line(self) -> bytes:
        """The job as a line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def of(cls, line: str) -> Self:
        """The job that a line tells."""
        told = json.loads(line)
        question, source = Question(**told.pop("question")), told.pop("source")
        return cls(**told, question=question, source=Source(**source) if source else None)
