"""Batching: who is computed with whom, and who is turned away."""

from __future__ import annotations

import asyncio
import math
from time import perf_counter

import pytest

from service.batching import Batcher, Job
from service.errors import ExpiredError, OverloadedError


class Recorder:
    """Answers every job with its request and remembers the batches."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    async def run(self, jobs: list[Job[str, str]]) -> None:
        """Answers a batch."""
        self.batches.append([job.request for job in jobs])
        for job in jobs:
            job.reply.set_result(job.request)


async def test_requests_that_arrive_together_share_a_batch() -> None:
    """Three requests of one turn of the loop are one batch, and each gets its own reply."""
    seen = Recorder()
    batcher = Batcher(seen.run)
    replies = await asyncio.gather(*(batcher.submit(name, 1) for name in "abc"))
    assert (replies, seen.batches) == (["a", "b", "c"], [["a", "b", "c"]])


async def test_batches_are_bounded_by_padded_candidates() -> None:
    """A batch holds at most max_cost candidates, counting what padding to the largest request costs."""
    seen = Recorder()
    batcher = Batcher(seen.run, max_cost=30)
    await asyncio.gather(*(batcher.submit(name, cost) for name, cost in zip("abcd", (10, 10, 15, 100), strict=True)))
    assert seen.batches == [["a", "b"], ["c"], ["d"]]


async def test_batches_are_bounded_by_users() -> None:
    """No batch has more requests than allowed."""
    seen = Recorder()
    batcher = Batcher(seen.run, max_users=2)
    await asyncio.gather(*(batcher.submit(name, 1) for name in "abcde"))
    assert [len(batch) for batch in seen.batches] == [2, 2, 1]


async def test_the_earliest_deadline_goes_first() -> None:
    """Where one batch cannot hold all, the most urgent are computed first."""
    seen = Recorder()
    batcher = Batcher(seen.run, max_cost=2)
    now = perf_counter()
    late, soon = now + 100.0, now + 50.0
    await asyncio.gather(
        *(batcher.submit(name, 1, until) for name, until in zip("abcd", (math.inf, late, soon, soon), strict=True))
    )
    assert seen.batches == [["c", "d"], ["b", "a"]]


async def test_the_expired_are_not_computed() -> None:
    """A request whose deadline passed while it waited gets ExpiredError and costs nothing."""
    seen = Recorder()
    batcher = Batcher(seen.run)
    replies = await asyncio.gather(
        batcher.submit("dead", 1, perf_counter() - 1.0), batcher.submit("alive", 1), return_exceptions=True
    )
    assert [type(replies[0]), replies[1], seen.batches] == [ExpiredError, "alive", [["alive"]]]


async def test_the_queue_is_bounded() -> None:
    """One request more than may wait is refused at once."""
    seen = Recorder()
    batcher = Batcher(seen.run, max_waiting=1)
    first = asyncio.ensure_future(batcher.submit("a", 1))
    await asyncio.sleep(0)
    if not first.done():
        with pytest.raises(OverloadedError, match="1 requests are waiting, the limit is 1"):
            await batcher.submit("b", 1)
    assert await first == "a"


async def test_who_would_wait_in_vain_is_refused_at_once() -> None:
    """While a batch of 10 ms or more runs: no caller of 5 ms, no queue of over 1 ms, and when to try again."""
    gate = asyncio.Event()

    async def run(jobs: list[Job[str, str]]) -> None:
        await (gate.wait() if jobs[0].request == "held" else asyncio.sleep(0.01))
        for job in jobs:
            job.reply.set_result(job.request)

    patient, strict = Batcher(run), Batcher(run, max_wait_s=0.001)
    for batcher in (patient, strict):
        assert await batcher.submit("first", 1, perf_counter() + 0.001) == "first"  # nobody ahead: always tried
        held = asyncio.ensure_future(batcher.submit("held", 1))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match=r"the caller has|would wait") as caught:
            await batcher.submit("hurried", 1, perf_counter() + 0.005)
        assert 0.5 <= caught.value.retry_s <= 5.0
        assert caught.value.shed == ("deadline too near" if batcher is patient else "wait too long")
        gate.set()
        assert "held" == await held
        gate.clear()
    assert "later" == await patient.submit("later", 1, perf_counter() + 60)


async def test_nobody_is_left_waiting() -> None:
    """A computation that fails, or forgets a request, ends every request of its batch with an error."""

    async def fail(jobs: list[Job[str, str]]) -> None:
        raise ArithmeticError("broken")

    async def forget(jobs: list[Job[str, str]]) -> None:
        jobs[0].reply.set_result("a")

    failed = await asyncio.gather(*(Batcher(fail).submit(name, 1) for name in "ab"), return_exceptions=True)
    forgetful = Batcher(forget)
    forgot = await asyncio.gather(*(forgetful.submit(name, 1) for name in "ab"), return_exceptions=True)
    assert [str(error) for error in failed] == ["broken", "broken"]
    assert [str(reply) for reply in forgot] == ["a", "the batch ended without a reply"]


class Held(Recorder):
    """Answers the first job of a batch at once if it is called "ready", the others once the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def run(self, jobs: list[Job[str, str]]) -> None:
        """Answers a batch."""
        self.batches.append([job.request for job in jobs])
        await asyncio.sleep(0.02)
        if jobs[0].request == "ready":
            jobs[0].reply.set_result("ready")
        await self.gate.wait()
        for job in jobs:
            if not job.reply.done():
                job.reply.set_result(job.request)


