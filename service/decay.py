"""Counts that fade: exponential decay in a store that can only add.

A like at time t adds 2^(t / half-life) and a count is divided by 2^(now / half-life) when it is read, so nothing ever
has to be aged (forward decay: Cormode et al. 2009). To keep the weights within floating point, time is cut into
generations of 64 half-lives, each with counts of its own: what is older than the last one weighs less than 2^-64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY_MS = 86_400_000
GENERATION = 64
"""Half-lives in a generation."""


@dataclass(frozen=True, slots=True)
class Decay:
    """One half-life.

    Args:
        half_life_ms: milliseconds after which a like counts half; infinite: it never fades.
    """

    half_life_ms: float

    @classmethod
    def near(cls, half_life_ms: float) -> Decay:
        """The nearest half-life of 2^n days, so that policies of similar logs share their counts."""
        if math.isinf(half_life_ms):
            return cls(half_life_ms)
        return cls(DAY_MS * 2.0 ** round(math.log2(half_life_ms / DAY_MS)))

    @property
    def ttl_s(self) -> int:
        """Seconds after which a generation that nobody adds to is worth nothing; 0: never."""
        return 0 if math.isinf(self.half_life_ms) else int(2 * GENERATION * self.half_life_ms / 1000)

    def generation(self, time_ms: int) -> int:
        """The generation of a time in ms since 1970."""
        return 0 if math.isinf(self.half_life_ms) else int(time_ms // (GENERATION * self.half_life_ms))

    def weight(self, time_ms: int, generation: int) -> float:
        """What a like at a time counts in the units of a generation: 1 at its start, 2 a half-life later."""
        return 2.0 ** (time_ms / self.half_life_ms - GENERATION * generation) if self.ttl_s else 1.0

    def name(self, generation: int) -> str:
        """The key of a generation's counts, without prefix."""
        days = self.half_life_ms / DAY_MS
        return f"qs:popularity:{days:g}d:{generation}" if self.ttl_s else "qs:popularity:ever"

    def readable(self, now_ms: int) -> dict[str, float]:
        """The keys that still count at a time, and what their counts are to be divided by."""
        newest = self.generation(now_ms)
        if not self.ttl_s:
            return {self.name(0): 1.0}
        return {self.name(g): self.weight(now_ms, g) for g in (newest, newest - 1)}
