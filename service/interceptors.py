"""Wraps every method once: errors become google.rpc.Status, calls are timed and counted.

A wrapper and not a grpc.aio.ServerInterceptor: it sees the same calls without a second one on the hot path.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from time import perf_counter
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import (  # type: ignore[import-untyped] # googleapis-common-protos ships no marker
    code_pb2,
    error_details_pb2,
    status_pb2,
)

from service.access.gate import Context, Gate
from service.access.tenants import NOBODY
from service.errors import (
    BrokenOffError,
    ChangedMeanwhileError,
    DrainingError,
    ExpiredError,
    FixedPolicyError,
    ForbiddenError,
    InvalidFieldError,
    LibraryUnavailableError,
    LimitedError,
    MalformedError,
    NothingBeforeError,
    OtherFeaturesError,
    OverloadedError,
    ServiceError,
    StoreRefusedError,
    StoreUnavailableError,
    UnanswerableError,
    UnauthenticatedError,
    UnknownLogError,
    UnknownVersionError,
    UnprovenPolicyError,
    UnusablePolicyError,
)
from service.metrics import Metrics

DOMAIN = "quickstudy"
Handler = Callable[[Any, Context, str], Awaitable[bytes]]
"""Takes the parsed request, the call's context and the caller's tenant."""
NewsHandler = Callable[[Any, Context, str], AsyncGenerator[bytes, None]]
"""As `Handler`, of a call that is answered by many messages."""
Call = Callable[[Any, Context], Awaitable[Any]]
"""Takes the bytes of a request, or the stream of them, as gRPC hands it over."""
Around = Callable[[str, Call], Call]
"""Takes the name of a method and its call, and gives that call with something around it: a span."""

_CODES: Mapping[type[ServiceError], tuple[grpc.StatusCode, int, str]] = {
    InvalidFieldError: (grpc.StatusCode.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT, "INVALID_FIELD"),
    MalformedError: (grpc.StatusCode.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT, "MALFORMED_MESSAGE"),
    StoreUnavailableError: (grpc.StatusCode.UNAVAILABLE, code_pb2.UNAVAILABLE, "STORE_UNAVAILABLE"),
    StoreRefusedError: (grpc.StatusCode.UNAVAILABLE, code_pb2.UNAVAILABLE, "STORE_REFUSED"),
    OverloadedError: (grpc.StatusCode.RESOURCE_EXHAUSTED, code_pb2.RESOURCE_EXHAUSTED, "OVERLOADED"),
    LimitedError: (grpc.StatusCode.RESOURCE_EXHAUSTED, code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
    UnauthenticatedError: (grpc.StatusCode.UNAUTHENTICATED, code_pb2.UNAUTHENTICATED, "NOT_AUTHENTICATED"),
    ForbiddenError: (grpc.StatusCode.PERMISSION_DENIED, code_pb2.PERMISSION_DENIED, "NOT_PERMITTED"),
    DrainingError: (grpc.StatusCode.UNAVAILABLE, code_pb2.UNAVAILABLE, "DRAINING"),
    UnknownVersionError: (grpc.StatusCode.NOT_FOUND, code_pb2.NOT_FOUND, "UNKNOWN_VERSION"),
    UnusablePolicyError: (grpc.StatusCode.FAILED_PRECONDITION, code_pb2.FAILED_PRECONDITION, "UNUSABLE_POLICY"),
    OtherFeaturesError: (grpc.StatusCode.FAILED_PRECONDITION, code_pb2.FAILED_PRECONDITION, "OTHER_FEATURES"),
    UnprovenPolicyError: (grpc.StatusCode.FAILED_PRECONDITION, code_pb2.FAILED_PRECONDITION, "REPORT_NOT_PASSED"),
    FixedPolicyError: (grpc.StatusCode.FAILED_PRECONDITION, code_pb2.FAILED_PRECONDITION, "FIXED_POLICY"),
    NothingBeforeError: (grpc.StatusCode.FAILED_PRECONDITION, code_pb2.FAILED_PRECONDITION, "NOTHING_BEFORE"),
    ChangedMeanwhileError: (grpc.StatusCode.ABORTED, code_pb2.ABORTED, "CHANGED_MEANWHILE"),
    LibraryUnavailableError: (grpc.StatusCode.UNAVAILABLE, code_pb2.UNAVAILABLE, "LIBRARY_UNAVAILABLE"),
    UnknownLogError: (grpc.StatusCode.NOT_FOUND, code_pb2.NOT_FOUND, "UNKNOWN_LOG"),
    UnanswerableError: (grpc.StatusCode.FAILED_PRECONDITION, code_pb2.FAILED_PRECONDITION, "UNANSWERABLE"),
    BrokenOffError: (grpc.StatusCode.ABORTED, code_pb2.ABORTED, "BROKEN_OFF"),
    ExpiredError: (grpc.StatusCode.DEADLINE_EXCEEDED, code_pb2.DEADLINE_EXCEEDED, "DEADLINE_PASSED"),
}


def method_handler(
    name: str,
    handler: Handler,
    parse: Callable[[bytes], Any],
    metrics: Metrics,
    gate: Gate | None,
    around: Around | None = None,
) -> grpc.RpcMethodHandler[Any, Any]:
    """The unary handler of method `name`: gate -> parse -> handler -> bytes; see `guarded`."""
    call = guarded(
        name, lambda raw, context, tenant: handler(parsed(raw, parse, name), context, tenant), metrics, gate, around
    )
    return grpc.unary_unary_rpc_method_handler(call, request_deserializer=None, response_serializer=None)


def news_handler(
    name: str,
    handler: NewsHandler,
    parse: Callable[[bytes], Any],
    metrics: Metrics,
    gate: Gate | None,
    around: Around | None = None,
) -> grpc.RpcMethodHandler[Any, Any]:
    """The handler of method `name`, which answers one request by many messages; all else as in `method_handler`.

    Where the call ends early, the handler is closed before that is told.
    """

    async def answer(raw: bytes, context: Context, tenant: str) -> None:
        async with aclosing(handler(parsed(raw, parse, name), context, tenant)) as news:
            async for message in news:
                await context.write(message)

    call = guarded(name, answer, metrics, gate, around)
    return grpc.unary_stream_rpc_method_handler(call, request_deserializer=None, response_serializer=None)


def guarded(
    name: str,
    answer: Callable[[Any, Context, str], Awaitable[Any]],
    metrics: Metrics,
    gate: Gate | None,
    around: Around | None,
) -> Call:
    """A call of method `name` as gRPC makes it: past the gate, timed, its errors translated.

    The gate comes first, so that a stranger's bytes are not even parsed.

    Args:
        answer: takes what gRPC hands over, the call's context and the caller's tenant.
        gate: None lets everybody in.
        around: traces the call; None: nobody wants that.
    """
    seconds = metrics.request_seconds.labels(name)

    async def call(raw: Any, context: Context) -> Any:
        started = perf_counter()
        try:
            tenant = NOBODY if gate is None else gate.admit(name, context)
            return await answer(raw, context, tenant)
        except Exception as error:
            await failed(name, context, error, metrics)
        finally:
            seconds.observe(perf_counter() - started)

    return call if around is None else around(name, call)


async def failed(name: str, context: Context, error: Exception, metrics: Metrics) -> NoReturn:
    """Counts a call of method `name` that raised, and ends it with the status of the error, which is being handled."""
    if isinstance(error, ServiceError):
        metrics.errors.labels(name, _CODES[type(error)][0].name).inc()
        if error.shed:
            metrics.shed.labels(name, error.shed).inc()
        await refuse(context, error)
    logging.getLogger("quickstudy").exception("%s failed", name)
    metrics.errors.labels(name, "INTERNAL").inc()
    await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details")


async def refuse(context: Context, error: ServiceError) -> NoReturn:
    """Ends a call with the status of a domain error."""
    status, code = to_status(error)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(code, status.message)


def parsed(raw: bytes, parse: Callable[[bytes], Any], name: str) -> Any:
    """The message of the bytes that a call came with. Raises MalformedError."""
    try:
        return parse(raw)
    except message.DecodeError as error:
        raise MalformedError(f"the bytes are not a valid {name}Request") from error


def to_status(error: ServiceError) -> tuple[status_pb2.Status, grpc.StatusCode]:
    """Translates a domain error, with BadRequest, ErrorInfo and RetryInfo where they apply."""
    code, number, reason = _CODES[type(error)]
    details: list[message.Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN)]
    if isinstance(error, InvalidFieldError):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=str(error))
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(math.ceil(error.retry_s * 1000))
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
