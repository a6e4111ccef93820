"""Decisions that a service has logged, as experience: what was shown, how likely, what came of it, and what was known.

n decisions and m events, both by user and in the order of time; a user's history before a decision are their events
recorded until then, in the order in which they were recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meta.types import BoolArray, Events, FloatArray, IntArray

LONGEST = 4
"""Events of one window's history, by those that a place sees: of a longer one only the end is read."""


@dataclass(frozen=True)
class Logbook:
    """A log in the rows of a catalogue.

    Args:
        user: int [n], whose each decision is; equal ones stand together.
        time_ms: int64 [n].
        offer: int32 [n, C], rows that could be shown, -1 where padded; all -1 where the whole catalogue could.
        slate: int32 [n, K], rows shown, first position first, -1 past the end.
        log_propensity: float32 [n], of the slate.
        reward: float32 [n, K], of each position; above 0: chosen.
        begin: int64 [n], the user's first event.
        seen: int64 [n], how many events of the user had been recorded.
        end: int64 [n], past the user's last event.
        context: float32 [n, X].
        item: int32 [m], rows, -1 where unknown.
        event_reward: float32 [m].
        event_time_ms: int64 [m].
        tag: uint8 [m], `meta.histories.tag` of the decision that each event names.
    """

    user: IntArray
    time_ms: IntArray
    offer: IntArray
    slate: IntArray
    log_propensity: FloatArray
    reward: FloatArray
    begin: IntArray
    seen: IntArray
    end: IntArray
    context: FloatArray
    item: IntArray
    event_reward: FloatArray
    event_time_ms: IntArray
    tag: IntArray

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def first(self) -> IntArray:
        """The first decision of each one's user, [n]."""
        return np.searchsorted(self.user, self.user, "left")

    @cached_property
    def last(self) -> IntArray:
        """The last decision of each one's user, [n]."""
        return np.searchsorted(self.user, self.user, "right") - 1

    @cached_property
    def alike(self) -> bool:
        """Whether every slate left an event for each of its K positions, one after the other."""
        size, place = self.slate.shape[1], self._place
        goes_on = np.append(False, self.tag[1:] == self.tag[:-1])[: len(place)]
        ends = np.append(place[1:] == 0, True)[: len(place)]
        within = (self.tag > 0) & ((place % size == 0) | goes_on) & (~ends | (place % size == size - 1))
        return bool(within.all() and (self.item >= 0).all())

    @cached_property
    def group(self) -> IntArray:
        """Which slate each event belongs to, counted through all events, [m].

        By the rule of `histories`; but where slates are `alike`, two in a row with one tag by chance are two.
        """
        if self.alike:
            starts = self._place % self.slate.shape[1] == 0
        else:
            starts = (self.tag == 0) | (self._place == 0)
            starts[1:] |= self.tag[1:] != self.tag[:-1]
        group: IntArray = np.cumsum(starts) - 1
        return group

    @cached_property
    def _place(self) -> IntArray:
        """Place of each event among its user's, [m]."""
        begins = np.zeros(len(self.item), np.int64)
        of_users = self.begin[self.begin < self.end]
        begins[of_users] = of_users
        place: IntArray = np.arange(len(begins)) - np.maximum.accumulate(begins)
        return place

    @cached_property
    def events_by_slate(self) -> float:
        """How many events a slate leaves in a history, the mean; 1 where nothing was recorded."""
        return len(self.group) / (int(self.group[-1]) + 1) if len(self.group) else 1.0

    def starts(self, count: int, length: int, rng: np.random.Generator) -> IntArray:
        """Draw where windows of so many decisions begin, users in proportion to their decisions: [count]."""
        drawn = rng.integers(len(self), size=count)
        first, last = self.first[drawn], self.last[drawn]
        spare = np.maximum(last - first + 2 - length, 1)
        start: IntArray = first + rng.integers(spare)
        return start

    def window(self, start: IntArray, length: int) -> tuple[IntArray, BoolArray]:
        """Decisions [B, length] from these on, and which there are; a user's last stands for those that are not."""
        at = start[:, None] + np.arange(length)
        last = self.last[start][:, None]
        return np.minimum(at, last), at <= last

    def histories(self, at: IntArray, over: BoolArray, cap: int) -> tuple[Events, IntArray]:
        """What was known at places of one user each, in one history.

        Args:
            at: int [B, P], decisions in the order of time.
            over: bool [B, P], where the place is after the user's last decision: all events are known.
            cap: newest events, at least, that the first place sees; whole slates.

        Returns:
            Histories [B, T], and int [B, P], how many slates of them were known at each place. One whose events had
            been recorded in part only is not known yet.
        """
        begin, end = self.begin[at[:, 0]], self.end[at[:, 0]]
        known = np.where(over, end[:, None] - begin[:, None], self.seen[at])
        high = begin + known.max(1)
        if self.alike:  # up to the end of a slate; what is not known of it yet is no part of any prefix
            high = begin - -(high - begin) // self.slate.shape[1] * self.slate.shape[1]
        low = np.maximum(begin + np.maximum(known[:, 0] - cap, 0), high - LONGEST * cap)
        if not len(self.group):
            return _nothing(len(at)), np.zeros(at.shape, np.int64)
        whole = np.searchsorted(self.group, self.group[np.minimum(low, len(self.group) - 1)])
        low = np.where(low < end, np.maximum(whole, begin), low)
        place = low[:, None] + np.arange(int((high - low).max(initial=0)))
        inside = place < high[:, None]
        place = np.where(inside, place, 0)
        # Slates before the first event that is not known at a place are known there.
        unknown = begin[:, None] + known
        groups = np.append(self.group, self.group[-1] + 1)
        first = groups[np.minimum(low, len(self.group))][:, None]
        following = np.where(unknown < end[:, None], groups[unknown], groups[np.maximum(end - 1, 0)][:, None] + 1)
        prefix = np.where(unknown > low[:, None], following - first, 0)
        group = np.where(inside, self.group[place] - first, 0)
        item = np.where(inside, self.item[place], -1)
        events = Events(
            item,
            np.where(inside, self.event_reward[place], np.float32(0)),
            group,
            item >= 0,
            np.where(inside.any(1), group.max(1, initial=0) + 1, 0),
            np.where(inside, self.event_time_ms[place], 0),
            slate=self.slate.shape[1] if self.alike else 0,
        )
        return events, prefix


def _nothing(users: int) -> Events:
    empty = np.zeros((users, 0), np.int64)
    none = np.zeros(users, np.int64)
    return Events(empty, empty.astype(np.float32), empty, empty.astype(bool), none, empty)
