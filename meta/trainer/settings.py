"""Settings of a training from a JSON file: every name known, every value of its kind and in its range."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from meta.errors import InputError

Settings = TypeVar("Settings")

ADAPTER = "adapter"
"""May stand among the settings of a file: the adapter is the first choice of all."""

LIMITS: Mapping[str, tuple[float, float]] = {
    "iterations": (1, 1e7), "updates": (1, 1e5), "batch": (1, 1e5), "prefixes": (1, 1024), "length": (1, 1e4),
    "short": (1, 1e4), "from_start": (0, 1), "rate": (1e-8, 1), "warm_up": (1, 1e6), "decay": (0, 10),
    "dropout": (0, 0.95), "average": (1e-3, 1), "clip": (1e-6, 1e6), "polyak": (0, 1), "discount": (0, 1),
    "td_weight": (0, 1e3), "judge_every": (1, 1e6), "patience": (1, 1e6), "earliest": (0, 1), "least": (0, 1e6),
    "width": (1, 1024), "hidden": (1, 4096), "tower": (0, 4096), "steps": (0, 64), "history": (1, 128),
    "neighbours": (0, 1e4), "penalty": (0, 1e9), "met": (0, 1), "folds": (1, 100), "validation": (0.01, 0.9),
    "test": (0, 0.9), "order": (1, 2), "block": (1, 1e4), "memory": (1, 1e7), "mix": (0, 1), "epsilon": (0, 1),
    "explore": (0, 1), "first_order": (0, 1), "multi_step": (0, 1), "inner_rate": (1e-3, 1e3),
    "episodes": (1, 1e4), "window": (1, 1e4), "likelihood": (0, 1e3),
    "sampled": (1, 1e6), "prices": (0, 1e5), "remember": (0.01, 0.999), "alert": (0, 10),
    "exploration": (0, 100), "largest": (1e-3, 1e6), "step_s": (0, 1e9), "gone_s": (0, 1e9),
    "priority": (0, 1), "correction": (0, 1), "n_steps": (0, 1e4), "time_scale": (1e-9, 1e12),
}  # fmt: skip
"""Lowest and highest value by name; numbers of other names must be finite and at least 0."""


class SettingsError(InputError):
    """A file of settings that cannot be used; the text names setting, value and rule."""


def read(path: Path) -> dict[str, Any]:
    """The settings of a JSON file as `quickstudy tune` writes it.

    Raises:
        SettingsError: the file is missing, or no JSON object.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path} must hold a JSON object of settings, got {type(document).__name__}")
    return document


def from_json(kind: type[Settings], values: Mapping[str, Any], base: Settings | None = None) -> Settings:
    """Settings with some values other than the defaults.

    Args:
        kind: a frozen dataclass of numbers, switches and tuples of numbers.
        values: by name, as JSON has them.
        base: other defaults than the dataclass's own.

    Raises:
        SettingsError: a name is unknown, or a value of another kind or out of its range.
    """
    known, hints = {each.name: each for each in fields(kind)}, get_type_hints(kind)  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise SettingsError(f"setting {name!r} is unknown; there are {', '.join(sorted(known))}")
    try:
        checked = {name: _checked(known[name], hints[name], value) for name, value in values.items()}
        return kind(**{name: getattr(base, name) for name in known if base is not None} | checked)
    except SettingsError:
        raise
    except ValueError as error:
        raise SettingsError(f"the settings do not go together: {error}") from error


def _checked(of: Field[Any], hint: Any, value: Any) -> Any:
    """A value as its setting wants it."""
    if isinstance(of.default, tuple):
        fixed = Ellipsis not in hint.__args__
        if not isinstance(value, list | tuple) or not value or (fixed and len(value) != len(of.default)):
            rule = f"{len(of.default)} numbers" if fixed else "numbers, one or more"
            raise SettingsError(f"setting {of.name} must be a list of {rule}, got {value!r}")
        return tuple(_number(of.name, each, float(each) if isinstance(each, int) else each) for each in value)
    if isinstance(of.default, bool):
        if not isinstance(value, bool):
            raise SettingsError(f"setting {of.name} must be true or false, got {value!r}")
        return value
    if isinstance(of.default, str):
        if not isinstance(value, str):
            raise SettingsError(f"setting {of.name} must be a text, got {value!r}")
        return value
    whole = isinstance(of.default, int)
    if whole and isinstance(value, float) and value.is_integer():
        value = int(value)
    if whole and not isinstance(value, int):
        raise SettingsError(f"setting {of.name} must be a whole number, got {value!r}")
    return _number(of.name, value, value if whole else float(value) if isinstance(value, int) else value)


def _number(name: str, given: Any, value: Any) -> Any:
    low, high = LIMITS.get(name, (0.0, math.inf))
    if isinstance(given, bool) or not isinstance(value, int | float) or not low <= value <= high or value == math.inf:
        raise SettingsError(f"setting {name} must be a number in {low:g}..{high:g}, got {given!r}")
    return value
