"""Whom one policy version has met lately: what it made of them, kept until their history, attributes or items change.

The history is read in every batch; its header, which holds the watermark, tells whether what was made of it still
holds. So somebody who asks again costs no decoding, no copy, no session state and no recall. Users are kept from the
second request in the same state on: who clicks between any two requests is not worth it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from time import monotonic
from typing import NamedTuple

import numpy as np

from meta.neighbours import Recalled
from meta.policy import Policy
from meta.scoring import Portraits
from meta.types import Context, FloatArray, IntArray
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access.tenants import UserKey
from service.metrics import Metrics
from service.store import FreshCopy, Kept, history
from service.users import Personaliser, Users

OVERHEAD = 1_000
"""Bytes that a user takes beside what is in the arrays, about."""


class Known(NamedTuple):
    """One user of a batch, as ranking and reply need them.

    Args:
        row: float32 [2 E + 2], their line of `Portraits`.
        recalled: what the memory of co-occurrence adds for them; None where there is no such memory.
        seen: int [T], rows of the items in their history, -1 where padded or unknown.
        pseudonym: by which number the log knows them, 0 where it does not yet.
        watermark: of their history.
        told: serialized Adaptation of what their copy was made from, but for source and reason.
        source: which knowledge that is.
        reason: why it is not the copy as adapted to the history as it is now, "" where it is.
    """

    row: FloatArray
    recalled: Recalled | None
    seen: IntArray
    pseudonym: int
    watermark: int
    told: bytes
    source: pb.Source
    reason: str

    def without_store(self, age: float | None, why: str) -> Known:
        """As they are known while the store cannot be asked: as the store told of them so long ago, or not at all."""
        if age is None:
            return self._replace(told=_told(self.watermark), source=pb.SOURCE_PRIOR, reason=why)
        if self.source != pb.SOURCE_ADAPTED:
            return self
        stale = pb.Adaptation(staleness=age).SerializeToString()
        return self._replace(told=self.told + stale, source=pb.SOURCE_STALE, reason=why)


def portraits(known: Sequence[Known]) -> Portraits:
    """The portraits of users as a batch."""
    row = np.concatenate([each.row for each in known]).reshape(len(known), -1)
    return Portraits(row, [each.recalled for each in known if each.recalled is not None])


@dataclass(slots=True)
class _Kept:
    """Somebody who is kept: which history and attributes that was made from, when it was used last, and its bytes."""

    known: Known
    header: bytes
    attributes: bytes | None
    used: float
    size: int


class Acquaintances:
    """Finds or makes what a policy knows of the users of a batch.

    Args:
        policy: whose view it is. Where it reads contexts that depends on the request, and nothing is kept.
        metrics: counts copies.
        max_bytes: what is kept takes no more, about; who has not asked for longest leaves.
        max_age_s: seconds after which somebody who does not ask is not kept any more.
        clock: seconds.
    """

    def __init__(
        self, policy: Policy, metrics: Metrics, max_bytes: int, max_age_s: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._policy = policy
        self.personaliser = Personaliser(policy, metrics)
        self._cached = metrics.copies.labels("cached")
        self._max_bytes = 0 if policy.spec.context else max_bytes
        self._max_age = max_age_s
        self._clock = clock
        self._items = policy.items
        self._users: OrderedDict[UserKey, _Kept] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """Users that are kept."""
        return len(self._users)

    def meet(self, keys: Sequence[UserKey], kept: Kept, context: Context) -> tuple[list[Known], list[FreshCopy]]:
        """The users of a batch by what the store keeps of them, and their copies that are new and should be kept."""
        now = self._clock()
        self._leave_out_of_date(now)
        found = [self._find(*each, now) for each in zip(keys, kept.histories, kept.attributes, strict=True)]
        new = [i for i, known in enumerate(found) if known is None]
        self._cached.inc(len(found) - len(new))
        fresh: list[FreshCopy] = []
        if new:
            everybody = len(new) == len(found)
            keys, part = [keys[i] for i in new], kept.of(new)
            users = self.personaliser.users(part, context if everybody else context.map(lambda x: x[new]))
            for i, known in zip(new, self._known(users), strict=True):
                found[i] = known
            fresh = self.personaliser.to_keep(keys, part, users)
            for key, at in zip(compress(keys, users.lasting), compress(new, users.lasting), strict=True):
                self._keep(key, kept.histories[at] or b"", kept.attributes[at], found[at], now)
        return [known for known in found if known is not None], fresh

    def forget(self, user: UserKey) -> None:
        """Gives up what is kept of a user."""
        if (left := self._users.pop(user, None)) is not None:
            self._bytes -= left.size

    def _find(self, user: UserKey, value: bytes | None, attributes: bytes | None, now: float) -> Known | None:
        found = self._users.get(user)
        if found is None:
            return None
        if value is None or not value.startswith(found.header) or attributes != found.attributes:
            self.forget(user)
            return None
        found.used = now
        self._users.move_to_end(user)
        return found.known

    def _keep(self, user: UserKey, value: bytes, attributes: bytes | None, known: Known | None, now: float) -> None:
        if known is None or not self._max_bytes:
            return
        recalled = known.recalled
        if recalled is not None:
            item, at = np.unique(recalled.item, return_index=True)
            recalled = Recalled(item.astype(np.intp), recalled.term[at])
        own = known._replace(row=known.row.copy(), seen=known.seen.copy(), recalled=recalled)
        size = OVERHEAD + len(user) + len(own.told) + len(attributes or b"") + own.row.nbytes + own.seen.nbytes
        if recalled is not None:
            size += recalled.item.nbytes + recalled.term.nbytes
        self.forget(user)
        self._users[user] = _Kept(own, value[: history.HEADER], attributes, now, size)
        self._bytes += size

    def _leave_out_of_date(self, now: float) -> None:
        """Gives up everybody where items have changed, else who has not asked for long, and who is too many."""
        if self._items is not self._policy.items:
            self._items, self._bytes = self._policy.items, 0
            self._users.clear()
        long_ago = now - self._max_age
        while self._users:
            user = next(iter(self._users))
            if self._bytes <= self._max_bytes and self._users[user].used >= long_ago:
                return
            self.forget(user)

    def _known(self, users: Users) -> list[Known]:
        """Users that were adapted just now, or whose copies were read."""
        of = self._policy.portray(users.adapted.copy, users.state.events, users.context)
        memory: Sequence[Recalled | None] = of.memory or [None] * len(of.row)
        copy = users.adapted
        numbers = zip(copy.events_used.tolist(), copy.loss_before.tolist(), copy.loss_after.tolist(), strict=True)
        watermark = users.state.watermark.tolist()
        told = [
            _told(mark, *those) if source == pb.SOURCE_ADAPTED else _told(mark)
            for mark, those, source in zip(watermark, numbers, users.source, strict=True)
        ]
        return [
            Known(*each)
            for each in zip(
                of.row,
                memory,
                users.state.events.item,
                users.state.pseudonym.tolist(),
                watermark,
                told,
                users.source,
                users.reason,
                strict=True,
            )
        ]


def _told(watermark: int, events_used: int = 0, loss_before: float = 0.0, loss_after: float = 0.0) -> bytes:
    told = pb.Adaptation(watermark=watermark, events_used=events_used, loss_before=loss_before, loss_after=loss_after)
    return told.SerializeToString()
