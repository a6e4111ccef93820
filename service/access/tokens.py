"""Tokens: who calls, for which tenant, with which scopes, until when. The service keeps their hashes only.

A token is 256 random bits, so SHA-256 without salt or stretching is hash enough: there is no dictionary to try.
Tokens stand in a file, one JSON object a line, which is read again when it has changed:

    {"name": "web", "tenant": "shop", "scopes": ["read"], "expires": "2027-01-31T00:00:00+00:00", "sha256": "9f86..."}
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from service.access.scopes import Scope
from service.errors import StartupError, UnauthenticatedError

PREFIX = "qs_"
"""How every token begins, so that scanners for leaked secrets can find one."""
RECHECK_S = 2.0
"""How often the file is looked at for changes, seconds: so long a token that was taken out may still be used."""
_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_LOG = logging.getLogger("quickstudy")


@dataclass(frozen=True, slots=True)
class Token:
    """What the service keeps of a token.

    Args:
        name: whose it is; tokens of one name and tenant share a rate limit.
        tenant: whose keys it opens; "" is the one tenant of a service without tenants.
        scopes: what it may do.
        expires: from when on it is refused.
        digest: SHA-256 of the token.
    """

    name: str
    tenant: str
    scopes: frozenset[Scope]
    expires: datetime
    digest: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Refuses what would mix up keys or mean nothing."""
        rule = "must have 1..64 of a-z, 0-9, '-' and '_'"
        if not _NAME.fullmatch(self.name):
            raise StartupError(f"name {rule}, got {self.name!r}")
        if self.tenant and not _NAME.fullmatch(self.tenant):
            raise StartupError(f"tenant {rule}, or be empty, got {self.tenant!r}")
        if not self.scopes:
            raise StartupError(f"scopes must hold some of {', '.join(Scope)}, got none")
        if self.expires.tzinfo is None:
            raise StartupError(f"expires must have a time zone, got {self.expires.isoformat()!r}")

    def line(self) -> str:
        """The token's line of the file."""
        told = {
            "name": self.name,
            "tenant": self.tenant,
            "scopes": sorted(self.scopes),
            "expires": self.expires.isoformat(timespec="seconds"),
            "sha256": self.digest.hex(),
        }
        return json.dumps(told)


def create(name: str, tenant: str, scopes: Iterable[str], days: float) -> tuple[str, Token]:
    """A new token, to be handed to its caller once, and what the service keeps of it.

    Raises:
        StartupError: a name, a scope or a number of days out of range.
    """
    if not 0 < days <= 36_500:
        raise StartupError(f"days must be above 0 and at most 36500, got {days:g}")
    secret = PREFIX + secrets.token_urlsafe(32)
    expires = datetime.now(UTC) + timedelta(days=days)
    return secret, Token(name, tenant, _scopes(scopes), expires, _digest(secret))


def append(path: Path, token: Token) -> None:
    """Adds a token to a file, which is made for its owner's eyes where there is none.

    Raises:
        StartupError: the file cannot be written.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "w") as file:
            file.write(token.line() + "\n")
    except OSError as error:
        raise StartupError(f"cannot write tokens to {path}: {error.strerror}") from error


class Keyring:
    """The tokens of a file.

    Args:
        path: the file.

    Raises:
        StartupError: it cannot be read, or a line of it means nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._tokens = _read(path)
        self._next = time.monotonic() + RECHECK_S

    @property
    def tenants(self) -> frozenset[str]:
        """Everybody who has a token."""
        return frozenset(token.tenant for token in self._tokens.values())

    def find(self, secret: str) -> Token:
        """What is kept of a token.

        Raises:
            UnauthenticatedError: it is unknown or has expired.
        """
        self._refresh()
        token = self._tokens.get(_digest(secret))
        if token is None:
            raise UnauthenticatedError("the bearer token is not known; ask the operator for a new one")
        if token.expires.timestamp() <= time.time():
            raise UnauthenticatedError("the bearer token has expired; ask the operator for a new one")
        return token

    def _refresh(self) -> None:
        """Reads a changed file; one that cannot be read leaves the tokens as they were, and says so once."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + RECHECK_S
        try:
            if (stamp := _stamp(self._path)) != self._stamp:
                self._stamp = stamp
                self._tokens = _read(self._path)
                _LOG.info("read %d tokens again", len(self._tokens))
        except StartupError as error:
            _LOG.error("%s; the tokens stay as they were", error)


def _digest(secret: str) -> bytes:
    return sha256(secret.encode()).digest()


def _scopes(names: Iterable[str]) -> frozenset[Scope]:
    try:
        return frozenset(Scope(name) for name in names)
    except ValueError as error:
        raise StartupError(f"scopes must be some of {', '.join(Scope)}: {error}") from error


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise StartupError(f"cannot read tokens of {path}: {error.strerror}") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: Path) -> dict[bytes, Token]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StartupError(f"cannot read tokens of {path}: {error}") from error
    tokens = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                token = _parse(json.loads(line))
            except (ValueError, TypeError, KeyError, StartupError) as error:
                raise StartupError(f"line {number} of {path} is no token: {_told(error)}") from error
            tokens[token.digest] = token
    return tokens


def _parse(told: dict[str, str]) -> Token:
    digest = bytes.fromhex(told["sha256"])
    if len(digest) != 32:
        raise StartupError(f"sha256 must have 64 hexadecimal digits, got {len(told['sha256'])}")
    return Token(told["name"], told["tenant"], _scopes(told["scopes"]), datetime.fromisoformat(told["expires"]), digest)


def _told(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
