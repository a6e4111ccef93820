"""The nouns that cross the boundaries of `meta`. Symbols and shapes follow the glossary of ARCHITECTURE.md.

B users, P prefixes of a history (1 when serving), T events, G decisions, C candidates, K slate positions,
N items, F item features, A user attributes, X context features, E width of the fast vector u, H width of the session
state h, Z floats of a user's stored copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = Any
"""A numpy array or a torch tensor: the maths in `meta` is written once for both (array API)."""
Params = Mapping[str, Array]
"""The slow, shared parameters by name."""

IntArray = npt.NDArray[np.integer[Any]]
FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Events:
    """A batch of histories, oldest event first, padded at the end.

    Events of one decision (one slate) share a `group`; an event that belongs to no decision is a group of its own.
    A reward of 0 means "shown and not chosen", anything above 0 means "chosen".

    Args:
        item: int [B, T], catalogue row; -1 for padding and for items that the catalogue does not know.
        reward: float [B, T], in the range that the policy was trained on, 0 where padded.
        group: int [B, T], index of the event's decision in its history, 0, 1, 2, ... without gaps; 0 where padded.
        mask: bool [B, T], true where there is an event of a known item.
        length: int [B], number of decisions in each history (group of the last event + 1; 0 when empty).
        time_ms: int [B, T], milliseconds since 1970, 0 where padded.
        context: float [B, T, X], the context in which each event happened; None where it was not kept.
        slate: K, where every decision has K events, none or all of them real, as in an episode: then event k G + g
            stands at position k of decision g, for sums over slates are cheap along long rows; 0: decisions differ.
    """

    item: Array
    reward: Array
    group: Array
    mask: Array
    length: Array
    time_ms: Array
    context: Array | None = None
    slate: int = 0

    @property
    def users(self) -> int:
        """B, the number of histories."""
        return int(self.item.shape[0])

    def map(self, change: Callable[[Array], Array]) -> Events:
        """Every array changed in the same way: taken by rows, or turned into a tensor."""
        item, reward, group, mask, length, time_ms = map(
            change, (self.item, self.reward, self.group, self.mask, self.length, self.time_ms)
        )
        context = None if self.context is None else change(self.context)
        return Events(item, reward, group, mask, length, time_ms, context, self.slate)

    @property
    def decisions(self) -> int:
        """D, what has an age: the decisions where all have K events, else the events one by one."""
        return int(self.item.shape[1]) // (self.slate or 1)

    def apart(self) -> Events:
        """The same events one by one, oldest first, wherever they stood in slates."""
        if not self.slate:
            return self
        return replace(self.map(lambda x: x if x.ndim == 1 else in_turn(x, self.slate)), slate=0)

    def since(self, start: int) -> Events:
        """The events from a place on, which may lie within a slate; of histories whose events stand one by one."""
        newest = slice(None), slice(start, None)
        return Events(
            self.item[newest],
            self.reward[newest],
            self.group[newest],
            self.mask[newest],
            self.length,
            self.time_ms[newest],
            None if self.context is None else self.context[newest],
        )


def in_turn(x: Array, size: int) -> Array:
    """What stands by positions of slates, decision by decision: [B, K G, ...] -> [B, G K, ...]; as it is for size 0."""
    if not size:
        return x
    users, length, *wide = x.shape
    return x.reshape(users, size, length // size, *wide).swapaxes(1, 2).reshape(x.shape)


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of requests beside the users' histories.

    Args:
        attributes: float [B, A], encoded attributes of the users; all 0 where nothing is known.
        request: float [B, P, X], encoded context of the request; in control tasks the observation.
        now_ms: int [B, P], time of the request in ms since 1970; 0 where unknown.
    """

    attributes: Array
    request: Array
    now_ms: Array

    def map(self, change: Callable[[Array], Array]) -> Context:
        """Every array changed in the same way: taken by rows, or turned into a tensor."""
        return Context(change(self.attributes), change(self.request), change(self.now_ms))

    def some(self, which: slice | list[int]) -> Context:
        """Some of the P requests of everybody."""
        return Context(self.attributes, self.request[:, which], self.now_ms[:, which])


@dataclass(frozen=True, slots=True)
class Adaptation:
    """Adapted copies of a batch of users.

    Args:
        copy: float32 [B, Z], as the adapter lays it out; the prior's where the copy was not accepted.
        verdict: int8 [B], the gate's, see `meta.gate`.
        loss_before: float32 [B], mean choice loss on the history under the prior; 0 for an empty history.
        loss_after: float32 [B], the same under the adapted vector.
        events_used: int [B], events of known items that the copy has seen.
    """

    copy: FloatArray
    verdict: IntArray
    loss_before: FloatArray
    loss_after: FloatArray
    events_used: IntArray

    def map(self, change: Callable[[Array], Array]) -> Adaptation:
        """Every array changed in the same way."""
        return Adaptation(*map(change, (self.copy, self.verdict, self.loss_before, self.loss_after, self.events_used)))


@dataclass(frozen=True, slots=True)
class Ranking:
    """Ranked slates of a batch of requests; positions past a request's slate hold row -1.

    Args:
        row: int [B, K], catalogue rows, best or first drawn first.
        score: float32 [B, K], what the draw ranked by.
        q_value: float32 [B, K], Q(s, a).
        log_propensity: float32 [B, K], log probability of the item given the positions above it; 0 at temperature 0.
    """

    row: IntArray
    score: FloatArray
    q_value: FloatArray
    log_propensity: FloatArray
