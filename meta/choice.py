"""The conditional logit with 'no choice': the likelihood from which every adapter infers a user's taste.

P(i | slate) = e^{v_i} / (1 + sum_j e^{v_j})   (McFadden 1974; 'no choice' has logit 0)

An event that belongs to no slate is a slate of one, so P is the logistic function.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from meta.arrays import cast, clip, namespace, plus_one, positive
from meta.spec import Slate
from meta.types import Array, Events

MAX_LOGIT = 30.0
"""Logits are clipped here: e^30 times 128 events is still a small float32."""


class Outcomes(NamedTuple):
    """What the users chose, arranged so that one product or sum goes over the slate of every event.

    D as in `Events`: the decisions where all have K events, else every event has what its slate has.

    Args:
        chosen: float [B, T], 1 where the event was chosen (reward above 0); how much it was where choices are graded.
        choices: float [B, D], number of choices in the slate, at least 1 ('no choice' is one); None where every event
            stands alone, which makes it 1.
        any_chosen: float [B, D], 1 where somebody in the slate was chosen.
        reward: float [B, D], summed reward of the slate.
        share: float [B, D], 1 / size of the event's slate, or 1 a decision; 0 where padded.
        part: float [B, D], choices * share, its part in the slate's normalisers.
        same: float [B, T, T], 1 where two events are of one slate; K where all decisions have K events; None where
            every event stands alone.
    """

    chosen: Array
    choices: Array | None
    any_chosen: Array
    reward: Array
    share: Array
    part: Array
    same: Array | int | None


def outcomes(events: Events, slate: Slate) -> Outcomes:
    """Arranges a batch of histories for the likelihood; `slate` as in `Spec`, events [B, T]."""
    real = cast(events.mask, events.reward.dtype)
    reward = events.reward * real
    chosen = choices(reward, slate)
    if slate != "logit":
        return Outcomes(chosen, None, chosen, reward, real, real, None)
    same = events.slate or _together(events, real.dtype)
    clicks, earned, size = (over_slate(x[:, None], same)[:, 0] for x in (chosen, reward, real))
    number = clip(clicks, 1.0, None)
    share = clip(size, None, 1.0) if isinstance(same, int) else real / clip(size, 1.0, None)
    return Outcomes(chosen, number, clip(clicks, None, 1.0), earned, share, number * share, same)


def _together(events: Events, dtype: Any) -> Array:
    """1 where two events are of one slate: [B, T, T]."""
    alike = events.group[:, :, None] == events.group[:, None, :]
    return cast(alike & events.mask[:, :, None] & events.mask[:, None, :], dtype)


def over_slate(x: Array, same: Array | int | None) -> Array:
    """The sum over each slate, `same` as in `Outcomes`: [B, P, T] -> [B, P, D]."""
    if same is None:
        return x
    if not isinstance(same, int):
        return x @ same
    return x.reshape(*x.shape[:-1], same, x.shape[-1] // same).sum(-2)


def times(x: Array, of: Array) -> Array:
    """Events [B, P, T] by what their decisions have [B, P, D]: [B, P, T]; either may have P = 1 for all prefixes."""
    events, decisions = x.shape[-1], of.shape[-1]
    if events == decisions:
        return x * of
    product = x.reshape(*x.shape[:-1], events // decisions, decisions) * of[..., None, :]
    return product.reshape(*product.shape[:-2], events)


def choices(reward: Array, slate: Slate) -> Array:
    """How much an event of this reward was chosen: yes or no, or its share of a choice where choices are graded."""
    return clip(reward, 0.0, 1.0) if slate == "graded" else positive(reward)


def normaliser(odds: Array, same: Array | int | None) -> Array:
    """1 + the sum of e^v over each slate: e^v [B, P, T] -> [B, P, D]."""
    return plus_one(over_slate(odds, same))


def probabilities(logits: Array, same: Array | int | None) -> Array:
    """P(event | its slate): [B, P, T] -> [B, P, T]."""
    odds = namespace(logits).exp(clip(logits, -MAX_LOGIT, MAX_LOGIT))
    return times(odds, 1.0 / normaliser(odds, same))


def expected(p: Array, seen: Outcomes) -> Array:
    """How often each event is chosen by probabilities P, n P: [B, P, T] -> [B, P, T]."""
    return p if seen.choices is None else times(p, seen.choices[:, None, :])


def residuals(logits: Array, seen: Outcomes) -> Array:
    """Derivative of the negative log-likelihood by each logit, n P - chosen: [B, P, T] -> [B, P, T]."""
    odds = namespace(logits).exp(clip(logits, -MAX_LOGIT, MAX_LOGIT))
    return _residuals(odds, normaliser(odds, seen.same), seen)


def losses(logits: Array, seen: Outcomes) -> Array:
    """Negative log-likelihood by decision or event, a slate's normaliser shared out evenly: [B, P, T] -> [B, P, D]."""
    xp, logits = namespace(logits), clip(logits, -MAX_LOGIT, MAX_LOGIT)
    return _losses(logits, xp.log1p(over_slate(xp.exp(logits), seen.same)), seen)


def likelihood(logits: Array, seen: Outcomes) -> tuple[Array, Array]:
    """`losses` and `residuals`, for little more than the price of one of them."""
    xp, logits = namespace(logits), clip(logits, -MAX_LOGIT, MAX_LOGIT)
    odds = xp.exp(logits)
    normal = normaliser(odds, seen.same)
    return _losses(logits, xp.log(normal), seen), _residuals(odds, normal, seen)


def _losses(logits: Array, log: Array, seen: Outcomes) -> Array:
    told = seen.chosen[:, None, :] * logits
    return seen.part[:, None, :] * log - (over_slate(told, seen.same) if isinstance(seen.same, int) else told)


def _residuals(odds: Array, normal: Array, seen: Outcomes) -> Array:
    p = odds / normal if seen.choices is None else times(odds, seen.choices[:, None, :] / normal)
    return p - seen.chosen[:, None, :]
