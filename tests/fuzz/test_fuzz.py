"""Whatever is sent, the service answers in its own words or hangs up, and goes on. The long form: `bench fuzz`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import attack, strategies
from tests.fuzz.messages import fill
from tests.service.descriptors import kind, methods, path
from tests.service.support import Server, make_policy, start_server

OURS = {"INTERNAL", "UNKNOWN", "UNIMPLEMENTED", "DATA_LOSS"}
"""Statuses that a caller must not be able to cause."""
IN_VAIN = {"GetPolicy", "ActivatePolicy", "RollBackPolicy", "Replay"}
"""Methods that nothing drawn can succeed with: the server has one version, no other lineup before it, and no replays,
which take seconds."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: what strangers write is nobody else's business."""
    folder = tmp_path_factory.mktemp("fuzz")
    running = start_server(make_policy(folder / "policy"), folder / "data", EVALUATION_PROCESSES="0")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    """One connection to it."""
    with grpc.insecure_channel(server.target) as opened:
        yield opened


def code_of(channel: grpc.Channel, method: MethodDescriptor, raw: bytes) -> str:
    """How a call with these bytes ends."""
    begin: Any = getattr(channel, kind(method))(path(method))
    try:
        reply = begin(iter([raw]) if method.client_streaming else raw, timeout=10.0)
        if method.server_streaming:
            list(reply)
    except grpc.RpcError as error:
        return str(error.code().name)  # type: ignore[attr-defined] # every error of a call is a call
    return "OK"


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.name)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_message_is_an_error_of_ours(channel: grpc.Channel, method: MethodDescriptor, data: st.DataObject) -> None:
    """Any fields of any request of any method, in range or out of it."""
    message = data.draw(strategies.messages(method.input_type))
    assert code_of(channel, method, message.SerializeToString()) not in OURS


async def test_fuzzed_calls_in_company(server: Server) -> None:
    """Many at once, damaged bytes among them: batches hold good and bad calls side by side."""
    ended = await attack.messages(server.target, 2_000, random.Random(0))
    assert 2_000 == ended.total()
    assert {method.name for method in methods()} == {name for name, _ in ended}
    assert not {code for _, code in ended} & OURS
    assert {name for name, code in ended if code == "OK"} == {method.name for method in methods()} - IN_VAIN
    assert server.process.poll() is None


async def test_hostile_bytes(server: Server) -> None:
    """Noise, broken frames and floods: the process lives, closes what it opened, and answers everybody else."""
    before = attack.open_files(server.process.pid)
    ended = await attack.streams(server.target, 600, random.Random(1))
    assert (600, 0) == (ended.total(), ended["refused"])
    assert ended["closed"] > 0
    assert await attack.answers(server.target) < 5.0
    async with asyncio.timeout(10):
        while attack.open_files(server.process.pid) > before + 5:
            await asyncio.sleep(0.05)
    assert server.process.poll() is None


def test_every_field_of_every_request_is_fuzzed() -> None:
    """A few hundred drawn messages of each kind set all fields, those of messages inside them too."""
    rng = random.Random(2)
    for method in methods():
        seen: set[str] = set()
        for _ in range(300):
            message: Any = GetMessageClass(method.input_type)()
            fill(message, rng)
            _note(message, seen)
        assert _names(method.input_type) == seen


def _note(message: Any, seen: set[str]) -> None:
    for field, value in message.ListFields():
        seen.add(field.full_name)
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            seen.update(each.full_name for each in field.message_type.fields)
            parts = list(value.values())
        else:
            parts = value if field.is_repeated else [value]
        for part in parts:
            if hasattr(part, "ListFields"):
                _note(part, seen)


def _names(kind: Descriptor) -> set[str]:
    """The fields of a message and of those in it."""
    return {name for field in kind.fields for name in (field.full_name, *_inside(field.message_type))}


def _inside(kind: Descriptor | None) -> set[str]:
    return set() if kind is None else _names(kind)
