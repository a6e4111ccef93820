"""What can go wrong, in words of the domain; `interceptors` alone turns these into gRPC statuses."""

from __future__ import annotations

from meta.errors import InputError

RETRY_S = 0.5
"""When a caller should try again after a refusal that passes by itself, seconds."""


class ServiceError(Exception):
    """A call that cannot be answered."""

    retry_s: float | None = None
    """When trying again can help, seconds from now; None: it cannot."""

    shed: str = ""
    """Why the call was refused though nothing is wrong with it; "" for all other errors."""


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


STORE_AWAY, STORE_SLOW = "the store is away", "the store is too slow"


class StoreUnavailableError(ServiceError):
    """The store did not answer, refused, or was too slow.

    Args:
        problem: what happened.
        reason: which of the two that is to a user who is recommended to without it.
    """

    def __init__(self, problem: str, reason: str = STORE_AWAY) -> None:
        super().__init__(problem)
        self.reason = reason

    retry_s = RETRY_S


class StoreRefusedError(StoreUnavailableError):
    """The store is there and answers, but not with what was asked for: it is full, say."""


class OverloadedError(ServiceError):
    """More requests wait than can be answered in time.

    Args:
        problem: the condition that is violated.
        retry_s: seconds after which the queue should be gone.
        shed: the condition in two or three words.
    """

    def __init__(self, problem: str, retry_s: float = RETRY_S, shed: str = "queue full") -> None:
        super().__init__(problem)
        self.shed = shed
        self.retry_s = retry_s


class LimitedError(ServiceError):
    """The caller calls more often than it may.

    Args:
        problem: the condition that is violated.
        retry_s: seconds until it may call again.
    """

    shed = "caller too fast"

    def __init__(self, problem: str, retry_s: float) -> None:
        super().__init__(problem)
        self.retry_s = retry_s


class UnauthenticatedError(ServiceError):
    """Nobody knows who calls."""


class ForbiddenError(ServiceError):
    """The caller is known, and may not do this."""


class ExpiredError(ServiceError):
    """The caller's deadline passed before the request was computed."""


class DrainingError(ServiceError):
    """The server stops: what it has taken in is answered, nothing more is taken in."""

    retry_s = RETRY_S


class UnknownVersionError(ServiceError):
    """The store of versions has none of this name."""


class UnusablePolicyError(ServiceError):
    """A version is half-written, damaged, or not of this build."""


class OtherFeaturesError(ServiceError):
    """A version reads other features than the one that serves, and nobody has said that this is meant."""


class UnprovenPolicyError(ServiceError):
    """The report that the service asks for is missing, is of another version, or was not passed."""


class FixedPolicyError(ServiceError):
    """The service serves one fixed folder."""


class NothingBeforeError(ServiceError):
    """There is no earlier lineup to go back to."""


class ChangedMeanwhileError(ServiceError):
    """Another change of the lineup came between."""


class LibraryUnavailableError(ServiceError):
    """The store of versions does not answer."""

    retry_s = RETRY_S


class UnknownLogError(ServiceError):
    """There is no log of this name."""


class UnanswerableError(ServiceError):
    """The log, or this installation, cannot answer what a replay asks."""


class BrokenOffError(ServiceError):
    """A replay's process ended before it had an answer."""


class StartupError(InputError):
    """The server cannot start; the text is one line that says why and what to do."""
