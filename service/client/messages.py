"""Short ways to write the messages that a client sends."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import uuid4

from meta.errors import InputError
from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client.results import Slate

Value = float | str | Sequence[str] | Sequence[float]
"""A number; one word; several words; or a vector."""


def event(
    user_id: str,
    item_id: str,
    reward: float = 1.0,
    *,
    event_id: str = "",
    time_at: datetime | None = None,
    decision_id: str = "",
    position: int = 0,
) -> pb.Event:
    """What a user did with an item.

    Args:
        reward: how good it was; 0: shown and not chosen.
        event_id: the name by which a repetition is known; empty: a new one.
        time_at: when, with a time zone; None: now by this machine's clock, however late it is sent.
        decision_id: of the slate that showed the item.
        position: in that slate, first is 1; 0: unknown.

    Raises:
        InputError: the time says no time zone.
    """
    if time_at is not None and time_at.tzinfo is None:
        raise InputError(f"the time of an event must have a time zone, got {time_at.isoformat()}")
    told = pb.Event(
        event_id=event_id or uuid4().hex,
        user_id=user_id,
        item_id=item_id,
        reward=reward,
        decision_id=decision_id,
        position=position,
    )
    told.time.FromMilliseconds(time.time_ns() // 1_000_000 if time_at is None else round(time_at.timestamp() * 1000))
    return told


def answers(user_id: str, slate: Slate, rewards: Mapping[str, float]) -> list[pb.Event]:
    """What a user did with a whole slate: an event for each position, 0 for what was shown and not chosen.

    Args:
        slate: as it was shown.
        rewards: what items of it earned, by id.

    Raises:
        InputError: the slate does not hold an item that earned something.
    """
    if absent := sorted(rewards.keys() - set(slate.item_ids)):
        raise InputError(f"rewards must be of items of the slate, not so {absent[0]!r}")
    return [
        event(user_id, item, rewards.get(item, 0.0), decision_id=slate.decision_id, position=at)
        for at, item in enumerate(slate.item_ids, start=1)
    ]


def context(**values: float | str | Sequence[str]) -> pb.Context:
    """The context of a request: numbers, words, or several words at once, by name.

    Raises:
        InputError: a value is none of these.
    """
    told = pb.Context()
    for name, value in values.items():
        if isinstance(value, str):
            told.categories[name] = value
        elif isinstance(value, Sequence):
            told.categories[name] = "|".join(_words(name, value))
        else:
            told.numbers[name] = value
    return told


def attributes(**values: Value) -> pb.Attributes:
    """What is known of a user: numbers, words, several words, or vectors of numbers, by name.

    Raises:
        InputError: a sequence is empty, or of words and numbers.
    """
    told = pb.Attributes()
    for name, value in values.items():
        if isinstance(value, str):
            told.categories[name].values.append(value)
        elif not isinstance(value, Sequence):
            told.numbers[name] = value
        elif value and not isinstance(value[0], str):
            told.vectors[name].values.extend(_numbers(name, value))
        else:
            told.categories[name].values.extend(_words(name, value))
    return told


def _words(name: str, values: Sequence[object]) -> list[str]:
    words = [value for value in values if isinstance(value, str)]
    if not words or len(words) < len(values):
        raise InputError(f"{name} must be one or more words, or numbers only, got {list(values)}")
    return words


def _numbers(name: str, values: Sequence[object]) -> list[float]:
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    if len(numbers) < len(values):
        raise InputError(f"{name} must be numbers only, or words only, got {list(values)}")
    return numbers
