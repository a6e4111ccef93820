"""Jobs of processes of their own, most important first, until the time is up; one that fails is told and not missed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """One call, whose function and arguments can be sent to another process.

    Args:
        name: for people.
        call: the function.
        arguments: of it.
        then: jobs that wait for this one to succeed.
    """

    name: str
    call: Callable[..., T]
    arguments: tuple[Any, ...] = ()
    then: tuple[Job[T], ...] = field(default=(), hash=False)


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A job that has ended.

    Args:
        job: which.
        result: what it gave; None where it failed.
        failure: why it failed, "" where it did not.
    """

    job: Job[T]
    result: T | None
    failure: str = ""


def run(jobs: Sequence[Job[T]], *, processes: int, seconds: float) -> Iterator[Done[T]]:
    """Yield jobs as they end, started in their order, those that wait for another before the ones that follow it.

    Args:
        jobs: to run.
        processes: that run them.
        seconds: after which no job starts any more; those that did not are told as failures.
    """
    until = time.monotonic() + seconds
    queue, running = list(jobs), dict[Future[T], Job[T]]()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        while queue or running:
            while queue and len(running) < processes and time.monotonic() < until:
                job = queue.pop(0)
                running[pool.submit(job.call, *job.arguments)] = job
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                error = future.exception()
                if error is None:
                    queue[:0] = job.then
                    yield Done(job, future.result())
                else:
                    yield from _failed(job, f"{type(error).__name__}: {error}")
    for job in queue:
        yield from _failed(job, "there was no time left")


def _failed(job: Job[T], why: str) -> Iterator[Done[T]]:
    """A job that failed, and those that waited for it."""
    yield Done(job, None, why)
    for waiting in job.then:
        yield from _failed(waiting, f"{job.name} failed")
