"""What groups of training users like, counted so that nobody finds their own likes in it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from meta import groups
from meta.tasks import Sequences
from meta.types import IntArray


class Groups:
    """Groups of the training users.

    Users are dealt into folds, and each is told what the groups of the other folds like, as the memory does it.
    """

    def __init__(
        self, log: Sequences, users: IntArray, actions: IntArray, most: int, folds: int, rng: np.random.Generator
    ) -> None:
        """Counts likes by group, once a fold and once for everybody.

        Args:
            log: the log.
            users: training users.
            actions: int [A], rows of the items that take part.
            most: groups kept at most.
            folds: 2 or more, or 1 where nothing is learnt.
            rng: deals users out.
        """
        self._attributes = np.zeros((len(log.users), 0), np.float32) if log.attributes is None else log.attributes
        self.of = groups.sides(self._attributes[users], most)
        self.ratio = np.zeros((log.items, len(self.of)), np.float32)
        if not len(self.of):
            return
        self.fold = np.zeros(len(log.users), np.int64)
        self.fold[users] = rng.permutation(len(users)) % folds
        place = np.full(log.items, -1)
        place[actions] = np.arange(len(actions))
        parts = [users[self.fold[users] != fold] for fold in range(folds)] if folds > 1 else [users]
        self._ratio = np.stack([self._count(log, part, place, len(actions)) for part in parts])
        self.ratio[actions] = self._count(log, users, place, len(actions))

    def told(self, users: IntArray) -> npt.NDArray[np.float32]:
        """The unweighted term of training users [B]: float32 [B, A]."""
        belongs = groups.members(self.of, self._attributes[users])
        out = np.empty((len(users), self._ratio.shape[1]), np.float32)
        for fold in np.unique(self.fold[users]):
            of = self.fold[users] == fold
            out[of] = belongs[of] @ self._ratio[fold].T
        return out

    def _count(self, log: Sequences, users: IntArray, place: IntArray, actions: int) -> npt.NDArray[np.float32]:
        at = log.events_of(users)
        owner = np.repeat(users, log.lengths[users])
        use = (log.reward[at] > 0) & (place[log.item[at]] >= 0)
        return groups.fit(self.of, self._attributes, owner[use], place[log.item[at]][use], actions)
