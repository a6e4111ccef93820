"""Known vulnerabilities of the pinned packages: fails where there are some, says so where it could not look.

`python .ci/audit.py` runs pip-audit over requirements.lock, a minute at most. An index that cannot be reached, or that
knows nothing of vulnerabilities, is a reason to skip and not to fail; it is never silently taken for good news.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
LONGEST_S = 60
_COMMAND = [
    *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--no-deps", "--disable-pip"),
    *("--timeout", "3", "--progress-spinner", "off", "--format", "json"),
]


def main() -> int:
    """Prints what was found; 1 where a package has a known vulnerability."""
    try:
        done = subprocess.run(_COMMAND, capture_output=True, text=True, check=False, timeout=LONGEST_S)
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return skip(f"the index did not answer for all packages within {LONGEST_S} s")
    except (ValueError, KeyError):
        said = "pip-audit is not installed" if "No module named pip_audit" in done.stderr else "no index can be reached"
        return skip(said)
    known = [package for package in packages if "vulns" in package]
    if not known:
        return skip(f"the index tells nothing of vulnerabilities of any of {len(packages)} packages")
    found = [line for package in known for line in told(package)]
    print(f"audit: {len(found)} known vulnerabilities in {len(known)} packages, {len(packages) - len(known)} not known")
    for line in found:
        print(line)
    return 1 if found else 0


def told(package: dict[str, Any]) -> list[str]:
    """A line for each vulnerability of a package: what it is, and which version is rid of it."""
    return [
        f"  {package['name']} {package['version']}: {each['id']}, fixed in {', '.join(each['fix_versions']) or 'none'}"
        for each in package["vulns"]
    ]


def skip(reason: str) -> int:
    """Says why nothing was looked at."""
    print(f"audit: skipped, {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
