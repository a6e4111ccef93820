"""From values to a slate: the exact best slate, and a Plackett-Luce draw with its propensities."""

from __future__ import annotations

import numpy as np

from meta.arrays import namespace, take, top
from meta.types import Array, BoolArray, FloatArray, IntArray

ROUNDS = 30
"""Most rounds of Dinkelbach's method; it converges superlinearly, from a good start nearly always within five."""
MAX_LOGIT = 30.0
UNAVAILABLE = -1e30
"""Score of what must not be shown; finite, so that differences stay numbers."""
STEP = 0x9E3779B97F4A7C15
"""By how much the hashes of neighbouring rows differ before they are stirred: 2^64 over the golden ratio."""


def slate_value(v: Array, advantage: Array) -> Array:
    """Expected advantage of slates, sum_i P(i | A) Adv(i) with 'no choice' (Ie et al. 2019): [..., K] -> [...]."""
    xp = namespace(v)
    odds = xp.exp(xp.clip(v, -MAX_LOGIT, MAX_LOGIT))
    return xp.sum(odds * advantage, axis=-1) / (1.0 + xp.sum(odds, axis=-1))


def slate_scores(v: Array, advantage: Array, valid: Array, slate_size: int) -> Array:
    """Each item's share e^v (Adv - theta) of the best slate's value theta (Dinkelbach 1967).

    The `slate_size` items of the largest score are the slate of that fixed size with the largest expected advantage,
    found in O(C) without a linear program; correct with negative advantages. It starts from the items of the largest
    advantages, which is closer than theta = 0 the more candidates there are.

    Args:
        v: float [..., C], choice logits.
        advantage: float [..., C], advantages.
        valid: bool [..., C], what may be shown.
        slate_size: K <= C.

    Returns:
        float [..., C], `UNAVAILABLE` where not valid.
    """
    xp = namespace(v)
    odds = xp.exp(xp.clip(v, -MAX_LOGIT, MAX_LOGIT))

    def worth(key: Array) -> Array:
        """The value of the slate of the largest keys."""
        best = top(xp.where(valid, key, UNAVAILABLE), slate_size, ordered=False)
        chosen = xp.where(take(valid, best), take(odds, best), 0.0)
        value = xp.sum(chosen * take(advantage, best), axis=-1) / (1.0 + xp.sum(chosen, axis=-1))
        return value[..., None]

    theta = worth(advantage)
    for _ in range(ROUNDS):
        before, theta = theta, worth(odds * (advantage - theta))
        if bool(xp.all(settled(before, theta, xp.finfo(theta.dtype).eps))):
            break
    return xp.where(valid, odds * (advantage - theta), UNAVAILABLE)


def settled(before: Array, theta: Array, eps: float) -> Array:
    """Whether a round of Dinkelbach's method has changed values by no more than rounding does."""
    return abs(theta - before) <= 4 * eps * (1.0 + abs(theta))


def drop_repeats(rows: IntArray) -> None:
    """Leaves the first of equal rows in each request [B, C], in place; the others become padding."""
    ordered = np.sort(rows, axis=1)
    same = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if not same.any():
        return
    for i in np.flatnonzero(same.any(axis=1)).tolist():
        order = np.argsort(rows[i], kind="stable")
        rows[i, order[1:][rows[i, order[1:]] == rows[i, order[:-1]]]] = -1


def gumbel_noise(seed: IntArray, name: IntArray) -> FloatArray:
    """Standard Gumbel noise from a hash of (seed, item): a draw is reproducible and independent of candidate order.

    Args:
        seed: uint64 [B].
        name: int [B, C], what tells items apart: their rows, or hashes of their ids.
    """
    return gumbel(noise_bits(seed.astype(np.uint64)[:, None], name))


def noise_bits(seed: np.uint64 | IntArray, name: IntArray) -> IntArray:
    """The hash of (seed, item), uint64: splitmix64 (Steele et al. 2014) in place of a generator's stream."""
    with np.errstate(over="ignore"):
        z = seed + (name.astype(np.uint64) + np.uint64(1)) * np.uint64(STEP)
    return finish(stir(z))


