"""How long calls wait for each other."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import pytest

from service.window import SAMPLE_S, TARGET, Window


@pytest.fixture
def after(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, int], float]:
    """The wait of a window of at most 8 ms after so many further samples in which so much of a core was in use."""
    used = 0.0
    monkeypatch.setattr(Window, "_seconds", lambda self: used)
    window = Window(0.008)
    now = window._at

    def wait(busy: float, samples: int) -> float:
        nonlocal used, now
        for _ in range(samples):
            used, now = used + busy * 1.001 * SAMPLE_S, now + 1.001 * SAMPLE_S
            window.wait(now)
            assert window.busy(now) == pytest.approx(busy, rel=0.01)
        return window.wait(now)

    return wait


def test_a_busy_process_waits_longer_and_longer(after: Callable[[float, int], float]) -> None:
    """A saturated one reaches the longest wait within a quarter of a second, and stays there."""
    assert 0.0 < after(1.0, 1) < after(1.0, 2)
    assert [after(1.0, n) for n in (3, 5)] == [pytest.approx(0.008)] * 2


def test_a_process_at_the_target_stays_as_it_is(after: Callable[[float, int], float]) -> None:
    """What brought it there is kept: no wait that is there and gone by turns."""
    there = after(1.0, 2)
    assert after(TARGET, 5) == pytest.approx(there, rel=0.01)


def test_an_idle_process_does_not_wait(after: Callable[[float, int], float]) -> None:
    """Two quiet samples end the longest wait."""
    assert after(1.0, 9) == pytest.approx(0.008)
    assert after(0.0, 2) == 0.0


def test_the_share_is_measured() -> None:
    """A loop that computes all the time uses or waits for about one core."""
    window = Window(0.008)
    while not window._busy:
        window.busy(perf_counter())
    assert 0.5 < window._busy < 1.5
