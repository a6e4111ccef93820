"""Whether a report that `quickstudy replay` or `quickstudy simulate` wrote speaks for a version."""

from __future__ import annotations

import json
from typing import Any

from service.errors import UnprovenPolicyError

KINDS = ("replay", "simulate")


def check_report(text: str, version: str, asked: str) -> None:
    """Checks that a report is of a kind that is asked for, of this version, and passed.

    Args:
        text: its JSON; "" where none was given.
        version: that is to serve.
        asked: replay, simulate or any.

    Raises:
        UnprovenPolicyError: it is not; the text says what is missing.
    """
    wanted = " or ".join(f"`quickstudy {kind} --json`" for kind in KINDS if asked in (kind, "any"))
    if not text:
        raise UnprovenPolicyError(f"this service activates only with a passed report of {wanted}; none was given")
    try:
        document = json.loads(text)
        kind = "simulate" if "verdict" in document else "replay"
        about, passed = _told(document, kind)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UnprovenPolicyError(f"the report is not one of {wanted}: {type(error).__name__} {error}") from error
    if asked not in (kind, "any"):
        raise UnprovenPolicyError(f"this service asks for a report of {wanted}, got one of `quickstudy {kind}`")
    if version not in about:
        raise UnprovenPolicyError(f"the report is of {', '.join(about) or 'no version'}, not of {version}")
    if passed is not True:
        raise UnprovenPolicyError(f"the report says that {version} did not pass")


def _told(document: dict[str, Any], kind: str) -> tuple[list[str], object]:
    """Versions that a report judges, and whether they passed."""
    if kind == "simulate":
        of_folders = document["target"] is None  # else a service was judged, and the folders stand beside it
        return list(document["versions"]) if of_folders else [], document["verdict"]["passed"]
    return [document["policies"][0]["version"]], document["passed"]  # the first one is the one that is asked about
