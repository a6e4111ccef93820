"""Hypothesis strategies of requests, built from the descriptors: slower than `messages`, but what fails is shrunk."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from tests.fuzz.values import is_map, scalars


def messages(kind: Descriptor) -> st.SearchStrategy[Any]:
    """Messages of a kind with any fields set to anything."""
    fields = st.fixed_dictionaries({}, optional={field.name: _values(field) for field in kind.fields})
    return fields.map(lambda values: GetMessageClass(kind)(**values))


def _values(field: Field) -> st.SearchStrategy[Any]:
    if is_map(field):
        key, value = field.message_type.fields
        return st.dictionaries(_single(key), _single(value), max_size=4)
    return st.lists(_single(field), max_size=6) if field.is_repeated else _single(field)


def _single(field: Field) -> st.SearchStrategy[Any]:
    if field.type == Field.TYPE_MESSAGE:
        return messages(field.message_type)
    edges = st.sampled_from(scalars(field))
    if field.type == Field.TYPE_STRING:  # no surrogates: they have no UTF-8
        return edges | st.text(st.characters(exclude_categories=("Cs",)), max_size=300)
    return edges
