"""Whom a batch answers first: long adaptations wait until everybody else has a reply, and come in pieces."""

from __future__ import annotations

from meta.policy import Policy
from service.pace import Pace
from service.store import Kept, history

PIECE_S = 0.005
"""What adaptation takes at a time, seconds, as far as is known: other callers wait no longer for it."""


class Lanes:
    """Cuts batches by who has a copy at hand and by what adapting the others will take, learnt from adaptations.

    Args:
        policy: whose copies.
    """

    def __init__(self, policy: Policy) -> None:
        self._version = int(policy.version, 16).to_bytes(8, "little")
        self._pace = Pace()
        self._pace.finished(0, 0.0)  # at first, time is taken to be in proportion to events

    def adapted(self, events: int, seconds: float) -> None:
        """So many events, padding included, took so long to adapt to."""
        self._pace.finished(events, seconds)

    def parts(self, kept: Kept) -> list[list[int]]:
        """The users of a batch, by their places in it: together, or first the ready ones and then pieces of the others.

        A part of its own costs what a small batch costs, so there are none unless adaptation is going to take longer
        than `PIECE_S`.
        """
        late = [
            (events, i)
            for i, (value, copy) in enumerate(zip(kept.histories, kept.copies, strict=True))
            if value and (events := history.length(value)) and not (copy or b"").startswith(self._version + value[:8])
        ]
        late.sort()  # equal lengths together, for they are padded to the longest
        everybody = range(len(kept.histories))
        if not late or self._pace.seconds(1, late[-1][0] * len(late)) <= PIECE_S:
            return [list(everybody)]
        apart = {i for _, i in late}
        parts: list[list[int]] = [[i for i in everybody if i not in apart], []]
        for events, i in late:
            if parts[-1] and self._pace.seconds(1, events * (len(parts[-1]) + 1)) > PIECE_S:
                parts.append([])
            parts[-1].append(i)
        return [part for part in parts if part]
