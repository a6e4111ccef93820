"""The one form of a benchmark's result: rows, and claims that a machine can check."""

from __future__ import annotations

import datetime
import json
import operator
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from meta.checkpoint import git_revision

Op = Literal[">=", "<=", ">", "<", "=="]
HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure that was promised.

    Args:
        name: what was measured, with its unit.
        value: what the run printed; None where it could not be measured, so that nothing holds.
        op: how it is compared.
        bound: with what.
    """

    name: str
    value: float | None
    op: Op
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return self.value is not None and bool(HOLDS[self.op](self.value, self.bound))


def write(path: Path, **parts: Any) -> dict[str, Any]:
    """Writes a `document` as JSON, making its folder, and returns it."""
    whole = document(**parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(whole, indent=1) + "\n")
    return whole


def document(
    *, command: str, rows: Sequence[Mapping[str, Any]], claims: Sequence[Claim], **about: Any
) -> dict[str, Any]:
    """Rows and claims with command, date, commit and machine.

    Args:
        command: what a stranger types to repeat the run.
        rows: the table.
        claims: the promises.
        about: anything else that belongs to the run: seeds, splits, settings.
    """
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": git_revision(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        **about,
        "claims": [{**asdict(claim), "holds": claim.holds} for claim in claims],
        "rows": [dict(row) for row in rows],
    }
