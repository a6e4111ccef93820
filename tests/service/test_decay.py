"""Fading counts against the decay that they stand for."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest

from service.decay import DAY_MS, GENERATION, Decay

NOW = 1_760_000_000_000


def counted(decay: Decay, times: list[int], now_ms: int) -> float:
    """What likes at these times count now, added one by one as a store would."""
    kept: dict[str, float] = defaultdict(float)
    for time_ms in times:
        generation = decay.generation(time_ms)
        kept[decay.name(generation)] += decay.weight(time_ms, generation)
    return sum(kept[key] / divisor for key, divisor in decay.readable(now_ms).items())


@pytest.mark.parametrize("days", [0.5, 1, 8])
def test_a_like_counts_half_after_a_half_life(days: float) -> None:
    """Likes now, one and three half-lives ago count 1 + 1/2 + 1/8."""
    decay = Decay(days * DAY_MS)
    times = [NOW - round(n * days * DAY_MS) for n in (0, 1, 3)]
    assert 1.625 == pytest.approx(counted(decay, times, NOW))


def test_generations_do_not_show() -> None:
    """Whenever one asks, across three generations, the sum is that of the decay itself."""
    decay, rng = Decay(DAY_MS), np.random.default_rng(0)
    start = GENERATION * DAY_MS * decay.generation(NOW)
    times = sorted((start + rng.integers(0, 2 * GENERATION * DAY_MS, 300)).tolist())
    for now in (start + rng.integers(GENERATION * DAY_MS, 3 * GENERATION * DAY_MS, 20)).tolist():
        past = [at for at in times if at <= now]
        assert sum(0.5 ** ((now - at) / DAY_MS) for at in past) == pytest.approx(counted(decay, past, now), rel=1e-9)


def test_what_never_fades_is_a_plain_count() -> None:
    """Without a half-life every like counts 1 for ever."""
    assert (3.0, 0) == (counted(Decay(math.inf), [0, 1, NOW], NOW), Decay(math.inf).ttl_s)


def test_policies_of_similar_logs_share_counts() -> None:
    """Half-lives are rounded to powers of two of a day."""
    found = [Decay.near(days * DAY_MS).half_life_ms / DAY_MS for days in (0.3, 0.9, 1.3, 5, 6, 400)]
    assert [0.25, 1, 1, 4, 8, 512] == found
    assert ["qs:popularity:0.25d:1", "qs:popularity:ever"] == [Decay(d * DAY_MS).name(1) for d in (0.25, math.inf)]