def stir(z: IntArray) -> IntArray:
    """All of the hash but its last step, in place, from seed + (name + 1) STEP as uint64."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    return z


def finish(z: IntArray) -> IntArray:
    """The last step of the hash, which leaves the highest 31 bits as they are."""
    done: IntArray = z ^ (z >> np.uint64(31))
    return done


def gumbel(bits: IntArray) -> FloatArray:
    """Standard Gumbel noise from uniform 64 bits, any shape."""
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    noise: FloatArray = -np.log(-np.log(uniform))
    return noise


def plackett_luce(
    scores: FloatArray, valid: BoolArray, temperature: FloatArray, noise: FloatArray, size: int
) -> tuple[IntArray, FloatArray]:
    """Draws slates in proportion to e^(score / temperature) without replacement (Plackett 1975), by the Gumbel trick.

    Args:
        scores: float [B, C].
        valid: bool [B, C], what may be shown.
        temperature: float [B], in units of the scores; 0 takes the best scores with certainty.
        noise: float [B, C], standard Gumbel; ignored at temperature 0.
        size: K <= C.

    Returns:
        int [B, K] drawn positions in the candidates, and float [B, K] log propensity given the positions above;
        past the last valid candidate the position is -1 and the propensity 0.
    """
    warm = temperature > 0
    scale = np.where(warm, temperature, 1.0)[:, None]
    log_weight = np.where(valid, scores / scale, -np.inf)
    keys = np.where(warm[:, None], log_weight + noise, log_weight) if warm.any() else log_weight
    drawn = top(keys, size)
    filled = take(valid, drawn)
    propensity = np.zeros(drawn.shape)
    if warm.any():
        rest = log_weight.copy()
        rest[np.arange(len(rest))[:, None], drawn] = -np.inf
        propensity = np.where(warm[:, None] & filled, _given_above(take(log_weight, drawn), rest), 0.0)
    return np.where(filled, drawn, -1), propensity


def log_propensities(
    scores: FloatArray, valid: BoolArray, temperature: FloatArray, shown: IntArray, slate_size: IntArray
) -> FloatArray:
    """With which propensities `plackett_luce` would have drawn slates that somebody else has shown.

    Args:
        scores, valid, temperature: as there.
        shown: int [B, K], positions in the candidates; -1 where it shows what is not among them.
        slate_size: int [B], positions of each slate, 0..K.

    Returns:
        float [B, K], log propensity given the positions above; -inf where impossible, 0 past the end of a slate.
    """
    inside = np.arange(shown.shape[1]) < slate_size[:, None]
    at = np.where(shown >= 0, shown, 0)
    possible = (shown >= 0) & take(valid, at)
    warm = temperature > 0
    found = np.empty(shown.shape)
    if warm.any():
        log_weight = np.where(valid, scores / np.where(warm, temperature, 1.0)[:, None], -np.inf)
        # What is past the end or impossible stands behind all others, where it takes nothing from those above.
        real = inside & possible
        picked = np.where(real, take(log_weight, at), -np.inf)
        log_weight[np.nonzero(real)[0], at[real]] = -np.inf
        found = np.where(possible, _given_above(picked, log_weight), -np.inf)
    if not warm.all():
        best = top(np.where(valid, scores, -np.inf), min(shown.shape[1], scores.shape[1]))
        best = np.pad(best, ((0, 0), (0, shown.shape[1] - best.shape[1])), constant_values=-1)
        found = np.where(warm[:, None], found, np.where(possible & (best == shown), 0.0, -np.inf))
    return np.where(inside, found, 0.0)


def _given_above(picked: FloatArray, rest: FloatArray) -> FloatArray:
    """Log propensities [B, K] given the positions above, from the log weights of a slate and of the others [B, C]."""
    # Add up what remains from the end: subtracting what was drawn from the total would cancel.
    upward = np.concatenate([_log_sum(rest)[:, None], picked[:, ::-1]], axis=-1)
    below = np.logaddexp.accumulate(upward, axis=-1)[:, :0:-1]
    with np.errstate(invalid="ignore"):
        found: FloatArray = np.minimum(picked - below, 0.0)
    return found


def _log_sum(x: FloatArray) -> FloatArray:
    """Log sum e^x along the last axis; -inf where all are."""
    peak = np.maximum(x.max(axis=-1, initial=-np.inf), UNAVAILABLE)
    with np.errstate(divide="ignore"):
        total: FloatArray = peak + np.log(np.exp(x - peak[:, None]).sum(axis=-1))
    return total
