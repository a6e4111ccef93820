"""The breaker: when it opens, and what closes it."""

from __future__ import annotations

import asyncio
from time import perf_counter

from service.errors import StoreUnavailableError
from service.store.breaker import Breaker


class Silent:
    """A probe that is answered only after so many attempts."""

    def __init__(self, silences: int) -> None:
        self.left = silences
        self.probed = asyncio.Event()

    async def __call__(self) -> None:
        """One attempt."""
        self.probed.set()
        self.left -= 1
        if self.left >= 0:
            raise StoreUnavailableError("silent")


async def closed(breaker: Breaker) -> None:
    """Waits until calls may be made again, at most 10 s."""
    async with asyncio.timeout(10):
        while breaker.open:
            await asyncio.sleep(0.001)


async def test_a_silence_opens_it_and_an_answered_probe_closes_it() -> None:
    """It opens once, whatever else fails meanwhile, and closes when the third probe is answered."""
    told: list[str] = []
    probe = Silent(2)
    breaker = Breaker("reads", probe, lambda: told.append("opened"))
    for _ in range(2):
        breaker.failed(perf_counter())
    assert breaker.open
    await closed(breaker)
    assert (["opened"], -1, 0.0) == (told, probe.left, breaker.open_for())
    await breaker.close()


async def test_one_silent_call_among_answered_ones_changes_nothing() -> None:
    """A call that got no answer while another one did is its own misfortune."""
    breaker = Breaker("reads", Silent(0), lambda: None)
    started = perf_counter()
    breaker.succeeded()
    breaker.failed(started)
    assert not breaker.open


async def test_it_ends_while_the_store_is_away() -> None:
    """Closing ends the probes at once, and nothing opens it again."""
    probe = Silent(1_000_000)
    breaker = Breaker("reads", probe, lambda: None)
    breaker.failed(perf_counter())
    await probe.probed.wait()
    async with asyncio.timeout(5):
        await breaker.close()
    left = probe.left
    breaker.failed(perf_counter())
    await asyncio.sleep(0)
    assert left == probe.left
