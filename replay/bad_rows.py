"""Rows of a log that cannot be used: counted by the rule that they break, some of them kept to be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from meta.types import BoolArray

SHOWN = 5
"""Rows of each rule that are kept as examples."""


@dataclass(slots=True)
class BadRows:
    """What was left out, and why.

    Args:
        count: rows by rule.
        sample: the first few of each, as text.
    """

    count: dict[str, int] = field(default_factory=dict)
    sample: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Rows left out."""
        return sum(self.count.values())

    def add(self, rule: str, row: str) -> None:
        """Count one row."""
        self.count[rule] = self.count.get(rule, 0) + 1
        kept = self.sample.setdefault(rule, [])
        if len(kept) < SHOWN:
            kept.append(row[:200])

    def sift(self, rows: int, rules: Mapping[str, BoolArray], describe: Callable[[int], str]) -> BoolArray:
        """Count the rows that break a rule, each by the first one it breaks.

        Args:
            rows: n.
            rules: bool [n] by rule, true where it is broken.
            describe: the text of a row.

        Returns:
            bool [n], true where no rule is broken.
        """
        good = np.ones(rows, bool)
        for rule, broken in rules.items():
            hit = np.flatnonzero(broken & good)
            good[hit] = False
            if hit.size:
                self.count[rule] = self.count.get(rule, 0) + hit.size
                kept = self.sample.setdefault(rule, [])
                kept.extend(describe(int(at))[:200] for at in hit[: SHOWN - len(kept)])
        return good

    def merge(self, other: BadRows) -> None:
        """Add what another part of the log has left out."""
        for rule, n in other.count.items():
            self.count[rule] = self.count.get(rule, 0) + n
            kept = self.sample.setdefault(rule, [])
            kept.extend(other.sample[rule][: SHOWN - len(kept)])
