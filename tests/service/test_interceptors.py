"""Domain errors as gRPC statuses."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2

from service.errors import (
    ExpiredError,
    ForbiddenError,
    LimitedError,
    MalformedError,
    OverloadedError,
    ServiceError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from service.interceptors import to_status


@pytest.mark.parametrize(
    ("error", "code", "reason", "retry_ms"),
    [
        (OverloadedError("full"), grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", 500),
        (StoreUnavailableError("away"), grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", 500),
        (LimitedError("often", 1.2345), grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", 1235),
        (UnauthenticatedError("who"), grpc.StatusCode.UNAUTHENTICATED, "NOT_AUTHENTICATED", None),
        (ForbiddenError("no"), grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", None),
        (ExpiredError("late"), grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_PASSED", None),
        (MalformedError("bytes"), grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE", None),
    ],
)
def test_every_error_has_its_status_and_reason(
    error: ServiceError, code: grpc.StatusCode, reason: str, retry_ms: int | None
) -> None:
    """Code, message, ErrorInfo in our domain, and RetryInfo where trying again can help."""
    status, found = to_status(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    delays = [retry.retry_delay.ToMilliseconds() for detail in status.details if detail.Unpack(retry)]
    assert status.details[0].Unpack(info)
    assert (found, status.code, status.message) == (code, code.value[0], str(error))
    assert (info.reason, info.domain, delays) == (reason, "quickstudy", [retry_ms] if retry_ms else [])