async def test_at_most_two_batches_run_at_once() -> None:
    """While two batches wait, later requests gather and then share one batch."""
    held = Held()
    batcher = Batcher(held.run)
    calls = []
    for name in "abcd":
        calls.append(asyncio.ensure_future(batcher.submit(name, 1)))
        for _ in range(3):  # each in a turn of its own
            await asyncio.sleep(0)
    assert held.batches == [["a"], ["b"]]
    held.gate.set()
    assert await asyncio.gather(*calls) == ["a", "b", "c", "d"]
    assert held.batches == [["a"], ["b"], ["c", "d"]]


async def test_a_few_calls_wait_for_the_many_of_a_batch_under_way() -> None:
    """While a batch of eight runs, three more calls are no batch of their own; four are."""
    held = Held()
    batcher = Batcher(held.run)
    calls = [asyncio.ensure_future(batcher.submit(name, 1)) for name in "abcdefgh"]
    for name in "ijkl":
        await asyncio.sleep(0.01)
        calls.append(asyncio.ensure_future(batcher.submit(name, 1)))
        await asyncio.sleep(0.01)
        assert ([list("abcdefgh")] if name < "l" else [list("abcdefgh"), list("ijkl")]) == held.batches
    held.gate.set()
    assert await asyncio.gather(*calls) == list("abcdefghijkl")


async def test_a_lone_call_does_not_wait_for_a_batch_that_has_begun_to_answer() -> None:
    """It came before the first reply, was too few then, and starts without another call to remind of it."""
    held = Held()
    batcher = Batcher(held.run)
    calls = [asyncio.ensure_future(batcher.submit(name, 1)) for name in ("ready", *"bcdefgh")]
    await asyncio.sleep(0.005)
    calls.append(asyncio.ensure_future(batcher.submit("lone", 1)))
    await asyncio.sleep(0.005)
    assert len(held.batches) == 1
    async with asyncio.timeout(5):
        while len(held.batches) < 2:
            await asyncio.sleep(0.001)
    assert (held.batches[1], held.gate.is_set()) == (["lone"], False)
    held.gate.set()
    await asyncio.gather(*calls)


async def test_under_overload_calls_are_taken_over_before_the_next_batch_is_cut() -> None:
    """After a refusal, calls that gRPC hands over one by one share a batch; without one the first goes alone."""
    batches: list[list[str]] = []

    async def run(jobs: list[Job[str, str]]) -> None:
        batches.append([job.request for job in jobs])
        await asyncio.sleep(0.05 if jobs[0].request == "slow" else 0)
        for job in jobs:
            job.reply.set_result(job.request)

    batcher = Batcher(run, window_s=0.0)
    for refused in (False, True):
        batches.clear()
        slow = asyncio.ensure_future(batcher.submit("slow", 1))
        await asyncio.sleep(0.001)
        if refused:
            with pytest.raises(OverloadedError, match="the caller has"):
                await batcher.submit("hurried", 1, perf_counter() + 0.001)
        await slow
        calls = []
        for name in "abcd":
            calls.append(asyncio.ensure_future(batcher.submit(name, 1)))
            for _ in range(3):  # each in a turn of its own
                await asyncio.sleep(0)
        await asyncio.gather(*calls)
        assert ["slow"] == batches.pop(0)
        assert ([["a", "b", "c", "d"]] if refused else [["a"], ["b"], ["c"], ["d"]]) == batches


async def test_who_completes_the_company_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once eight callers have been met at once, the eighth of them starts the batch, however long the window is."""
    seen = Recorder()
    batcher = Batcher(seen.run)
    await asyncio.gather(*(batcher.submit(name, 1) for name in "abcdefgh"))
    monkeypatch.setattr(batcher._window, "wait", lambda now: 30.0)
    async with asyncio.timeout(5):
        await asyncio.gather(*(batcher.submit(name, 1) for name in "abcdefgh"))
    assert [list("abcdefgh")] * 2 == seen.batches
