"""Twice as many calls as a service can answer, and what comes through."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from time import perf_counter

import grpc

from protos.quickstudy.v1 import recommender_pb2 as pb

METHOD = "/quickstudy.v1.Recommender/Recommend"
CHANNELS = 4
"""Connections that share the calls."""


@dataclass(frozen=True, slots=True)
class Load:
    """What became of calls at a rate.

    Args:
        rate: calls a second that were made.
        goodput: slates a second that came within their deadline.
        p99_s: 99th percentile of the time of those, seconds.
        codes: how the calls ended.
    """

    rate: float
    goodput: float
    p99_s: float
    codes: dict[str, int]


class Callers:
    """Calls of Recommend on raw messages that ask for the whole catalogue: cheap to make, dear to answer.

    Args:
        target: "host:port".
        deadline_s: of each call, seconds.
        channels: connections that share the calls.
    """

    def __init__(self, target: str, deadline_s: float, channels: int = CHANNELS) -> None:
        own = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(target, options=own) for _ in range(channels)]
        self._calls = [channel.unary_unary(METHOD, None, None) for channel in self._channels]
        self._deadline = deadline_s
        self._requests = [pb.RecommendRequest(user_id=f"o{n}").SerializeToString() for n in range(64)]

    async def close(self) -> None:
        """Ends the connections."""
        for channel in self._channels:
            await channel.close(None)

    async def most(self, in_flight: int, seconds: float) -> Load:
        """As many calls as are answered with so many in flight."""
        ended: list[tuple[float, grpc.StatusCode]] = []
        until = perf_counter() + seconds

        async def caller(n: int) -> None:
            while perf_counter() < until:
                ended.append(await self._one(n))
                n += in_flight

        await asyncio.gather(*(caller(n) for n in range(in_flight)))
        return _load(ended, seconds, len(ended))

    async def at(self, rate: float, seconds: float) -> Load:
        """Calls at a rate, whatever becomes of them."""
        tasks: list[asyncio.Task[tuple[float, grpc.StatusCode]]] = []
        started = perf_counter()
        while (passed := perf_counter() - started) < seconds:
            while len(tasks) < rate * passed:
                tasks.append(asyncio.create_task(self._one(len(tasks))))
            await asyncio.sleep(0.002)
        return _load(await asyncio.gather(*tasks), seconds, len(tasks))

    async def _one(self, n: int) -> tuple[float, grpc.StatusCode]:
        started = perf_counter()
        try:
            await self._calls[n % len(self._calls)](self._requests[n % len(self._requests)], timeout=self._deadline)
        except grpc.aio.AioRpcError as error:
            return perf_counter() - started, error.code()
        return perf_counter() - started, grpc.StatusCode.OK


def _load(ended: list[tuple[float, grpc.StatusCode]], seconds: float, made: int) -> Load:
    good = sorted(took for took, code in ended if code == grpc.StatusCode.OK)
    p99 = good[int(0.99 * (len(good) - 1))] if good else 0.0
    return Load(made / seconds, len(good) / seconds, p99, dict(Counter(code.name for _, code in ended)))
