"""The best of very many: what `meta.ranking` takes from arrays of candidates, from a whole catalogue read in blocks.

One user at a time, all N items, in blocks that stay in the processor's cache. Whatever cannot be among the best K any
more is left behind by one comparison, so that a pass costs little more than reading. The results are the same: the
exact best slate, the exact Plackett-Luce draw, exact propensities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from meta.ranking import ROUNDS, gumbel, noise_bits
from meta.types import FloatArray, IntArray

BLOCK = 16_384
"""Items read at once: a block of floats and of 64-bit hashes stay in the nearer caches."""
SHORT = 256
"""Items that are kept in mind while the value of the best slate is sought."""
SLACK = 1e-3
"""By which upper bounds in single precision are raised, in units of keys, and a thousandth of it by their size."""

Values = Callable[[slice | IntArray], FloatArray]
"""The values [n] of some items; -inf where one must not be shown."""
Names = Callable[[slice], IntArray]
"""What the noise of some neighbouring items is made from, int [n]."""


def blocks(items: int) -> Iterator[slice]:
    """The items 0..items-1, block by block."""
    return (slice(start, min(start + BLOCK, items)) for start in range(0, items, BLOCK))


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
        theta = 0.0
        for _ in range(ROUNDS):
            best = self.best(theta, size)
            chosen = self._odds[best]
            theta = float((chosen * self._advantage[best]).sum() / (1.0 + chosen.sum()))
        return theta


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

    An item's Gumbel noise is -log(-log u) <= -log(1 - u), of which the upper half of the hash already gives a bound:
    only items that this bound lifts above the K best keys so far are looked at more closely.

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
        bits = noise_bits(np.uint64(seed), names(part))
        within = SLACK + 1e-3 * SLACK * abs(best.low) if np.isfinite(best.low) else 0.0
        at = np.flatnonzero(x + _most_noise(bits) > best.low - within)
        key = x[at] + gumbel(bits[at])
        at, key = at[key > best.low], key[key > best.low]
        if at.size:
            best.meet(at + part.start, key)
            fallen = [weight.pop(place) for place in weight.keys() - set(best.place.tolist())]
            rest = float(np.logaddexp.reduce([rest, *fallen]))
            inside = best.place[best.place >= part.start] - part.start
            weight |= zip((inside + part.start).tolist(), x[inside].tolist(), strict=True)
            x[inside] = -np.inf
        rest = float(np.logaddexp(rest, _log_sum(x)))
    picked = np.array([weight[place] for place in best.place.tolist()])
    # Add up what remains from the end: subtracting what was drawn from the total would cancel.
    below = np.logaddexp.accumulate(np.concatenate([[rest], picked[::-1]]))[:0:-1]
    return best.place, np.minimum(picked - below, 0.0)


def _most_noise(bits: IntArray) -> FloatArray:
    """Upper bounds of the Gumbel noise that hashes uint64 [n] make: float32 [n]."""
    short = (~(bits >> np.uint64(32)).astype(np.uint32)).astype(np.float32)  # (1 - u) 2^32, rounded down
    bound: FloatArray = np.float32(32 * np.log(2)) - np.log(np.maximum(short, np.float32(2.0**-22)))
    return bound


def _log_sum(x: FloatArray) -> float:
    """Log sum e^x; -inf where all are."""
    peak = float(x.max())
    return peak + float(np.log(np.exp(x - np.float32(peak)).sum())) if peak > -np.inf else peak
