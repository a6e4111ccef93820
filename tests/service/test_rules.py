"""The rules in the contract, which any client can check before it calls, and the checks of the service are the same.

One field after the other of good requests is changed, and what comes of it is asked of protovalidate and of a running
service. All limits that either of them knows are tried, just inside and just outside, at every field: so neither can
have a limit that the other lacks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import grpc
import protovalidate
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2

from protos.buf.validate import validate_pb2
from protos.quickstudy.v1 import evaluation_pb2, policies_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from replay.question import ESTIMATORS
from service import validation
from service.evaluation import servicer as evaluation
from service.policies import servicer as policies
from service.settings import MAX_HISTORY
from tests.service.changes import MANY, Change, of_message
from tests.service.descriptors import kind, methods, path
from tests.service.support import make_policy, start_server
from tests.service.test_bad_input import details

OURS = "quickstudy.v1"
TOLD = pb.Attributes(
    numbers={"n": 1.0}, categories={"c": pb.Words(values=["w"])}, vectors={"v": pb.Vector(values=[1.0])}
)
EVENT = pb.Event(
    event_id="e", user_id="u", item_id="i1", reward=1.0, time=Timestamp(seconds=1), decision_id="d", position=1
)
GOOD: list[Message] = [
    pb.RecommendRequest(
        user_id="u", slate_size=1, mode=pb.MODE_GREEDY, excluded_ids=["i2"], include_seen=True, seed=1, decision_id="d",
        context=pb.Context(numbers={"n": 1.0}, categories={"c": "w"}), defer_activation=True,
    ),
    pb.RecommendRequest(user_id="u", candidate_ids=["i1"], mode=pb.MODE_BASELINE),
    pb.RecordEventsRequest(events=[EVENT]),
    pb.GetUserRequest(user_id="u"),
    pb.DeleteUserRequest(user_id="u"),
    pb.UpsertUsersRequest(users=[pb.User(user_id="u", attributes=TOLD)]),
    pb.UpsertItemsRequest(items=[pb.Item(item_id="i1", features=TOLD)]),
    pb.DeleteItemsRequest(item_ids=["i3"]),
    pb.ActivateDecisionRequest(user_id="u", decision_id="d"),
    policies_pb2.GetPolicyRequest(version="0" * 16),
    policies_pb2.ActivatePolicyRequest(
        version="0" * 16, canary_share=0.5, report="{}", other_features=True, generation=1
    ),
    policies_pb2.ActivatePolicyRequest(version="0" * 16, shadow=True),
    policies_pb2.RollBackPolicyRequest(generation=1),
    evaluation_pb2.ReplayRequest(
        policy_versions=["0" * 16], log="log", estimator="dr", temperature=1.0, reward_window=Duration(seconds=1),
        default_reward=1.0, history=1, without_frozen=True, not_worse=True, seed=1, report=True,
    ),
]  # fmt: skip
"""Every field is set in one of them. A decision that is asked for again is not looked at again, so the one with
candidates has no name."""
LIMITS = {"MAX_HISTORY": MAX_HISTORY} | {
    name: value
    for module in (validation, policies, evaluation)
    for name, value in vars(module).items()
    if name.startswith("MAX_")
}
"""Of the service, by the names of its constants."""
NOT_OF_A_FIELD = {
    "MAX_ATTRIBUTE_BYTES": "of a message: no rule counts its bytes",
    "MAX_FUTURE_MS": "of the time from now, in CEL: tried ten seconds to either side",
}
METHODS = {method.input_type.full_name: method for method in reversed(methods())}
"""A method for each kind of request; Recommend, not RecommendStream."""


def messages(kind: Descriptor) -> Iterator[Descriptor]:
    """A message of ours, and those in it."""
    if kind.file.package == OURS:
        yield kind
        yield from chain.from_iterable(messages(field.message_type) for field in kind.fields if field.message_type)


MESSAGES = {each.full_name: each for method in METHODS.values() for each in messages(method.input_type)}
RULES = {
    field.full_name: field.GetOptions().Extensions[validate_pb2.field]
    for message in MESSAGES.values()
    for field in message.fields
    if field.GetOptions().HasExtension(validate_pb2.field)
}


def leaves(rules: Message) -> Iterator[tuple[str, Any]]:
    """The single rules in those of a field, by the ids that protovalidate gives them, with their values."""
    of = rules.DESCRIPTOR.name.removesuffix("Rules").lower()
    for field, value in rules.ListFields():
        if field.name == "cel":
            yield from ((rule.id, rule.message) for rule in value)
        elif isinstance(value, Timestamp | Duration):
            yield f"{of}.{field.name}", value.seconds
        elif isinstance(value, Message):
            yield from leaves(value)
        else:
            yield f"{of}.{field.name}", value


def limits(rules: Message) -> Iterator[int]:
    """The numbers in the rules of a field."""
    yield from (int(value) for _, value in leaves(rules) if isinstance(value, int | float))


EVERYWHERE = {n for limit in (*LIMITS.values(), *chain(*map(limits, RULES.values()))) for n in (limit, limit + 1)}


def sizes(field: FieldDescriptor) -> set[int]:
    """What is tried at a field: its own limits and the numbers beside them, and all others that are quick to try."""
    rules = RULES.get(field.full_name, validate_pb2.FieldRules())
    own = {n for limit in limits(rules) for n in (limit - 1, limit, limit + 1) if n >= 0}
    return own | {n for n in EVERYWHERE if n <= MANY}


@dataclass(frozen=True)
class Verdict:
    """What is said of a change.

    Args:
        ours: the field that the service refuses; empty: it takes the request.
        theirs: the first field that breaks a rule; empty: none does.
        rule: which, a full name and an id.
    """

    change: Change
    ours: str
    theirs: str
    rule: tuple[str, str]

    @property
    def agreed(self) -> bool:
        """Whether both take the request, or both refuse it for one field; either may name what that is in."""
        outer, inner = sorted((self.ours, self.theirs), key=len)
        return bool(outer) == bool(inner) and re.match(re.escape(outer) + r"($|[.\[])", inner) is not None

    @property
    def excuse(self) -> str:
        """Why they need not agree; empty where they must."""
        longest = validation.MAX_ATTRIBUTE_BYTES
        if self.ours.endswith((".attributes", ".features")) and self.change.value.ByteSize() > longest:
            return "no rule counts the bytes of a message"
        if self.ours.endswith(".time") and "nanos" in str(self.change.value):
            return "nanoseconds out of their range are no Timestamp"
        return ""


async def refused(channel: grpc.aio.Channel, request: Message) -> str:
    """The field that the service names; empty where it finds no fault with any."""
    method = METHODS[request.DESCRIPTOR.full_name]
    call = getattr(channel, kind(method))(path(method))(request.SerializeToString(), timeout=20.0)
    try:
        raw = await (call.read() if method.server_streaming else call)
    except grpc.aio.AioRpcError as error:
        if error.code().name not in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND"):
            raise
        bad = error_details_pb2.BadRequest()
        return bad.field_violations[0].field if any(d.Unpack(bad) for d in details(error).details) else ""
    if isinstance(request, pb.RecordEventsRequest):
        statuses = pb.RecordEventsResponse.FromString(raw).statuses
        return next((f"events[{at}].{s.reason.split()[0]}" for at, s in enumerate(statuses) if s.reason), "")
    return ""


def broken(request: Message) -> tuple[str, tuple[str, str]]:
    """The first field that breaks a rule, and the rule; one of a whole message names its field in its words."""
    for each in protovalidate.collect_violations(request, fail_fast=True):
        if not each.proto.field:
            return each.proto.message.split()[0], (request.DESCRIPTOR.full_name, each.proto.rule_id)
        name, inside, field = "", request.DESCRIPTOR, None
        for element in each.proto.field.elements:
            field = inside.fields_by_name[element.field_name]
            inside = field.message_type
            name += f".{field.name}"
            if element.subscript is not None:
                at = element.subscript.value
                name += f'["{at}"]' if isinstance(at, str) else f"[{at}]"
                inside = inside.fields_by_name["value"].message_type if isinstance(at, str) else inside
        assert field is not None
        return name[1:], (field.full_name, each.proto.rule_id)
    return "", ("", "")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> list[Verdict]:
    """Of every change of every good request."""
    folder = tmp_path_factory.mktemp("rules")
    server = start_server(make_policy(folder / "policy"), folder / "data", EVALUATION_PROCESSES="0")

    async def ask() -> list[Verdict]:
        room = asyncio.Semaphore(8)
        async with grpc.aio.insecure_channel(server.target) as channel:

            async def one(change: Change) -> Verdict:
                async with room:
                    return Verdict(change, await refused(channel, change.value), *broken(change.value))

            return list(await asyncio.gather(*(one(change) for good in GOOD for change in of_message(good, sizes))))

    try:
        return asyncio.run(ask())
    finally:
        assert server.stop() == 0


def test_the_service_and_the_rules_agree(verdicts: list[Verdict]) -> None:
    """What one refuses the other refuses, for the same field; what one takes the other takes."""
    differ = [each for each in verdicts if not each.agreed and not each.excuse]
    told = [f"{v.change.field} of {v.change.size}: {v.ours!r}, by the rules {v.theirs!r} {v.rule}" for v in differ]
    assert [] == told[:20]


def test_every_field_is_changed(verdicts: list[Verdict]) -> None:
    """No field is forgotten, those of messages inside neither, and each may be other than in the good request."""
    assert {each.change.field.removesuffix("[]") for each in verdicts if not each.ours} == {
        field.full_name
        for message in MESSAGES.values()
        for field in message.fields
        if field.message_type is None or not message.GetOptions().map_entry  # else the message in it says all
    }


def test_every_rule_is_broken(verdicts: list[Verdict]) -> None:
    """None is a rule in name only: for each there is a change that breaks it."""
    found = {each.rule for each in verdicts}
    for name, rule in set(found):  # the ends of a range are told as one: double.gte_lt
        of, _, ends = rule.partition(".")
        found |= {(name, f"{of}.{end}") for end in ends.split("_")}
    of_fields = {(name, rule) for name, rules in RULES.items() for rule, _ in leaves(rules)}
    of_messages = {
        (name, rule.id)
        for name, message in MESSAGES.items()
        for rule in message.GetOptions().Extensions[validate_pb2.message].cel
    }
    assert set() == (of_fields | of_messages) - found


def test_every_limit_of_the_service_is_met(verdicts: list[Verdict]) -> None:
    """Each constant is a length or number that some field may have, and no more than that."""
    taken = {(each.change.field, each.change.size) for each in verdicts if not each.ours}
    refused = {(each.change.field, each.change.size) for each in verdicts if each.ours}
    last = {size for field, size in taken if (field, size + 1) in refused}
    assert NOT_OF_A_FIELD.keys() == {name for name, limit in LIMITS.items() if limit not in last}


def test_every_excuse_is_needed(verdicts: list[Verdict]) -> None:
    """The service goes beyond the rules in two ways, no more and no less."""
    assert 2 == len({each.excuse for each in verdicts if not each.agreed} - {""})


def test_the_estimators_are_those_of_replay() -> None:
    """The list in the contract is that of the code."""
    assert ("", *ESTIMATORS) == tuple(getattr(RULES["quickstudy.v1.ReplayRequest.estimator"].string, "in"))
