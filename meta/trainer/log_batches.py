"""What a gradient step on a log needs: windows of users' histories, the futures they predict, and an honest memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meta.neighbours import MET, correlate, recall, regress, strengths
from meta.tasks import Sequences, windows
from meta.trainer.log_groups import Groups
from meta.types import Context, Events, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Batch:
    """B users, P prefixes of each one's window, and after the last prefix one more: the first one's next state.

    Args:
        events: numpy histories [B, T].
        prefix: int [B, P + 1], events in each prefix.
        liked: float32 [B, P, A], share of each action among all that the user liked after the prefix.
        weight: float32 [B, P], number of actions liked after the prefix.
        open: bool [B, P + 1, A], actions that the user had not met by then.
        recalled: float32 [B, P + 1, A], the unweighted co-occurrence memory of each prefix.
        evidence: float32 [B, P + 1], what the events in each prefix count in the memory.
        known: of the requests [B, P + 1] that follow the prefixes; each is the next event's, or the last one's again.
        told: float32 [B, A], the unweighted popularity among the users' groups.
        action: int [B], place of the event after the first prefix among the actions, -1 where it is none.
        reward: float32 [B], its reward.
    """

    events: Events
    prefix: IntArray
    liked: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    open: npt.NDArray[np.bool_]
    recalled: npt.NDArray[np.float32]
    evidence: npt.NDArray[np.float32]
    known: Context
    told: npt.NDArray[np.float32]
    action: IntArray
    reward: npt.NDArray[np.float32]


class Memories:
    """Co-occurrence memories of the training users in which nobody meets their own likes.

    A memory that holds a user's own history knows their future; a fade learnt on it trusts it too much. So users are
    dealt into folds, and each is served the memory of the other folds. A regression that is kept also holds a share of
    the cosine; training does without, because weights that are all positive carry popularity, which the towers would
    undo at the price of users without events.
    """

    def __init__(
        self, log: Sequences, users: IntArray, actions: IntArray, keep: int, penalty: float, met: float,
        cosine: float, folds: int, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Counts co-occurrence once a fold, and once for everybody.

        Args:
            log: the log.
            users: training users.
            actions: int [A], rows of the items that take part.
            keep, penalty, met, cosine: see `regress`; a penalty of 0 takes `correlate` in its place.
            folds: 2 or more.
            rng: deals users out.
        """
        self._items, self._met = len(actions), met
        self.fold = np.zeros(len(log.offsets) - 1, np.int64)
        self.fold[users] = rng.permutation(len(users)) % folds
        self._place = np.full(log.items, -1)
        self._place[actions] = np.arange(len(actions))
        parts = [self._count(log, users[self.fold[users] != fold], keep, penalty, 0.0) for fold in range(folds)]
        self._index = np.concatenate([index for index, _ in parts])
        self._weight = np.concatenate([weight for _, weight in parts])
        index, weight = self._count(log, users, keep, penalty, cosine)
        self.index = np.full((log.items, keep), -1, np.int32)
        self.weight = np.zeros((log.items, keep), np.float32)
        self.index[actions] = np.where(index < 0, -1, actions[np.maximum(index, 0)])
        self.weight[actions] = weight

    def recall(self, users: IntArray, item: IntArray, strength: FloatArray) -> npt.NDArray[np.float32]:
        """The memory of events [B, T] of training users that count as strength [B, P, T]: float32 [B, P, A]."""
        place = self._place[np.maximum(item, 0)]
        batch, prefixes, length = strength.shape
        strength = np.where((item >= 0) & (place >= 0), 1.0, 0.0)[:, None] * strength
        rows = np.repeat(np.maximum(place, 0) + self.fold[users][:, None] * self._items, prefixes, 0)
        flat = recall(self._index, self._weight, rows, strength.reshape(-1, length), self._items)
        return flat.reshape(batch, prefixes, self._items).astype(np.float32)

    def _count(
        self, log: Sequences, users: IntArray, keep: int, penalty: float, cosine: float
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        at = log.events_of(users)
        owner = np.repeat(np.arange(len(users)), log.lengths[users])
        place = self._place[log.item[at]]
        use = place >= 0
        liked = log.reward[at][use] > 0
        if not penalty:
            return correlate(owner[use], place[use], liked, self._items, keep, met=self._met)
        return regress(owner[use], place[use], liked, self._items, keep, penalty=penalty, met=self._met, cosine=cosine)


def draw(
    log: Sequences,
    users: IntArray,
    actions: IntArray,
    memories: Memories | None,
    rng: np.random.Generator,
    *,
    prefixes: int,
    length: int,
    short: int,
    from_start: float,
    met: float,
    groups: Groups | None = None,
) -> Batch:
    """Draw windows of some training users and prefixes of them.

    Args:
        log: the log.
        users: int [B], every one with 2 events or more.
        actions: int [A], rows of the items that take part.
        memories: None leaves the memory out.
        rng: draws windows and prefixes.
        prefixes: P.
        length: T, longest support.
        short: half of the supports are at most so long, so that cold users are what training sees most.
        from_start: share of windows that begin with the user's first event.
        met: what an event counts in the memory that was not liked.
        groups: None leaves groups of users out.
    """
    batch, size = len(users), log.lengths[users]
    late = (rng.random(batch) * np.maximum(size - short, 1)).astype(np.int64)
    skip = np.where(rng.random(batch) < from_start, 0, late)
    longest = np.minimum(size - skip - 1, length)
    bound = np.where(rng.random((batch, prefixes)) < 0.5, np.minimum(longest, short)[:, None], longest[:, None])
    prefix = np.floor(rng.random((batch, prefixes)) * (bound + 1)).astype(np.int64)
    prefix = np.concatenate([prefix, prefix[:, :1] + 1], axis=1)
    start = log.offsets[users] + skip
    events = windows(log, start, np.minimum(log.offsets[users + 1], start + length + 1), length + 1)
    place = np.full(log.items, len(actions))
    place[actions] = np.arange(len(actions))
    liked, open_ = _futures(log, users, skip[:, None] + prefix, place, len(actions))
    weight = liked.sum(-1)
    inside = ((np.arange(length + 1) < prefix[:, :, None]) & events.mask[:, None]).astype(np.float64)
    strength = strengths({MET: met}, events.reward[:, None], inside)
    shape = (batch, prefixes + 1, len(actions))
    recalled = memories.recall(users, events.item, strength) if memories else np.zeros(shape, np.float32)
    next_event = start + prefix[:, 0]
    action = place[log.item[next_event]]
    return Batch(
        events,
        prefix,
        (liked / np.maximum(weight, 1.0)[..., None])[:, :-1],
        weight[:, :-1],
        open_,
        recalled,
        strength.sum(-1).astype(np.float32),
        log.known(users, np.minimum(start[:, None] + prefix, log.offsets[users + 1][:, None] - 1)),
        groups.told(users) if groups else np.zeros((batch, len(actions)), np.float32),
        np.where(action < len(actions), action, -1),
        log.reward[next_event],
    )


def _futures(
    log: Sequences, users: IntArray, cut: IntArray, place: IntArray, actions: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """What users liked from event `cut` [B, P] on, float32 [B, P, A], and what they had not met by then, bool."""
    at = log.events_of(users)
    owner = np.repeat(np.arange(len(users)), log.lengths[users])
    column = place[log.item[at]]
    later = (at - log.offsets[users][owner])[:, None] >= cut[owner]
    liked = np.zeros((*cut.shape, actions + 1), np.float32)
    met = np.zeros((*cut.shape, actions + 1), bool)
    event, prefix = np.nonzero(later & (log.reward[at] > 0)[:, None])
    liked[owner[event], prefix, column[event]] = 1.0
    event, prefix = np.nonzero(~later)
    met[owner[event], prefix, column[event]] = True
    liked[met] = 0.0
    return liked[..., :actions], ~met[..., :actions]
