"""Tasks from a log: a task is a user, their events in time order; the past is the support, the future the query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meta.dataset import Interactions
from meta.types import Context, Events, IntArray


@dataclass(frozen=True, slots=True)
class Sequences:
    """The events of U users end to end, each user's in time order (events of one time keep the order of the file).

    Args:
        offsets: int64 [U + 1], user j owns events offsets[j] to offsets[j + 1].
        item: int32 [M], catalogue rows.
        reward: float32 [M].
        time_ms: int64 [M].
        users: ids of the users.
        items: N, size of the catalogue.
        attributes: float32 [U, A] of the users; None: A = 0.
        context: float32 [M, X], in which each event happened; None: X = 0.
    """

    offsets: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    reward: npt.NDArray[np.float32]
    time_ms: npt.NDArray[np.int64]
    users: tuple[str, ...]
    items: int
    attributes: npt.NDArray[np.float32] | None = None
    context: npt.NDArray[np.float32] | None = None

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64 [U], number of events of each user."""
        return np.diff(self.offsets)

    @property
    def widths(self) -> tuple[int, int]:
        """A and X, the widths of encoded attributes and contexts."""
        attributes, context = (0 if told is None else told.shape[1] for told in (self.attributes, self.context))
        return attributes, context

    def events_of(self, users: IntArray) -> npt.NDArray[np.int64]:
        """Indices of all events of some users, user after user."""
        parts = [np.arange(self.offsets[user], self.offsets[user + 1]) for user in users]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def known(self, users: IntArray, at: IntArray) -> Context:
        """What is known of requests of users [B] that come when the events at [B, P] happen, beside their histories."""
        attributes = np.zeros((len(users), 0), np.float32) if self.attributes is None else self.attributes[users]
        request = np.zeros((*at.shape, 0), np.float32) if self.context is None else self.context[at]
        return Context(attributes, request, self.time_ms[at])

    def positives(self, users: IntArray) -> npt.NDArray[np.float64]:
        """float64 [N], how often each item was liked (reward above 0) by some users."""
        at = self.events_of(users)
        return np.bincount(self.item[at[self.reward[at] > 0]], minlength=self.items).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Split:
    """Users by purpose, each an int array of user indices; no user is in two."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


def sequences(interactions: Interactions, items: int) -> Sequences:
    """Sort a log into one sequence a user."""
    order = np.lexsort((interactions.time_ms, interactions.user))  # stable: ties keep the order of the file
    count = np.bincount(interactions.user, minlength=len(interactions.users))
    return Sequences(
        np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        interactions.item[order],
        interactions.reward[order],
        interactions.time_ms[order],
        interactions.users,
        items,
        None if interactions.attributes is None else interactions.attributes.features,
        None if interactions.context is None else interactions.context.features[order],
    )


def split_users(users: int, seed: int, validation: float = 0.15, test: float = 0.2, fold: int = 0) -> Split:
    """Deal users out by seed: the same seed gives the same split wherever it is computed.

    Args:
        users: U.
        seed: of the permutation.
        validation: share of users on which settings and the stopping point are chosen.
        test: share of users on which nothing is chosen.
        fold: which such share: those of folds 0, 1, ... have no user in common as long as they fit.
    """
    order = np.roll(np.random.default_rng(seed).permutation(users), -fold * int(test * users))
    first, second = int(test * users), int(test * users) + int(validation * users)
    return Split(np.sort(order[second:]), np.sort(order[first:second]), np.sort(order[:first]))


def windows(log: Sequences, start: IntArray, end: IntArray, length: int) -> Events:
    """Padded histories of stretches of the log, each event a decision of its own.

    Args:
        log: the log.
        start: int [B], index of each stretch's first event in the log.
        end: int [B], index after its last event.
        length: T, width of the result; the first T events of a longer stretch are kept.

    Returns:
        numpy events [B, T].
    """
    at = start[:, None] + np.arange(length)
    mask = at < end[:, None]
    at = np.where(mask, at, 0)
    return Events(
        item=np.where(mask, log.item[at], -1),
        reward=np.where(mask, log.reward[at], np.float32(0)),
        group=np.where(mask, np.arange(length), 0),
        mask=mask,
        length=mask.sum(1),
        time_ms=np.where(mask, log.time_ms[at], 0),
    )
