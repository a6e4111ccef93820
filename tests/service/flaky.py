"""A service that does what a test tells it to, over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client.habits import SERVICE
from service.errors import ServiceError
from service.interceptors import refuse

Answer = Callable[[Any, int], Awaitable[Any]]
"""Takes the request and how many came before; returns the reply or raises an error of the domain."""


class NotLookedAtError(Exception):
    """The server ends and has not looked at the call."""


class Flaky:
    """What was asked of it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.target = ""
        self.requests: list[Any] = []
        self.peers: list[str] = []
        self.cancelled = asyncio.Event()

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """The methods that tests call."""
        requests = {"Recommend": pb.RecommendRequest, "RecordEvents": pb.RecordEventsRequest}
        return {
            name: grpc.unary_unary_rpc_method_handler(
                self._call, kind.FromString, lambda reply: reply.SerializeToString()
            )
            for name, kind in requests.items()
        }

    async def _call(self, request: Any, context: Any) -> Any:
        before = len(self.requests)
        self.requests.append(request)
        self.peers.append(context.peer())
        try:
            return await self._answer(request, before)
        except ServiceError as error:
            await refuse(context, error)
        except NotLookedAtError:
            await context.abort(grpc.StatusCode.CANCELLED, "CANCELLED")
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@asynccontextmanager
async def flaky(answer: Answer) -> AsyncIterator[Flaky]:
    """Runs such a service."""
    served = Flaky(answer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, served.handlers()),))
    served.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield served
    finally:
        await server.stop(None)
