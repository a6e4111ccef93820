"""What can go wrong, in words of the domain; `interceptors` alone turns these into gRPC statuses."""

from __future__ import annotations

from meta.errors import InputError


class ServiceError(Exception):
    """A call that cannot be answered."""


class InvalidFieldError(ServiceError):
    """A field of the request breaks a rule.

    Args:
        field: path of the field in the request.
        problem: the violated condition with the value, "must be in 1..100, got 0".
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class MalformedError(ServiceError):
    """The bytes of the request are not a message of the contract."""


class StoreUnavailableError(ServiceError):
    """The store did not answer, refused, or was too slow."""


class OverloadedError(ServiceError):
    """More requests wait than can be answered in time."""


class ExpiredError(ServiceError):
    """The caller's deadline passed before the request was computed."""


class StartupError(InputError):
    """The server cannot start; the text is one line that says why and what to do."""
