"""The one form of a benchmark's result: rows, and claims that a machine can check."""

from __future__ import annotations

import datetime
import json
import operator
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Op = Literal[">=", "<=", ">", "<", "=="]
HOLDS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Claim:
    """One figure that was promised.

    Args:
        name: what was measured, with its unit.
        value: what the run printed.
        op: how it is compared.
        bound: with what.
    """

    name: str
    value: float
    op: Op
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the promise is kept."""
        return bool(HOLDS[self.op](self.value, self.bound))


def write(
    path: Path, *, command: str, rows: Sequence[Mapping[str, Any]], claims: Sequence[Claim], **about: Any
) -> dict[str, Any]:
    """Writes rows and claims with command, date, commit and machine, and returns what was written.

    Args:
        path: the JSON file; its folder is made.
        command: what a stranger types to repeat the run.
        rows: the table.
        claims: the promises.
        about: anything else that belongs to the run: seeds, splits, settings.
    """
    document = {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": revision(),
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        **about,
        "claims": [{**asdict(claim), "holds": claim.holds} for claim in claims],
        "rows": [dict(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    return document


def revision() -> str:
    """The commit of the checkout this file stands in, with a plus where it was changed since; "" outside of git."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")
