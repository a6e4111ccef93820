"""Users who are kept apart, so that a policy that has learnt from a log can still be judged by it."""

from __future__ import annotations

from meta.catalogue import id_hash


def held_out(user: str, share: float) -> bool:
    """Whether a user of a log belongs to the share, 0..1, that a training leaves out: by a hash, always the same."""
    return id_hash(user) < share * 2.0**64
