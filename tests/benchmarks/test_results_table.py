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
