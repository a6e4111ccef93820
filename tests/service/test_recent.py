"""The memory of recent users: what it answers with, and what it must not believe."""

from __future__ import annotations

from service.store.recent import OVERHEAD, Entry, Recent


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.seconds


def test_what_was_read_last_is_recalled() -> None:
    """The newest answer of the store replaces an older one."""
    recent = Recent(10_000, 60.0, Clock())
    recent.read(0.0, [("u", b"old", None, None)])
    recent.read(1.0, [("u", b"new", b"copy", b"told")])
    assert (Entry(b"new", b"copy", b"told", 1.0), 1) == (recent.recall("u"), len(recent))


def test_it_is_bounded_in_bytes() -> None:
    """The users told of longest ago leave first, and the bytes of those who stay are what is counted."""
    recent = Recent(2 * (OVERHEAD + 101), 60.0, Clock())
    for second, user in enumerate("abac"):
        recent.read(float(second), [(user, bytes(100), None, None)])
    assert ([None, None], 2 * (OVERHEAD + 101)) == ([recent.recall("b"), recent.recall("d")], recent.size)
    assert {"a", "c"} == {user for user in "abc" if user in recent}


def test_what_is_too_old_is_not_recalled() -> None:
    """After the longest age nothing is said of a user any more, and the next read frees the place."""
    clock = Clock()
    recent = Recent(10_000, 60.0, clock)
    recent.read(0.0, [("u", b"h", None, None)])
    clock.seconds = 60.5
    assert recent.recall("u") is None
    recent.read(60.5, [("v", b"h", None, None)])
    assert (1, OVERHEAD + 2) == (len(recent), recent.size)


def test_a_read_does_not_undo_a_later_write() -> None:
    """What a read has found that was asked before a write is not believed."""
    clock = Clock()
    recent = Recent(10_000, 60.0, clock)
    recent.read(0.0, [("u", b"one", b"copy", None)])
    clock.seconds = 2.0
    recent.wrote("u", history=b"two")
    recent.read(1.0, [("u", b"one", None, None)])
    assert Entry(b"two", b"copy", None, 2.0) == recent.recall("u")


def test_an_erased_user_stays_forgotten() -> None:
    """A read that was asked before the erasure does not bring anybody back; a later one does."""
    clock = Clock()
    recent = Recent(10_000, 60.0, clock)
    recent.read(0.0, [("u", b"h", None, None)])
    clock.seconds = 2.0
    recent.forget("u")
    recent.read(1.0, [("u", b"h", None, None)])
    assert (None, 0) == (recent.recall("u"), recent.size)
    recent.read(3.0, [("u", b"again", None, None)])
    assert Entry(b"again", None, None, 3.0) == recent.recall("u")


def test_nobody_is_remembered_for_nothing() -> None:
    """A user of whom the store keeps nothing takes no place, and leaves the one they had."""
    recent = Recent(10_000, 60.0, Clock())
    recent.read(0.0, [("u", b"h", None, None), ("v", None, None, None)])
    recent.read(1.0, [("u", None, None, None)])
    assert (0, 0) == (len(recent), recent.size)


def test_a_copy_belongs_to_the_history_it_was_made_from() -> None:
    """A new copy is taken in while the history still begins with its header, and not after."""
    recent = Recent(10_000, 60.0, Clock())
    recent.read(0.0, [("u", b"11111111records", None, None)])
    recent.made("u", b"11111111", b"copy")
    recent.made("u", b"22222222", b"other")
    assert (b"copy", OVERHEAD + 1 + 15 + 4) == (recent.recall("u").copy, recent.size)  # type: ignore[union-attr]
