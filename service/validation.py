"""The rules of the contract for every field, written by hand: the hot request costs microseconds."""

from __future__ import annotations

import math

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.errors import InvalidFieldError

MAX_ID_BYTES = 256
MAX_EVENT_ID_BYTES = 128
MAX_DECISION_ID_BYTES = 128
MAX_CANDIDATES = 10_000
MAX_SLATE = 100
DEFAULT_SLATE = 10
MAX_EVENTS = 1_000
MAX_USERS = 1_000
MAX_ITEMS = 1_000
MAX_ATTRIBUTE_BYTES = 16_384
MAX_NAMES = 64
MAX_NAME_BYTES = 128
MAX_WORDS = 64
MAX_VECTOR = 1_024
MAX_FUTURE_MS = 5 * 60_000
_MODES = frozenset(pb.Mode.values())


def check_recommend(request: pb.RecommendRequest) -> None:
    """Checks all but the lengths of candidate ids, which `check_unknown` does for the few that the catalogue lacks.

    Raises:
        InvalidFieldError: the first field that breaks a rule.
    """
    check_user_id(request.user_id)
    if (n := len(request.candidate_ids)) > MAX_CANDIDATES:
        raise InvalidFieldError("candidate_ids", f"must hold 0..{MAX_CANDIDATES:,} ids, got {n:,}")
    if request.slate_size > MAX_SLATE:
        raise InvalidFieldError(
            "slate_size", f"must be in 1..{MAX_SLATE}, or 0 for {DEFAULT_SLATE}, got {request.slate_size}"
        )
    if request.mode not in _MODES:
        raise InvalidFieldError("mode", f"must be one of 0..{len(_MODES) - 1}, got {request.mode}")
    if request.mode == pb.MODE_BASELINE and not request.candidate_ids:
        raise InvalidFieldError("candidate_ids", f"must hold 1..{MAX_CANDIDATES:,} ids in mode BASELINE, got 0")
    if (n := len(request.excluded_ids)) > MAX_CANDIDATES:
        raise InvalidFieldError("excluded_ids", f"must hold 0..{MAX_CANDIDATES:,} ids, got {n:,}")
    if request.HasField("context"):
        check_context(request.context)
    if request.decision_id and (size := _size(request.decision_id)) > MAX_DECISION_ID_BYTES:
        raise InvalidFieldError("decision_id", f"must have 0..{MAX_DECISION_ID_BYTES} bytes, got {size:,}")


def check_context(context: pb.Context) -> None:
    """Raises InvalidFieldError for too many or too long names, long categories, and numbers that are not finite."""
    for field, named in (("numbers", context.numbers), ("categories", context.categories)):
        if (n := len(named)) > MAX_NAMES:
            raise InvalidFieldError(f"context.{field}", f"must hold 0..{MAX_NAMES} names, got {n}")
        for name in named:
            _check_name(f"context.{field}", name)
    for name, number in context.numbers.items():
        _check_finite(f'context.numbers["{name}"]', number)
    for name, word in context.categories.items():
        if (size := _size(word)) > MAX_ID_BYTES:
            raise InvalidFieldError(f'context.categories["{name}"]', f"must have 0..{MAX_ID_BYTES} bytes, got {size:,}")


def check_users(request: pb.UpsertUsersRequest) -> None:
    """Raises InvalidFieldError for a wrong number of users and for the first field of one that breaks a rule."""
    _check_count("users", "users", len(request.users), MAX_USERS)
    for i, user in enumerate(request.users):
        _check_id(f"users[{i}].user_id", user.user_id)
        _check_attributes(f"users[{i}].attributes", user.attributes)


def check_items(request: pb.UpsertItemsRequest) -> None:
    """Raises InvalidFieldError for a wrong number of items and for the first field of one that breaks a rule."""
    _check_count("items", "items", len(request.items), MAX_ITEMS)
    for i, item in enumerate(request.items):
        _check_id(f"items[{i}].item_id", item.item_id)
        _check_attributes(f"items[{i}].features", item.features)


def check_item_ids(request: pb.DeleteItemsRequest) -> None:
    """Raises InvalidFieldError for a wrong number of ids and for the first one that breaks a rule."""
    _check_count("item_ids", "ids", len(request.item_ids), MAX_ITEMS)
    for i, item_id in enumerate(request.item_ids):
        _check_id(f"item_ids[{i}]", item_id)


