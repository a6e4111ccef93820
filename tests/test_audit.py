"""The audit of `make check`, with a stand-in for pip-audit that says what the test wants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[1] / ".ci" / "audit.py"
HURT = {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2", "3"]}]}
SOUND = {"name": "b", "version": "1", "vulns": []}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        (
            [HURT, SOUND, UNKNOWN],
            1,
            "audit: 1 known vulnerabilities in 2 packages, 1 not known\n  a 1: PYSEC-1, fixed in 2, 3\n",
        ),
        ([SOUND], 0, "audit: 0 known vulnerabilities in 1 packages, 0 not known\n"),
        ([UNKNOWN], 0, "audit: skipped, the index tells nothing of vulnerabilities of any of 1 packages\n"),
        (None, 0, "audit: skipped, no index can be reached\n"),
    ],
)
def test_bad_news_fails_and_no_news_is_told(
    tmp_path: Path, packages: list[object] | None, code: int, said: str
) -> None:
    """A known vulnerability is the exit code; an index that knows nothing is not taken for good news."""
    answer = "no network" if packages is None else json.dumps({"dependencies": packages})
    (tmp_path / "pip_audit.py").write_text(f"print({answer!r})\n")
    environ = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, str(AUDIT)], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, said)
