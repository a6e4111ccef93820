"""The other side of `benchmarks.serve`: a bare echo of the service's messages, and a client that loads either.

`python -m benchmarks.echo serve` prints its address; `python -m benchmarks.echo client HOST:PORT SECONDS BODY...`
prints calls a second.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import uvloop

from protos.quickstudy.v1 import recommender_pb2 as pb

METHOD = "/quickstudy.v1.Recommender/Recommend"
EVENTS = 20


async def serve() -> None:
    """Parses the request and answers ten items, nothing else."""
    items = [pb.RankedItem(item_id=f"item-{i}", score=0.5, q_value=0.5, propensity=0.5) for i in range(10)]
    adaptation = pb.Adaptation(policy_version="0" * 16, adapter="echo", source=pb.SOURCE_ADAPTED, events_used=EVENTS)

    async def echo(request: pb.RecommendRequest, context: Any) -> pb.RecommendResponse:
        return pb.RecommendResponse(decision_id=request.user_id, items=items, adaptation=adaptation)

    handler = grpc.unary_unary_rpc_method_handler(
        echo,
        request_deserializer=pb.RecommendRequest.FromString,
        response_serializer=pb.RecommendResponse.SerializeToString,
    )
    server = grpc.aio.server()
    service, method = METHOD[1:].split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


async def load(address: str, seconds: float, bodies: Sequence[bytes]) -> float:
    """Calls a second of a grpc.aio client with one caller a body."""
    done = 0
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(METHOD, None, None)

        async def caller(body: bytes, until: float) -> None:
            nonlocal done
            while time.perf_counter() < until:
                await call(body)
                done += 1

        await asyncio.gather(*(caller(body, time.perf_counter() + 1.0) for body in bodies))
        done, started = 0, time.perf_counter()
        await asyncio.gather(*(caller(body, started + seconds) for body in bodies))
        return done / (time.perf_counter() - started)


def main(arguments: list[str]) -> None:
    """Serves, or loads."""
    if arguments[0] == "serve":
        uvloop.run(serve())
    else:
        bodies = [Path(name).read_bytes()[5:] for name in arguments[3:]]
        print(uvloop.run(load(arguments[1], float(arguments[2]), bodies)))


if __name__ == "__main__":
    main(sys.argv[1:])
