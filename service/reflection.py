"""Reflection: the contract told to a caller who knows only the port, open to all or to holders of a token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from service.access.gate import Context, Gate
from service.errors import ServiceError
from service.interceptors import refuse


class Reflection(reflection.aio.ReflectionServicer):  # type: ignore[name-defined,misc] # the package ships no types
    """The usual servicer behind a gate.

    Args:
        services: full names of what is told.
        gate: asks for a token, of any scope; None: nobody is asked.
    """

    def __init__(self, services: Sequence[str], gate: Gate | None) -> None:
        super().__init__((*services, reflection.SERVICE_NAME))
        self._gate = gate

    async def ServerReflectionInfo(  # noqa: N802 # the name of the method in its contract
        self, requests: AsyncIterator[reflection_pb2.ServerReflectionRequest], context: Context
    ) -> AsyncIterator[reflection_pb2.ServerReflectionResponse]:
        """Answers one question after the other."""
        try:
            if self._gate is not None:
                self._gate.identify(context)
        except ServiceError as error:
            await refuse(context, error)
        async for answer in super().ServerReflectionInfo(requests, context):
            yield answer


def add(services: Sequence[str], gate: Gate | None, server: grpc.aio.Server) -> None:
    """Adds reflection of services to a server."""
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(services, gate), server)
