"""The best of very many: what `meta.ranking` takes from arrays of candidates, from a whole catalogue read in blocks.

One user at a time, all N items, in blocks that stay in the processor's cache. Whatever cannot be among the best K any
more is left behind by one comparison, so that a pass costs little more than reading. The results are the same: the
exact best slate, the exact Plackett-Luce draw, exact propensities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from meta.ranking import ROUNDS, STEP, finish, gumbel, settled, stir
from meta.types import FloatArray, IntArray

BLOCK = 16_384
"""Items read at once: a block of floats and of 64-bit hashes stay in the nearer caches."""
SHORT = 256
"""Items that are kept in mind while the value of the best slate is sought."""

_EPS = float(np.finfo(np.float32).eps)
_STEPS = np.arange(BLOCK, dtype=np.uint64) * np.uint64(STEP)
Values = Callable[[slice | IntArray], FloatArray]
"""The values [n] of some items; -inf where one must not be shown."""


def blocks(items: int) -> Iterator[slice]:
    """The items 0..items-1, block by block."""
    return (slice(start, min(start + BLOCK, items)) for start in range(0, items, BLOCK))


class Names:
    """What the noise of all items is made from: the first rows are their own names, the others have some.

    Args:
        own: rows that are their own names.
        others: uint64 [N - own], the names of those behind them.
    """

    def __init__(self, own: int, others: npt.NDArray[np.uint64]) -> None:
        self._own, self._others = own, others

    def stirred(self, seed: int, part: slice) -> IntArray:
        """The hashes of (seed, item) of neighbouring items before their last step, uint64 [n]."""
        z = _STEPS[: part.stop - part.start] + np.uint64((seed + (part.start + 1) * STEP) % 2**64)
        if part.stop > self._own:
            first = max(part.start, self._own)
            names = self._others[first - self._own : part.stop - self._own]
            with np.errstate(over="ignore"):
                z[first - part.start :] = np.uint64(seed) + (names + np.uint64(1)) * np.uint64(STEP)
        return stir(z)


class _Best:
    """The K largest keys met so far, largest first, of equal keys the one that was met first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.place: IntArray = np.zeros(0, np.int64)
        self.key: FloatArray = np.zeros(0)
        self.low = -np.inf
        """What a key must exceed to be among them."""

    def meet(self, place: IntArray, key: FloatArray) -> None:
        """Takes in the keys [n] of further items."""
        if key.size > self._size:  # only so many of a block can be among the best of all
            stay = key >= np.partition(key, -self._size)[-self._size]
            place, key = place[stay], key[stay]
        place, key = np.concatenate([self.place, place]), np.concatenate([self.key, key])
        order = np.argsort(-key, kind="stable")[: self._size]
        self.place, self.key = place[order], key[order]
        if len(self.key) == self._size:
            self.low = float(self.key[-1])


class Shortlist:
    """The best items by their share e^v (Adv - theta) of a slate's value, for one theta after the other.

    A share falls as theta rises. So what was not among the `SHORT` best before cannot be among the best now, as long as
    these are better than the last of the short list was: then nothing else has to be looked at.

    Args:
        odds: float [N], e^v of the items.
        advantage: float [N], -inf where an item must not be shown.
    """

    def __init__(self, odds: FloatArray, advantage: FloatArray) -> None:
        self._odds, self._advantage = odds, advantage
        self._place: IntArray = np.zeros(0, np.int64)
        self._theta, self._least = np.inf, np.inf

    def shares(self, theta: float) -> Values:
        """Each item's share."""
        return lambda part: self._odds[part] * (self._advantage[part] - np.float32(theta))

    def best(self, theta: float, size: int) -> IntArray:
        """The `size` items of the largest shares, largest first, fewer where fewer may be shown."""
        if theta >= self._theta:
            share = self.shares(theta)(self._place)
            order = np.argsort(-share, kind="stable")[:size]
            if self._least == -np.inf or (order.size == size and share[order[-1]] > self._least):
                return self._place[order]
        self._place = leading(self.shares(theta), len(self._odds), max(SHORT, 4 * size))
        whole = len(self._place) == max(SHORT, 4 * size)
        self._theta, self._least = theta, float(self.shares(theta)(self._place[-1:])[0]) if whole else -np.inf
        return self._place[:size]

    def value(self, size: int) -> float:
        """The value theta of the best slate of a fixed size, by Dinkelbach's method as in `ranking.slate_scores`."""
        theta = self._worth(leading(self._advantage.__getitem__, len(self._odds), size))
        for _ in range(ROUNDS):
            before, theta = theta, self._worth(self.best(theta, size))
            if settled(before, theta, _EPS):
                break
        return theta

    def _worth(self, items: IntArray) -> float:
        chosen = self._odds[items]
        return float((chosen * self._advantage[items]).sum() / (1.0 + chosen.sum()))


