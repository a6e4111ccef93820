"""The calls of the contract: check, one call into the room below, reply."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from protos.quickstudy.v1 import decision_pb2
from protos.quickstudy.v1 import recommender_pb2 as pb
from service import decisions
from service.access.gate import Context, Gate
from service.access.tenants import UserKey, user_key
from service.access_log import AccessLog
from service.batching import Batcher
from service.interceptors import Handler, deadline, method_handler
from service.metrics import Metrics
from service.popularity import Popularity
from service.ranker import Query
from service.serving import Serving
from service.stock import Stock
from service.store import Appended, EventLog, Store, attributes, copies, history, item_store
from service.streams import Streams, stream_handler
from service.validation import (
    check_activation,
    check_events,
    check_item_ids,
    check_items,
    check_recommend,
    check_user_id,
    check_users,
    event_problem,
    time_ms,
)
from service.writer import Writer

if TYPE_CHECKING:
    from service.traces import Traces

SERVICE = "quickstudy.v1.Recommender"
CHEAPER = 16
"""Items of a whole catalogue that cost as much as one candidate: they need no ids, and a batch shares their reading."""
_RESULTS = {"1": pb.EVENT_RESULT_ADDED, "2": pb.EVENT_RESULT_DUPLICATE, "3": pb.EVENT_RESULT_TOO_OLD}
_NAMES = {
    pb.EVENT_RESULT_ADDED: "added",
    pb.EVENT_RESULT_DUPLICATE: "duplicate",
    pb.EVENT_RESULT_TOO_OLD: "too_old",
    pb.EVENT_RESULT_REJECTED: "rejected",
}
_UNTRACED = nullcontext()


class Servicer:
    """The handlers of service Recommender; each returns a serialized reply or raises a ServiceError.

    Args:
        serving: whose policy answers.
        gate: whom every call has to pass; None: nobody.
        shards: how many streams keep a tenant's events, and how many entries they keep together, about.
    """

    def __init__(
        self,
        serving: Serving,
        store: Store,
        batcher: Batcher[Query, bytes],
        popularity: Popularity,
        metrics: Metrics,
        gate: Gate | None,
        writer: Writer,
        stock: Stock,
        streams: Streams,
        shards: tuple[int, int],
        access: AccessLog | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._serving = serving
        self._store = store
        self._batcher = batcher
        self._popularity = popularity
        self._metrics = metrics
        self._gate = gate
        self._writer = writer
        self._access = access
        self._traces = traces
        self._stock = stock
        self._streams = streams
        self._new_ids = decisions.new_ids()
        self._shards = itertools.cycle(range(shards[0]))
        self._stream_cap = max(1, shards[1] // shards[0])

    def handlers(self) -> grpc.GenericRpcHandler[Any, Any]:
        """All methods, wrapped, as grpc.aio takes them."""
        calls: dict[str, tuple[Handler, Callable[[bytes], Any]]] = {
            "Recommend": (self.recommend, pb.RecommendRequest.FromString),
            "RecordEvents": (self.record_events, pb.RecordEventsRequest.FromString),
            "GetUser": (self.get_user, pb.GetUserRequest.FromString),
            "DeleteUser": (self.delete_user, pb.DeleteUserRequest.FromString),
            "UpsertUsers": (self.upsert_users, pb.UpsertUsersRequest.FromString),
            "UpsertItems": (self.upsert_items, pb.UpsertItemsRequest.FromString),
            "DeleteItems": (self.delete_items, pb.DeleteItemsRequest.FromString),
            "ActivateDecision": (self.activate_decision, pb.ActivateDecisionRequest.FromString),
        }
        around = partial(self._traces.around, SERVICE) if self._traces else None
        wrapped = {
            name: method_handler(name, call, parse, self._metrics, self._gate, around)
            for name, (call, parse) in calls.items()
        }
        name, parse = "RecommendStream", pb.RecommendRequest.FromString
        wrapped[name] = stream_handler(name, self.recommend, parse, self._metrics, self._gate, self._streams, around)
        return grpc.method_handlers_generic_handler(SERVICE, wrapped)

    async def recommend(self, request: pb.RecommendRequest, context: Context, tenant: str) -> bytes:
        """Ranks."""
        check_recommend(request)
        query = Query.of(request, next(self._new_ids), tenant)
        cost = len(request.candidate_ids) or len(self._serving.active.policy.items) // CHEAPER + 1
        if self._traces is not None:
            query.span = self._traces.current()
        started = perf_counter()
        reply = await self._batcher.submit(query, cost, deadline(context, started))
        if self._access is not None:
            self._access.tell(query, reply, perf_counter() - started)
        return reply

    async def record_events(self, request: pb.RecordEventsRequest, context: Context, tenant: str) -> bytes:
        """Adds the events that keep the rules, each user's in one step; says what became of each event."""
        check_events(request)
        now_ms = time.time_ns() // 1_000_000
        problems = [event_problem(event, now_ms) for event in request.events]
        users = [user_key(tenant, event.user_id) for event in request.events]
        packed: dict[UserKey, list[bytes]] = {}
        outcomes: dict[UserKey, list[bytes]] = {}
        for event, user, problem in zip(request.events, users, problems, strict=True):
            if not problem:
                at = time_ms(event) if event.HasField("time") else now_ms
                shown_by = decisions.logged_id(user, event.decision_id) if event.decision_id else ""
                record = history.pack(event.event_id, at, event.item_id, event.reward, shown_by, event.position)
                packed.setdefault(user, []).append(record)
                outcomes.setdefault(user, []).append(decisions.outcome(event, at, shown_by))
        appended: dict[UserKey, Appended] = {}
        if packed:
            joined = {user: b"".join(records) for user, records in packed.items()}
            with self._stage("append"):
                appended = await self._store.append(
                    joined, self._event_log(tenant, now_ms, outcomes), self._writer.newcomers(packed)
                )
        for user, done in appended.items():
            self._popularity.add(tenant, history.likes(packed[user], done.results), now_ms)
        results = {user: iter(done.results) for user, done in appended.items()}
        statuses = [
            pb.EventStatus(result=pb.EVENT_RESULT_REJECTED, reason=problem)
            if problem
            else pb.EventStatus(result=_RESULTS[next(results[user])])
            for user, problem in zip(users, problems, strict=True)
        ]
        self._count(request, statuses, now_ms)
        return pb.RecordEventsResponse(statuses=statuses).SerializeToString()

    async def get_user(self, request: pb.GetUserRequest, context: Context, tenant: str) -> bytes:
        """Shows history, copy and attributes."""
        check_user_id(request.user_id)
        user = user_key(tenant, request.user_id)
        values, cached, known = await self._store.read([user])
        records = history.records(values[0])
        ranker = self._serving.of(user)
        items = ranker.policy.items
        watermark = history.watermark(values[0])
        reply = pb.GetUserResponse(watermark=watermark)
        for record, row, at in zip(
            records.tolist(), items.rows_of_hashes(records["item"]), history.times(records).tolist(), strict=True
        ):
            event = reply.events.add(
                event_hash=record[0],
                item_id=items.id_of(row) if row >= 0 else "",
                item_hash=record[3],
                reward=record[4],
                position=record[6],
            )
            event.time.FromMilliseconds(at)
        if cached[0] is not None and len(cached[0]) >= copies.MARKS:
            marks = np.frombuffer(cached[0][: copies.MARKS], "<u8").tolist()
            version = f"{marks[0]:016x}"
            changed = history.decode(values, items).mark
            mark = ranker.packing.marks(known, changed)
            found = ranker.packing.unpack(cached, np.array([watermark], np.uint64), mark)
            reply.copy.CopyFrom(
                pb.CopyStatus(present=True, current=bool(found.current[0]), policy_version=version, watermark=marks[1])
            )
        if (told := attributes.unpack(known[0])) is not None:
            reply.attributes.CopyFrom(told)
        return reply.SerializeToString()

    async def delete_user(self, request: pb.DeleteUserRequest, context: Context, tenant: str) -> bytes:
        """Erases all that is kept of a user."""
        check_user_id(request.user_id)
        user = user_key(tenant, request.user_id)
        self._writer.forget(user)
        self._serving.forget(user)
        existed = await self._store.erase(user)
        return pb.DeleteUserResponse(existed=existed).SerializeToString()

    async def upsert_users(self, request: pb.UpsertUsersRequest, context: Context, tenant: str) -> bytes:
        """Keeps attributes as given, and says which names of them the policy does not use."""
        check_users(request)
        await self._store.describe(
            {user_key(tenant, user.user_id): attributes.pack(user.attributes) for user in request.users}
        )
        columns = self._serving.active.policy.manifest.attributes
        unknown = [attributes.unknown(user.attributes, columns) for user in request.users]
        self._metrics.unknown_names.labels("UpsertUsers").inc(sum(map(len, unknown)))
        return pb.UpsertUsersResponse(unknown_names=sorted(set().union(*unknown))).SerializeToString()

    async def upsert_items(self, request: pb.UpsertItemsRequest, context: Context, tenant: str) -> bytes:
        """Puts items into the catalogue of all tenants, and says which names of features the policy does not use."""
        check_items(request)
        await self._stock.change({item.item_id: item_store.pack(item.item_id, item.features) for item in request.items})
        columns = self._serving.active.policy.catalogue.columns
        unknown = [attributes.unknown(item.features, columns) for item in request.items]
        self._metrics.unknown_names.labels("UpsertItems").inc(sum(map(len, unknown)))
        return pb.UpsertItemsResponse(unknown_names=sorted(set().union(*unknown))).SerializeToString()

    async def delete_items(self, request: pb.DeleteItemsRequest, context: Context, tenant: str) -> bytes:
        """Takes items out of the catalogue of all tenants."""
        check_item_ids(request)
        ids = list(dict.fromkeys(request.item_ids))
        known = self._serving.active.policy.items.rows(ids) >= 0
        await self._stock.change({item_id: self._stock.deletion(item_id) for item_id in ids})
        unknown = [item_id for item_id, is_known in zip(ids, known.tolist(), strict=True) if not is_known]
        return pb.DeleteItemsResponse(unknown_ids=unknown).SerializeToString()

    async def activate_decision(self, request: pb.ActivateDecisionRequest, context: Context, tenant: str) -> bytes:
        """Notes in the decision log that a deferred decision was shown."""
        check_activation(request)
        name = decisions.logged_id(user_key(tenant, request.user_id), request.decision_id)
        shown = decision_pb2.Decision(time_ms=time.time_ns() // 1_000_000)
        shown.activated.decision_id = name
        self._writer.put([], [decisions.Logged(tenant, shown.SerializeToString())])
        return pb.ActivateDecisionResponse().SerializeToString()

    def _event_log(self, tenant: str, now_ms: int, outcomes: Mapping[UserKey, Sequence[bytes]]) -> EventLog:
        """How a call's events are logged: in one of the tenant's streams, in turn."""
        stream = decisions.event_stream(tenant, next(self._shards))
        return EventLog(stream, self._stream_cap, decision_pb2.Recorded(time_ms=now_ms).SerializeToString(), outcomes)

    def _stage(self, name: str) -> AbstractContextManager[Any]:
        """A stage of a call, which takes part in its trace where there is one."""
        return _UNTRACED if self._traces is None else self._traces.stage(name)

    def _count(self, request: pb.RecordEventsRequest, statuses: list[pb.EventStatus], now_ms: int) -> None:
        for status in statuses:
            self._metrics.events.labels(_NAMES[status.result]).inc()
        added = [e for e, s in zip(request.events, statuses, strict=True) if s.result == pb.EVENT_RESULT_ADDED]
        for event in added:
            if event.HasField("time"):
                self._metrics.reward_delay.observe(max(0, now_ms - time_ms(event)) / 1_000)
        if unknown := int((self._serving.active.policy.items.rows([event.item_id for event in added]) < 0).sum()):
            self._metrics.unknown_items.labels("RecordEvents").inc(unknown)
