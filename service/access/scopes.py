"""Scopes: what a token may do, and which of them each method of the contract asks for."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Scope(StrEnum):
    """A permission; none of them implies another."""

    READ = "read"
    """Ask: slates, and what is kept of a user."""
    WRITE = "write"
    """Tell: events, attributes, erasures of the tenant's own users."""
    ADMIN = "admin"
    """Change what all tenants share, or keep a core of the machine busy."""


SCOPES: Mapping[str, Scope] = {
    "Recommend": Scope.READ,
    "RecommendStream": Scope.READ,
    "GetUser": Scope.READ,
    "RecordEvents": Scope.WRITE,
    "ActivateDecision": Scope.WRITE,
    "UpsertUsers": Scope.WRITE,
    "DeleteUser": Scope.WRITE,
    "UpsertItems": Scope.ADMIN,
    "DeleteItems": Scope.ADMIN,
    "ListPolicies": Scope.READ,
    "GetPolicy": Scope.READ,
    "ActivatePolicy": Scope.ADMIN,
    "RollBackPolicy": Scope.ADMIN,
    "Replay": Scope.ADMIN,
}
"""By name of the method. One that is missing here is refused to everybody as soon as tokens are asked for."""
