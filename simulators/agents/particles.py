"""What an agent that knows the law believes of each user: minds imagined, weighed and moved by what was chosen."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from meta.types import FloatArray, IntArray
from simulators.choice import first_showings
from simulators.law import KnownLaw, draw

STRIDES = (0.15, 0.5, 0.9)
"""Sizes of proposed moves, as the share of new noise: one to refine, one to explore, one to leave."""
OTHER_KIND = 0.2
"""Chance that a proposed move draws the kind anew."""
BLOCK = 2_000_000
"""Logits computed at once; more would leave the processor's cache."""


@dataclass(slots=True)
class Seen:
    """What B users were shown and did in G steps.

    Args:
        rows: int [B, G, K], items shown.
        offset: float32 [B, G, K], their appeal apart from the mind, over no choice; -inf where an item is repeated.
        choice: int [B, G], chosen position, -1 none.
        reward: float [B, G].
    """

    rows: IntArray
    offset: FloatArray
    choice: IntArray
    reward: FloatArray


@dataclass(slots=True)
class Minds:
    """Imagined minds [...] and what made them.

    Args:
        kind: int [...].
        noise: float32 [..., width].
        mind: float32 [..., D].
        since: int [...], the step from which it has been the user's mind.
        fit: float [...], log likelihood of everything seen since then.
    """

    kind: IntArray
    noise: FloatArray
    mind: FloatArray
    since: IntArray
    fit: FloatArray

    def take(self, of: Any) -> Minds:
        """Copies of the minds at these indices or where this mask is true."""
        return Minds(*(getattr(self, field.name)[of] for field in fields(self)))

    def put(self, of: Any, minds: Minds) -> None:
        """Replace the minds there."""
        for field in fields(self):
            getattr(self, field.name)[of] = getattr(minds, field.name)


