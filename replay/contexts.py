"""Contexts of requests, which a log keeps as JSON, as features."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from meta.columns import Column, Encoded, encode


def encoded(columns: Sequence[Column], told: Sequence[str]) -> npt.NDArray[np.float32]:
    """Features [n, X] of contexts by known columns; what a column does not find is missing."""
    each = [_parsed(text) for text in told]
    table = {
        column.name: [one["numbers" if column.kind == "number" else "categories"].get(column.name) for one in each]
        for column in columns
    }
    return encode(columns, table, len(told))


def learnt(told: Sequence[str]) -> tuple[Column, ...]:
    """How to encode the contexts of a log: a column for every number and every category that a request named."""
    each = [_parsed(text) for text in told]
    names = {kind: sorted({name for one in each for name in one[kind]}) for kind in ("numbers", "categories")}
    table = {name: [one[kind].get(name) for one in each] for kind in names for name in names[kind]}
    return Encoded.fit(table, len(told)).columns


def _parsed(text: str) -> dict[str, dict[str, Any]]:
    return {"numbers": {}, "categories": {}} | (json.loads(text) if text else {})
