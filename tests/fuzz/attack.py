"""Fuzzed calls and hostile connections against a running service, and what became of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from itertools import cycle
from pathlib import Path
from time import perf_counter

import grpc
from google.protobuf.descriptor import MethodDescriptor

from benchmarks.load import LARGEST, Call, closed
from tests.fuzz.messages import request
from tests.fuzz.streams import hostile
from tests.service.descriptors import kind, methods, path

CHANNELS, IN_FLIGHT = 4, 64
"""Connections that fuzzed calls share, and calls under way at once."""
CONNECTIONS = 16
"""Hostile connections at once."""
PATIENCE_S = 0.005
"""Seconds that a hostile caller listens before it hangs up."""
CALL_S, FOREVER_S = 10.0, 86_400.0
"""Deadline of a fuzzed call, and the time in which all of them are surely made, seconds."""


async def messages(target: str, n: int, rng: random.Random) -> Counter[tuple[str, str]]:
    """Makes `n` fuzzed calls, of every method alike; counts them by method and by how they ended.

    What fits into one frame is sent by lean callers; then come long requests and streams without any.
    """
    others: list[tuple[MethodDescriptor, list[bytes]]] = []

    def small() -> Iterator[Call]:
        for _, method in zip(range(n), _forever(), strict=False):
            requests = rng.choice((0, 1, 1, 3)) if method.client_streaming else 1
            sent = [request(method.input_type, rng) for _ in range(requests)]
            if sent and len((call := Call(path(method), sent[0], tuple(sent[1:]))).message) <= LARGEST:
                yield call
            else:
                others.append((method, sent))

    told = await asyncio.to_thread(
        closed,
        target,
        small(),
        in_flight=IN_FLIGHT,
        seconds=FOREVER_S,
        warm_up_s=0.0,
        connections=CHANNELS,
        deadline_s=CALL_S,
    )
    ended = Counter({(name.rpartition("/")[2], code): k for (name, code), k in told.ended.items()})
    async with AsyncExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options)) for _ in range(CHANNELS)
        ]
        todo = zip(others, cycle(channels))  # endless channels

        async def caller() -> None:
            for (method, sent), channel in todo:
                ended[method.name, await _call(channel, method, sent)] += 1

        await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    return ended


async def streams(target: str, n: int, rng: random.Random) -> Counter[str]:
    """Opens `n` hostile connections; counts them by how they ended: closed by the service or by us, or refused."""
    host, _, port = target.rpartition(":")
    ended: Counter[str] = Counter()
    todo = zip(range(n), _forever(), strict=False)

    async def caller() -> None:
        for _, method in todo:
            sent = hostile(path(method), request(method.input_type, rng), rng)
            ended[await _send(host, int(port), sent)] += 1

    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return ended


def resident(pid: int) -> float:
    """Memory that a process holds, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4_096 / 1e6


def open_files(pid: int) -> int:
    """Files and sockets that a process holds."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def answers(target: str) -> float:
    """Seconds that a good call takes now, its connection included. Raises AioRpcError where it fails."""
    started = perf_counter()
    async with grpc.aio.insecure_channel(target, options=[("grpc.initial_reconnect_backoff_ms", 50)]) as channel:
        method = next(method for method in methods() if method.name == "Recommend")
        await channel.unary_unary(path(method), None, None)(b"\x0a\x01u", timeout=5.0, wait_for_ready=True)
    return perf_counter() - started


def _forever() -> Iterator[MethodDescriptor]:
    while True:
        yield from methods()


async def _call(channel: grpc.aio.Channel, method: MethodDescriptor, sent: list[bytes]) -> str:
    """How a call with these requests ends."""
    begin = getattr(channel, kind(method))(path(method))
    call = begin(iter(sent) if method.client_streaming else sent[0], timeout=CALL_S)
    with suppress(grpc.aio.AioRpcError):
        if method.server_streaming:
            async for _ in call:
                pass
        else:
            await call
    code: grpc.StatusCode = await call.code()
    return code.name


async def _send(host: str, port: int, sent: bytes) -> str:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return "refused"
    end = "left"
    try:
        writer.write(sent)
        async with asyncio.timeout(PATIENCE_S):
            await writer.drain()
            while await reader.read(65_536):
                pass
            end = "closed"
    except TimeoutError:
        pass
    except OSError:
        end = "closed"
    finally:
        writer.transport.abort()
    return end
