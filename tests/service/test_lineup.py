"""Lineups as plain values: who is the canary's, and what an activation makes of what serves."""

from __future__ import annotations

import pytest

from service.access.tenants import user_key
from service.errors import InvalidFieldError
from service.policies.lineup import Lineup, in_canary

A, B, C = (letter * 16 for letter in "abc")


def test_the_canary_has_its_share_of_users() -> None:
    """Within 1% of 10^5 users, for any share and salt; another salt chooses other users."""
    users = [user_key("shop" if n % 2 else "", f"user-{n}") for n in range(100_000)]
    chosen: dict[tuple[float, int], set[str]] = {}
    for share in (0.01, 0.1, 0.5, 0.99):
        for salt in (0, 2**64 - 1):
            found = chosen[share, salt] = {user for user in users if in_canary(user, salt, share)}
            assert len(found) == pytest.approx(share * len(users), abs=0.01 * len(users))
    assert len(chosen[0.1, 0] & chosen[0.1, 2**64 - 1]) == pytest.approx(1_000, rel=0.2)
    assert chosen[0.01, 0] < chosen[0.1, 0] < chosen[0.5, 0] < chosen[0.99, 0]


def test_one_user_id_is_another_user_with_another_tenant() -> None:
    """Which of them the canary serves is drawn for each."""
    same = [in_canary(user_key("a", f"{n}"), 1, 0.5) == in_canary(user_key("b", f"{n}"), 1, 0.5) for n in range(1_000)]
    assert sum(same) == pytest.approx(500, abs=80)


def test_a_canary_grows_becomes_active_and_ends() -> None:
    """It keeps its salt while it grows; serving everybody ends canary and shadow; the same again changes nothing."""
    first = Lineup(A)
    canary = first.activated(B, 0.1, False, salt=1, now_ms=10)
    assert canary == Lineup(A, canary=B, share=0.1, salt=1, since_ms=10)
    grown = canary.activated(B, 0.2, False, salt=2, now_ms=20)
    assert grown == Lineup(A, canary=B, share=0.2, salt=1, since_ms=20)
    assert grown.activated(B, 0.2, False, salt=3, now_ms=30) is grown
    other = grown.activated(C, 0.2, False, salt=3, now_ms=30)
    assert other == Lineup(A, canary=C, share=0.2, salt=3, since_ms=30)
    shadowed = other.activated(B, 0.0, True, salt=4, now_ms=40)
    assert shadowed == Lineup(A, canary=C, share=0.2, salt=3, shadow=B, since_ms=40)
    assert str(shadowed) == f"{A}, canary {C} for 20.00% of users, shadow {B}"
    assert shadowed.activated(B, 0.5, False, salt=5, now_ms=50) == Lineup(A, canary=B, share=0.5, salt=5, since_ms=50)
    assert shadowed.activated(A, 0.0, False, salt=6, now_ms=60) == Lineup(A, since_ms=60)


@pytest.mark.parametrize(("version", "share", "shadow"), [(A, 0.1, False), (A, 0.0, True), (B, 0.0, True)])
def test_no_version_stands_beside_itself(version: str, share: float, shadow: bool) -> None:
    """The active version is no canary and no shadow, and the canary is no shadow."""
    with pytest.raises(InvalidFieldError, match="version must not be"):
        Lineup(A, canary=B, share=0.1).activated(version, share, shadow, salt=0, now_ms=0)
