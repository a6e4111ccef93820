"""The one error that a client raises: a call that was not answered, and what the service said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped] # as in interceptors

M = TypeVar("M", bound=Message)


class CallError(grpc.aio.AioRpcError):
    """A call that failed. It is a `grpc.RpcError` too: `code()`, `details()` and the metadata are as gRPC has them.

    Attributes:
        method: which call, "Recommend".
        reason: ErrorInfo's reason, stable, such as "OVERLOADED" or "RATE_LIMITED"; empty where the call did not
            reach the service.
        retry_s: RetryInfo's delay, seconds: when to try again; None: the service does not say that it would help.
        violations: BadRequest's fields and the rule that each breaks.
    """

    def __init__(
        self,
        method: str,
        code: grpc.StatusCode,
        details: str | None,
        *,
        reason: str = "",
        retry_s: float | None = None,
        violations: Mapping[str, str] | None = None,
        cause: grpc.aio.AioRpcError | None = None,
    ) -> None:
        first: Any = grpc.aio.Metadata()
        last: Any = grpc.aio.Metadata()
        if cause:
            first, last = cause.initial_metadata(), cause.trailing_metadata()
        super().__init__(code, first, last, details, None)
        self.method, self.reason, self.retry_s, self.violations = method, reason, retry_s, dict(violations or {})

    @classmethod
    def of(cls, method: str, error: grpc.aio.AioRpcError) -> Self:
        """Reads the details of a status; damaged ones count as none."""
        status = _status(error)
        info = _detail(status, error_details_pb2.ErrorInfo())
        retry = _detail(status, error_details_pb2.RetryInfo())
        bad = _detail(status, error_details_pb2.BadRequest())
        return cls(
            method,
            error.code(),
            error.details(),
            reason=info.reason if info else "",
            retry_s=retry.retry_delay.ToMilliseconds() / 1000 if retry else None,
            violations={each.field: each.description for each in bad.field_violations} if bad else {},
            cause=error,
        )

    def __str__(self) -> str:
        return f"{self.method} ended with {self.code().name}: {self.details()}"


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    metadata: Any = error.trailing_metadata()  # pairs, whatever the stubs say
    for name, value in metadata or ():
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _detail(status: status_pb2.Status, kind: M) -> M | None:
    """The detail of one kind, where the status has one that can be read."""
    try:
        return next((kind for detail in status.details if detail.Unpack(kind)), None)
    except DecodeError:
        return None
