"""docs/results.md: every committed result with the command that made it, its date and commit, its claims and rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
HEAD = """# Results

Made by `quickstudy bench report` from `benchmarks/results/*.json`; do not edit. Each section is one benchmark: the
command that made it, when, of which commit, what was claimed and whether it holds, and its table. Figures in brackets
are 95% intervals.
"""


def page(folder: Path = RESULTS) -> str:
    """The page as Markdown, benchmarks by name."""
    return "\n".join([HEAD, *(_section(path) for path in sorted(folder.glob("*.json")))])


def _section(path: Path) -> str:
    result: dict[str, Any] = json.loads(path.read_text())
    about = f"`{result['command']}` on {result['date']}, commit {result['commit'][:12]}, {result['machine']}."
    claims = [
        {
            "claim": claim["name"],
            "found": _text(claim["value"]),
            "promised": f"{claim['op']} {_text(claim['bound'])}",
            "holds": "yes" if claim["holds"] else "**no**",
        }
        for claim in result["claims"]
    ]
    picture = path.with_suffix(".png")
    shown = [f"![{path.stem}](../benchmarks/results/{picture.name})\n"] if picture.exists() else []
    parts = (claims, result["rows"], result.get("beside", []), result.get("missing", []))
    tables = [_table(rows) for rows in parts if rows]
    return "\n".join([f"## {path.stem}\n", about + "\n", *shown, *tables])


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows under the names of the first one's columns; lists are left out, they are for machines."""
    names = [name for name, value in rows[0].items() if _interval(value) or not isinstance(value, list | dict)]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(_text(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    """A figure in four digits, its interval in brackets; a bar would end the cell."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return f"{value['value']:.4g} [{value['low']:.4g}, {value['high']:.4g}]" if _interval(value) else ""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def _interval(value: object) -> bool:
    """Whether this is a figure with its interval."""
    return isinstance(value, dict) and {"value", "low", "high"} == value.keys()