def _check_attributes(path: str, told: pb.Attributes) -> None:
    if (size := told.ByteSize()) > MAX_ATTRIBUTE_BYTES:
        raise InvalidFieldError(path, f"must have at most {MAX_ATTRIBUTE_BYTES:,} bytes, got {size:,}")
    for field, named in (("numbers", told.numbers), ("categories", told.categories), ("vectors", told.vectors)):
        for name in named:
            _check_name(f"{path}.{field}", name)
    for name, number in told.numbers.items():
        _check_finite(f'{path}.numbers["{name}"]', number)
    for name in told.categories:
        words, field = told.categories[name].values, f'{path}.categories["{name}"]'
        _check_count(field, "words", len(words), MAX_WORDS)
        for word in words:
            if problem := id_problem(word, MAX_ID_BYTES):
                raise InvalidFieldError(field, problem.replace("must have", "must have words of"))
    for name in told.vectors:
        numbers, field = told.vectors[name].values, f'{path}.vectors["{name}"]'
        _check_count(field, "numbers", len(numbers), MAX_VECTOR)
        for number in numbers:
            _check_finite(field, number)


def _check_name(field: str, name: str) -> None:
    if problem := id_problem(name, MAX_NAME_BYTES):
        raise InvalidFieldError(field, problem.replace("must have", "must have names of"))


def _check_count(field: str, noun: str, n: int, most: int) -> None:
    if not 1 <= n <= most:
        raise InvalidFieldError(field, f"must hold 1..{most:,} {noun}, got {n:,}")


def _check_id(field: str, text: str, limit: int = MAX_ID_BYTES) -> None:
    if problem := id_problem(text, limit):
        raise InvalidFieldError(field, problem)


def _check_finite(field: str, number: float) -> None:
    if not math.isfinite(number):
        raise InvalidFieldError(field, f"must be finite, got {number}")


def check_unknown(unknown: list[str]) -> None:
    """Checks candidates that the catalogue does not know; those that it knows have the right length.

    Raises:
        InvalidFieldError: one is empty or too long.
    """
    for item_id in unknown:
        if problem := id_problem(item_id, MAX_ID_BYTES):
            raise InvalidFieldError("candidate_ids", problem.replace("must have", "must have ids of"))


def check_user_id(user_id: str) -> None:
    """Raises InvalidFieldError unless the id has 1 to 256 bytes."""
    _check_id("user_id", user_id)


def check_activation(request: pb.ActivateDecisionRequest) -> None:
    """Raises InvalidFieldError unless user and decision are named."""
    check_user_id(request.user_id)
    _check_id("decision_id", request.decision_id, MAX_DECISION_ID_BYTES)


def check_events(request: pb.RecordEventsRequest) -> None:
    """Raises InvalidFieldError unless the call holds 1 to 1,000 events."""
    _check_count("events", "events", len(request.events), MAX_EVENTS)


def event_problem(event: pb.Event, now_ms: int) -> str:
    """The first rule that an event breaks, with field and value; empty where it breaks none."""
    for name, limit in (("event_id", MAX_EVENT_ID_BYTES), ("user_id", MAX_ID_BYTES), ("item_id", MAX_ID_BYTES)):
        if problem := id_problem(getattr(event, name), limit):
            return f"{name} {problem}"
    if not math.isfinite(event.reward):
        return f"reward must be finite, got {event.reward}"
    if event.decision_id and (size := _size(event.decision_id)) > MAX_DECISION_ID_BYTES:
        return f"decision_id must have 0..{MAX_DECISION_ID_BYTES} bytes, got {size:,}"
    if event.position > MAX_SLATE:
        return f"position must be in 0..{MAX_SLATE}, got {event.position}"
    if event.HasField("time"):
        if event.time.seconds < 0 or not 0 <= event.time.nanos < 1_000_000_000:
            return f"time must be a valid time since 1970, got {event.time.seconds} s {event.time.nanos} ns"
        if (ahead := time_ms(event) - now_ms) > MAX_FUTURE_MS:
            return f"time must be at most {MAX_FUTURE_MS // 1000} s in the future, got {ahead / 1000:.0f} s"
    return ""


def time_ms(event: pb.Event) -> int:
    """The event's time in milliseconds since 1970."""
    return int(event.time.seconds * 1000 + event.time.nanos // 1_000_000)


def id_problem(text: str, limit: int) -> str:
    """What is wrong with an id of at most `limit` bytes; empty where nothing is."""
    size = _size(text)
    return "" if 1 <= size <= limit else f"must have 1..{limit} bytes, got {size:,}"


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
