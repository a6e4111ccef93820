"""Tenants: whose state a call may touch. Every key that a call reads or writes begins with its tenant's name.

A name has 1 to 64 lower-case letters, digits, '-' and '_'.
"""

from __future__ import annotations

from typing import NewType

UserKey = NewType("UserKey", str)
"""Where all that is kept of one user lies. A type of its own, so that no bare user id can reach the store."""

NOBODY = ""
"""The one tenant of a service that does not tell its callers apart; its keys carry no name."""


def user_key(tenant: str, user_id: str) -> UserKey:
    """The start of a user's keys; the braces keep them on one node of a cluster."""
    return UserKey(key(tenant, f"{{{user_id}}}"))


def key(tenant: str, name: str) -> str:
    """A key of a tenant. Names of tenants hold neither colon nor brace, so no two tenants have a key in common."""
    return f"{tenant}:{name}" if tenant else name
