"""Which versions of the policy serve whom: plain values, and what a change makes of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from service.access.tenants import UserKey
from service.errors import InvalidFieldError

BEFORE = 16
"""Changes that can be undone."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """What serves.

    Args:
        active: version that serves everybody but the canary's users.
        canary: version that serves a share of the users; "": none.
        share: of the users, in (0, 1) with a canary, else 0.
        salt: 64 bits that choose the canary's users.
        shadow: version that ranks behind the replies; "": none.
        since_ms: when this was put in place, ms since 1970.
    """

    active: str
    canary: str = ""
    share: float = 0.0
    salt: int = 0
    shadow: str = ""
    since_ms: int = 0

    def __str__(self) -> str:
        canary = f", canary {self.canary} for {self.share:.2%} of users" if self.canary else ""
        return self.active + canary + (f", shadow {self.shadow}" if self.shadow else "")

    @property
    def versions(self) -> tuple[str, ...]:
        """All that have a part in it."""
        return tuple(filter(None, (self.active, self.canary, self.shadow)))

    def role_of(self, version: str) -> str:
        """What a version does: active, canary, shadow or idle."""
        roles = {self.shadow: "shadow", self.canary: "canary", self.active: "active"}
        return roles.get(version, "idle")

    def activated(self, version: str, share: float, shadow: bool, *, salt: int, now_ms: int) -> Lineup:
        """What serves after a version was activated; the lineup itself where that changes nothing.

        A canary whose share changes keeps its salt, so that whom it serves it goes on serving while it grows.

        Raises:
            InvalidFieldError: a version that serves as the canary or shadow beside itself.
        """
        if (share or shadow) and version == self.active:
            raise InvalidFieldError("version", f"must not be the one that serves everybody, got {version}")
        if shadow and version == self.canary:
            raise InvalidFieldError("version", f"must not be the canary, got {version}")
        if shadow:
            new = replace(self, shadow=version)
        elif share:
            salt = self.salt if version == self.canary else salt
            new = replace(self, canary=version, share=share, salt=salt)
            new = replace(new, shadow="") if version == self.shadow else new
        else:
            new = Lineup(version)
        same = replace(new, since_ms=self.since_ms) == self
        return self if same else replace(new, since_ms=now_ms)


@dataclass(frozen=True, slots=True)
class Standing:
    """What serves, and what did.

    Args:
        generation: number of the lineup that serves, from 1.
        lineups: that one, then those before it, newest first.
    """

    generation: int
    lineups: tuple[Lineup, ...]

    @property
    def now(self) -> Lineup:
        """What serves."""
        return self.lineups[0]


def in_canary(user: UserKey, salt: int, share: float) -> bool:
    """Whether a user is one of the canary's: a share of all users of all tenants, the same wherever it is asked.

    Users come in when the share grows, and none leaves: each has a place in [0, 1) by the hash of their key.
    """
    place = hashlib.blake2b(user.encode(), digest_size=8, key=salt.to_bytes(8, "little")).digest()
    return int.from_bytes(place, "little") < share * 2.0**64
