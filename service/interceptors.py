"""Wraps every method once: errors become google.rpc.Status, calls are timed and counted.

A wrapper and not a grpc.aio.ServerInterceptor: it sees the same calls without a second one on the hot path.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any, TypeAlias

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import (  # type: ignore[import-untyped] # googleapis-common-protos ships no marker
    code_pb2,
    error_details_pb2,
    status_pb2,
)

from service.errors import (
    ExpiredError,
    InvalidFieldError,
    MalformedError,
    OverloadedError,
    ServiceError,
    StoreUnavailableError,
)
from service.metrics import Metrics
from service.tenants import NOBODY

DOMAIN = "quickstudy"
RETRY_MS = 500
"""When a caller should try again after a refusal that passes by itself, milliseconds."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler = Callable[[Any, Context, str], Awaitable[bytes]]
"""Takes the parsed request, the call's context and the caller's tenant."""

_CODES: Mapping[type[ServiceError], tuple[grpc.StatusCode, int, str]] = {
    InvalidFieldError: (grpc.StatusCode.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT, "INVALID_FIELD"),
    MalformedError: (grpc.StatusCode.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
    StoreUnavailableError: (grpc.StatusCode.UNAVAILABLE, code_pb2.UNAVAILABLE, "STORE_UNAVAILABLE"),
    OverloadedError: (grpc.StatusCode.RESOURCE_EXHAUSTED, code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED"),
    ExpiredError: (grpc.StatusCode.DEADLINE_EXCEEDED, code_pb2.DEADLINE_EXCEEDED, "DEADLINE_PASSED"),
}
_RETRYABLE = (StoreUnavailableError, OverloadedError)


def method_handler(
    name: str, handler: Handler, parse: Callable[[bytes], Any], metrics: Metrics
) -> grpc.RpcMethodHandler[Any, Any]:
    """Returns the unary handler of method `name`: bytes -> parse -> handler -> bytes, timed, its errors translated."""
    seconds = metrics.request_seconds.labels(name)

    def read(raw: bytes) -> Any:
        try:
            return parse(raw)
        except message.DecodeError:
            return MalformedError(f"the bytes are not a valid {name}Request")

    async def call(request: Any, context: Context) -> bytes:
        started = perf_counter()
        try:
            if isinstance(request, MalformedError):
                raise request
            return await handler(request, context, NOBODY)
        except ServiceError as error:
            status, code = to_status(error)
            metrics.errors.labels(name, code.name).inc()
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            await context.abort(code, status.message)
        except Exception:
            logging.getLogger("quickstudy").exception("%s failed", name)
            metrics.errors.labels(name, "INTERNAL").inc()
            await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details")
        finally:
            seconds.observe(perf_counter() - started)

    return grpc.unary_unary_rpc_method_handler(call, request_deserializer=read, response_serializer=None)


def to_status(error: ServiceError) -> tuple[status_pb2.Status, grpc.StatusCode]:
    """Translates a domain error, with BadRequest, ErrorInfo and RetryInfo where they apply."""
    code, number, reason = _CODES[type(error)]
    details: list[message.Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)]
    if isinstance(error, InvalidFieldError):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=str(error))
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, _RETRYABLE):
        delay = duration_pb2.Duration(nanos=RETRY_MS * 1_000_000)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=number, message=str(error))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status, code


def deadline(context: Context, now: float) -> float:
    """The moment on the clock of `now`, seconds, at which the caller gives up; infinity without a deadline."""
    remaining = context.time_remaining()
    return math.inf if remaining is None else now + remaining
