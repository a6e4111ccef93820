"""Constants of a world as text, `name=value`, as the command line has them."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, Union, get_args, get_origin

from meta.errors import InputError
from simulators.variants import Variant

World = TypeVar("World", bound=Any)
"""Users, or a family of control tasks."""

NONE = "none"
PLAIN: Mapping[Any, tuple[str, Callable[[str], Any]]] = {
    int: ("a whole number", int),
    float: ("a number", float),
    str: ("a text", str),
    bool: ("true or false", {"true": True, "false": False}.__getitem__),
}
"""Kinds of values: what they are called, and how they are read."""


def made(world: Callable[..., World], users: int, given: Sequence[str] = (), **arguments: Any) -> World:
    """A world with the constants that are given as text, and a name that says which they are.

    Args:
        world: a value of `simulators.WORLDS` or `simulators.TASKS`.
        users: B, users or tasks.
        given: `name=value` each, e.g. change=none, change=5,9, satiation=0.
        arguments: of the world that are no text.

    Raises:
        InputError: a name is unknown or given twice, or a value is of another kind or impossible.
    """
    (values,) = parsed(given, world)
    built = world(users, **arguments, **values)
    built.name = named(built.name, values)
    return built


def named(name: str, values: Mapping[str, Any]) -> str:
    """The name of a world with these constants."""
    return " ".join([name, *(f"{constant}={_text(value)}" for constant, value in sorted(values.items()))])


def parsed(given: Sequence[str], *makers: Callable[..., Any]) -> list[dict[str, Any]]:
    """Values by name for each maker of what is to be made, in this order; see `made`."""
    kinds = [constants(maker) for maker in makers]
    known, values = {name: kind for each in kinds for name, kind in each.items()}, dict[str, Any]()
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise InputError(f"an argument must be name=value, got {text!r}")
        if name not in known:
            raise InputError(f"argument {name!r} is unknown; this world has {', '.join(sorted(known))}")
        if name in values:
            raise InputError(f"argument {name} must be given once, got {text!r} beside {_text(values[name])}")
        values[name] = _read(name, known[name], value)
    return [{name: value for name, value in values.items() if name in each} for each in kinds]


def constants(world: Callable[..., Any]) -> dict[str, Any]:
    """The kind of each constant of a world that can be said in text."""
    of = world.kind if isinstance(world, Variant) else world
    named = [x for x in inspect.signature(of, eval_str=True).parameters.values() if x.kind == x.KEYWORD_ONLY]
    return {x.name: x.annotation for x in named if all(map(_plain, _options(x.annotation)))}


def _options(kind: Any) -> tuple[Any, ...]:
    """The kinds that a value may be of."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _plain(kind: Any) -> bool:
    return kind is types.NoneType or kind in PLAIN or (get_origin(kind) is tuple and set(get_args(kind)) <= set(PLAIN))


def _read(name: str, kind: Any, text: str) -> Any:
    """A value of one of the kinds that it may be of."""
    rules = []
    for option in _options(kind):
        if option is types.NoneType:
            if text.lower() == NONE:
                return None
            rules.append(NONE)
            continue
        each = get_args(option) or (option,)
        parts = text.split(",") if get_origin(option) is tuple else [text]
        try:
            read = tuple(PLAIN[of][1](part.strip()) for of, part in zip(each, parts, strict=True))
        except (ValueError, KeyError):
            rules.append(" and ".join(PLAIN[of][0] for of in each) + (" joined by commas" if len(each) > 1 else ""))
            continue
        return read if get_origin(option) is tuple else read[0]
    raise InputError(f"argument {name} must be {' or '.join(rules)}, got {text!r}")


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return NONE if value is None else str(value).lower() if isinstance(value, bool) else f"{value}"