def slate(
    odds: FloatArray | None, advantage: FloatArray, size: int, temperature: float, seed: int, names: Names
) -> tuple[IntArray, FloatArray, FloatArray]:
    """One user's slate from all items.

    Args:
        odds: float [N], e^v of the items; None where items are judged alone, by their advantage.
        advantage: float [N], -inf where an item must not be shown.
        size: K <= N.
        temperature, seed, names: as in `draw`; at temperature 0 it is the best slate.

    Returns:
        int [<= K] items, float [<= K] their scores, and float [<= K] log propensity given the positions above.
    """
    scores: Values = advantage.__getitem__
    short: Shortlist | None = None
    if odds is not None:
        short = Shortlist(odds, advantage)
        theta = short.value(size)
        scores = short.shares(theta)
    if temperature > 0:
        chosen, propensity = draw(scores, len(advantage), size, temperature, seed, names)
    else:
        chosen = leading(scores, len(advantage), size) if short is None else short.best(theta, size)
        propensity = np.zeros(len(chosen))
    return chosen, scores(chosen), propensity


def leading(values: Values, items: int, size: int) -> IntArray:
    """The `size` items of the largest values, largest first, fewer where fewer may be shown: int [<= size]."""
    best = _Best(size)
    for part in blocks(items):
        x = values(part)
        at = np.flatnonzero(x > best.low)
        if at.size:
            best.meet(at + part.start, x[at])
    return best.place


def draw(
    values: Values, items: int, size: int, temperature: float, seed: int, names: Names
) -> tuple[IntArray, FloatArray]:
    """Draws a slate as `ranking.plackett_luce` does, with the same noise.

    Every weight is added up, and every hash is stirred; but only where its highest bits could lift a block's largest
    score above the K best keys so far it becomes noise.

    Args:
        values: scores of the items.
        items: N.
        size: K.
        temperature: above 0, in units of the scores.
        seed: of the draw.
        names: of the items.

    Returns:
        int [<= K] items as drawn, and float [<= K] log propensity given the positions above.
    """
    best, rest = _Best(size), -np.inf
    weight: dict[int, float] = {}  # log weights of the best
    for part in blocks(items):
        x = np.asarray(values(part) / np.float32(temperature))
        peak = float(x.max())
        if peak == -np.inf:
            continue
        bits = names.stirred(seed, part)
        at = np.flatnonzero(bits >= _least_bits(best.low - peak))
        key = x[at] + gumbel(finish(bits[at]))
        at, key = at[key > best.low], key[key > best.low]
        if at.size:
            best.meet(at + part.start, key)
            fallen = [weight.pop(place) for place in weight.keys() - set(best.place.tolist())]
            rest = float(np.logaddexp.reduce([rest, *fallen]))
            inside = best.place[best.place >= part.start] - part.start
            weight |= zip((inside + part.start).tolist(), x[inside].tolist(), strict=True)
            x[inside] = -np.inf
            peak = float(x.max())  # what is left may be far below
        rest = float(np.logaddexp(rest, _log_sum(x, peak)))
    picked = np.array([weight[place] for place in best.place.tolist()])
    # Add up what remains from the end: subtracting what was drawn from the total would cancel.
    below = np.logaddexp.accumulate(np.concatenate([[rest], picked[::-1]]))[:0:-1]
    return best.place, np.minimum(picked - below, 0.0)


def _least_bits(noise: float) -> np.uint64:
    """What stirred bits must reach to become Gumbel noise -log(-log u) above this, rounded down to what is settled."""
    tail = -math.expm1(-math.exp(min(-noise, 700.0)))  # 1 - u
    return np.uint64(max(0, int(2**31 * (1 - tail * (1 + 1e-6))) - 1) << 33)


def _log_sum(x: FloatArray, peak: float) -> float:
    """Log sum e^x of values whose largest is the peak; -inf where all are."""
    return peak + math.log(np.exp(x - np.float32(peak)).sum()) if peak > -np.inf else peak