class Particles:
    """P minds a user, weighed by how well they explain the choices (a resample-move particle filter).

    Where the weights of a user rest on less than half of the minds, these are drawn anew by weight, and each then tries
    moves that leave the prior as it is and are accepted by the likelihood of everything seen under this mind (Gilks &
    Berzuini 2001; the moves are the preconditioned Crank-Nicolson proposals of Cotter et al. 2013). Minds change by the
    world's own chances.

    Args:
        law: of the world.
        users: B.
        steps: G, of an episode.
        count: P.
        rng: of everything drawn.
        moves: rounds of moves at each resampling.
    """

    def __init__(
        self, law: KnownLaw, users: int, steps: int, count: int, rng: np.random.Generator, moves: int = 2
    ) -> None:
        self._law, self._rng, self._moves = law, rng, moves
        self._step = 0
        self._minds = self._drawn((users, count))
        self._log_weight: FloatArray = np.zeros((users, count))
        shape = (users, steps, len(law.position_cost))
        self._seen = Seen(
            np.zeros(shape, np.int32), np.zeros(shape, np.float32), np.full(shape[:2], -1), np.zeros(shape[:2])
        )
        self._weariness = law.rested(users)
        self._change()

    @property
    def minds(self) -> FloatArray:
        """Imagined minds, float32 [B, P, D]."""
        return self._minds.mind

    @property
    def weight(self) -> FloatArray:
        """Posterior weights [B, P]; they sum to 1."""
        return _normalised(self._log_weight)

    def odds(self, rows: IntArray, of: IntArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Odds of items [B, n] against no choice, and expected rewards were they chosen.

        Args:
            rows: catalogue rows.
            of: int [B, p], minds that are asked; None: all P.

        Returns:
            float32 [B, p, n] each.
        """
        minds = self.minds if of is None else np.take_along_axis(self.minds, of[..., None], 1)
        offset = (self._law.offset(self._weariness, rows) - self._law.no_choice).astype(np.float32)
        pull = self._law.pull(minds, rows)
        return np.exp(pull + offset[:, None]), self._law.payoff(pull, rows)

    def see(self, slate: IntArray, choice: IntArray, reward: FloatArray) -> None:
        """Weigh the minds by what was shown [B, K], chosen [B] (-1 none) and earned [B]; then a step passes."""
        seen, step, everyone = self._seen, self._step, np.arange(len(slate))
        offset = self._law.offset(self._weariness, slate) - self._law.no_choice - self._law.position_cost
        seen.rows[:, step], seen.choice[:, step], seen.reward[:, step] = slate, choice, reward
        seen.offset[:, step] = np.where(first_showings(slate), offset, -np.inf)
        fit = _fit(self._law, self.minds, seen, everyone, slice(step, step + 1))[..., 0]
        self._minds.fit += fit
        self._log_weight += fit
        self._weariness = self._law.tire(self._weariness, np.where(choice < 0, -1, slate[everyone, choice]))
        self._step += 1
        few = np.flatnonzero(1.0 / (self.weight**2).sum(1) < 0.5 * self.minds.shape[1])
        size = max(BLOCK // (self.minds.shape[1] * self._step * slate.shape[1]), 1)
        for first in range(0, len(few), size):
            self._resample(few[first : first + size])
        self._change()

    def _resample(self, users: IntArray) -> None:
        """Draw the minds of some users anew by weight, and move them."""
        now = self._minds.take((users[:, None], systematic(_normalised(self._log_weight[users]), self._rng)))
        for _ in range(self._moves):
            new = self._moved(now)
            by_step = _fit(self._law, new.mind, self._seen, users, slice(0, self._step))
            new.fit = np.where(np.arange(self._step) >= now.since[..., None], by_step, 0.0).sum(-1)
            better = np.log(self._rng.random(now.fit.shape)) < new.fit - now.fit
            now.put(better, new.take(better))
        self._minds.put(users, now)
        self._log_weight[users] = 0.0

    def _moved(self, now: Minds) -> Minds:
        """Minds after moves that leave the prior as it is; their fit is yet to be known."""
        new = self._drawn(now.kind.shape)
        stride = self._rng.choice(np.array(STRIDES, np.float32), size=(*now.kind.shape, 1))
        kind = np.where(self._rng.random(now.kind.shape) < OTHER_KIND, new.kind, now.kind)
        noise = np.sqrt(1.0 - stride**2) * now.noise + stride * new.noise
        return Minds(kind, noise, self._law.minds(kind, noise).astype(np.float32), now.since, new.fit)

    def _drawn(self, shape: tuple[int, ...]) -> Minds:
        """Minds of the prior, from this step on."""
        kind, noise = draw(self._law, shape, self._rng)
        noise = noise.astype(np.float32)
        since = np.full(shape, self._step, np.int32)
        return Minds(kind, noise, self._law.minds(kind, noise).astype(np.float32), since, np.zeros(shape))

    def _change(self) -> None:
        """Replace minds that have not changed yet, by the chance that the law gives this step."""
        if chance := self._law.change(self._step):
            since = self._minds.since
            of = np.nonzero((since == 0) & (self._rng.random(since.shape) < chance))
            self._minds.put(of, self._drawn(of[0].shape))


def systematic(weight: FloatArray, rng: np.random.Generator) -> IntArray:
    """Indices [B, P] drawn by weights [B, P] on an even grid from one random start a user (Kitagawa 1996)."""
    users, count = weight.shape
    grid = (np.arange(count) + rng.random((users, 1))) / count
    # One search for all users: their cumulative weights follow each other on the line, user b in b..b+1.
    line = np.minimum(np.cumsum(weight, 1), 1.0) + np.arange(users)[:, None]
    line[:, -1] = np.arange(users) + 1.0
    found = np.searchsorted(line.ravel(), (grid + np.arange(users)[:, None]).ravel())
    drawn: IntArray = np.minimum(found.reshape(users, count) - count * np.arange(users)[:, None], count - 1)
    return drawn


def _fit(law: KnownLaw, minds: FloatArray, seen: Seen, users: IntArray, steps: slice) -> FloatArray:
    """Log likelihood [b, P, G'] of each of these steps of these users [b] under their minds [b, P, D]."""
    rows, offset = seen.rows[users, steps], seen.offset[users, steps]
    choice, reward = seen.choice[users, steps], seen.reward[users, steps]
    shape = (*minds.shape[:2], *rows.shape[1:])
    pull = law.pull(minds, rows.reshape(len(users), -1)).reshape(shape)
    logit = pull + offset[:, None]
    none = np.log1p(np.exp(logit).sum(-1))
    place = np.maximum(choice, 0)[:, None, :, None]
    chosen = np.take_along_axis(logit, np.broadcast_to(place, (*shape[:3], 1)), -1)[..., 0]
    drawn = np.take_along_axis(pull, np.broadcast_to(place, (*shape[:3], 1)), -1)[..., 0]
    row = np.take_along_axis(rows, place[:, 0], -1)[..., 0]
    flat = drawn.swapaxes(1, 2).reshape(-1, shape[1])
    told = law.outcome(flat, row.ravel(), reward.ravel()).reshape(len(users), -1, shape[1]).swapaxes(1, 2)
    fit: FloatArray = np.where(choice[:, None] >= 0, chosen + told, 0.0) - none
    return fit


def _normalised(log_weight: FloatArray) -> FloatArray:
    weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
    normalised: FloatArray = weight / weight.sum(1, keepdims=True)
    return normalised
