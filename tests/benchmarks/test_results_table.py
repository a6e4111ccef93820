"""The page of results."""

import json
from pathlib import Path

from benchmarks.report import Claim, document
from benchmarks.results_table import page


def test_a_result_becomes_a_section(tmp_path: Path) -> None:
    """Command, claims with what was found and promised, and the rows without what is for machines only."""
    result = document(
        command="quickstudy bench knots",
        rows=[{"name": "a | b", "knots": 12.34567, "by step": [1, 2]}],
        claims=[Claim("knots", 12.34567, ">=", 10.0), Claim("more knots", 1.0, ">", 2.0)],
    )
    (tmp_path / "knots.json").write_text(json.dumps(result))
    lines = page(tmp_path).splitlines()
    assert "## knots" in lines
    assert any(line.startswith(f"`quickstudy bench knots` on {result['date']}") for line in lines)
    assert "| knots | 12.35 | >= 10 | yes |" in lines
    assert "| more knots | 1 | > 2 | **no** |" in lines
    assert ["| name | knots |", "|---|---|", "| a \\| b | 12.35 |"] == lines[-3:]


def test_figures_have_their_intervals_and_what_is_missing_is_told(tmp_path: Path) -> None:
    """A mean is shown with its interval, a claim that nothing was found for has none, and the reason is there."""
    mean = {"value": 0.25, "low": 0.2, "high": 0.3}
    result = document(
        command="quickstudy bench knots",
        rows=[{"who": "a", "knots": mean, "by": {"hand": 1}}, {"who": "b", "knots": None, "by": {}}],
        claims=[Claim("knots", None, ">=", 10.0)],
        missing=[{"what": "c", "why": "no rope"}],
    )
    (tmp_path / "knots.json").write_text(json.dumps(result))
    lines = page(tmp_path).splitlines()
    assert "| knots |  | >= 10 | **no** |" in lines
    assert {"| who | knots |", "| a | 0.25 [0.2, 0.3] |", "| b |  |", "| c | no rope |"} < set(lines)
