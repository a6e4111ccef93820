"""The gate: whether a call may pass, and for which tenant. A service that asks for nothing has none."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from service.access.limits import Limits
from service.access.scopes import SCOPES
from service.access.tenants import NOBODY
from service.access.tokens import Keyring, Token
from service.errors import ForbiddenError, UnauthenticatedError

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_SCHEME = "bearer "


class Gate:
    """Asks every call for a token, a scope and a rate.

    Args:
        keyring: the tokens; None: nobody is asked for one, and all are one tenant.
        tenants: those whom this service serves; empty: everybody who has a token.
        limits: how often each caller may call; None: as often as they like.
    """

    def __init__(
        self, keyring: Keyring | None, tenants: frozenset[str] = frozenset(), limits: Limits | None = None
    ) -> None:
        self._keyring = keyring
        self._tenants = tenants
        self._limits = limits

    @property
    def tenants(self) -> frozenset[str]:
        """Everybody for whom a call may come."""
        if self._keyring is None:
            return frozenset((NOBODY,))
        return self._keyring.tenants & self._tenants if self._tenants else self._keyring.tenants

    def admit(self, method: str, context: Context) -> str:
        """The tenant for whom a call of `method` may go on.

        Raises:
            UnauthenticatedError: no token, an unknown or an expired one.
            ForbiddenError: a token without the scope, or of a tenant who is served elsewhere.
            LimitedError: the caller calls too often.
        """
        token = self.identify(context)
        if token is not None and SCOPES.get(method) not in token.scopes:
            asked = f"asks for scope {SCOPES[method]}" if method in SCOPES else "is open to nobody"
            raise ForbiddenError(f"{method} {asked}; the token has {', '.join(sorted(token.scopes))}")
        if self._limits is not None:
            self._limits.take(_caller(token, context))
        return NOBODY if token is None else token.tenant

    def again(self, context: Context) -> None:
        """Counts one more request of a call that was admitted. Raises LimitedError."""
        if self._limits is not None:
            self._limits.take(_caller(self.identify(context), context))

    def identify(self, context: Context) -> Token | None:
        """The caller's token, None where nobody is asked for one.

        Raises:
            UnauthenticatedError, ForbiddenError: as above.
        """
        if self._keyring is None:
            return None
        token = self._keyring.find(_bearer(context))
        if self._tenants and token.tenant not in self._tenants:
            raise ForbiddenError(f"tenant {token.tenant!r} is not served here")
        return token


def _caller(token: Token | None, context: Context) -> str:
    return _address(context) if token is None else f"{token.tenant}:{token.name}"


def _bearer(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization" and isinstance(value, str) and value[: len(_SCHEME)].lower() == _SCHEME:
            return value[len(_SCHEME) :].strip()
    raise UnauthenticatedError("the call must carry a token, as metadata 'authorization: Bearer TOKEN'")


def _address(context: Context) -> str:
    """Who calls, where no token says it: the name in the client's certificate, else the address without its port."""
    names = list(context.auth_context().get("x509_common_name", ()))
    return names[0].decode(errors="replace") if names else context.peer().rpartition(":")[0]
