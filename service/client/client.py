"""An asyncio client of the service; `service.client.blocking` is the same for code that knows nothing of coroutines."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeAlias
from uuid import uuid4

import grpc
from google.protobuf.message import Message

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.client import results
from service.client.call_error import CallError
from service.client.habits import SERVICE, Habits
from service.client.hedge import Hedge
from service.client.results import EventStatus, Slate
from service.client.throttle import Throttle

REPLIES: dict[str, Any] = {
    "Recommend": pb.RecommendResponse,
    "RecordEvents": pb.RecordEventsResponse,
    "ActivateDecision": pb.ActivateDecisionResponse,
    "GetUser": pb.GetUserResponse,
    "DeleteUser": pb.DeleteUserResponse,
    "UpsertUsers": pb.UpsertUsersResponse,
    "UpsertItems": pb.UpsertItemsResponse,
    "DeleteItems": pb.DeleteItemsResponse,
}
"""What each method answers with."""
Requests: TypeAlias = Iterable[pb.RecommendRequest] | AsyncIterable[pb.RecommendRequest]
"""What a stream is asked."""


class Client:
    """One channel to one service; calls may run concurrently. Use as an async context manager.

    Args:
        target: "host:port".
        timeout_s: deadline of each call with all its attempts, seconds.
        token: what the service knows the caller by, where it asks for one.
        credentials: of a TLS channel, as `grpc.ssl_channel_credentials` makes them; None: a channel in the clear.
        habits: retries, hedging and throttling.
        rng: draws which calls are held back while the service sheds load; None: one of its own.
    """

    def __init__(
        self,
        target: str,
        timeout_s: float = 5.0,
        *,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        habits: Habits = Habits(),  # noqa: B008 # frozen
        rng: random.Random | None = None,
    ) -> None:
        self._open = partial(_open, target, credentials, habits)
        self._timeout = timeout_s
        self._metadata = None if token is None else (("authorization", f"Bearer {token}"),)
        self._throttle = Throttle(rng or random.Random()) if habits.throttle else None
        self._hedge = Hedge() if habits.hedge else None
        self._channel = self._open()
        self._methods = self._calls(self._channel)
        self._stream = self._channel.stream_stream(
            f"/{SERVICE}/RecommendStream",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=pb.RecommendResponse.FromString,
        )
        self._second: grpc.aio.Channel | None = None
        if self._hedge:
            self._second = self._open()
            self._again = self._calls(self._second)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all calls."""
        await self._channel.close(None)
        if self._second:
            await self._second.close(None)

    async def ready(self) -> None:
        """Waits until the channel is connected."""
        await self._channel.channel_ready()

    async def recommend(
        self,
        user_id: str,
        candidate_ids: Sequence[str] = (),
        *,
        slate_size: int = 10,
        mode: pb.Mode = pb.MODE_UNSPECIFIED,
        seed: int | None = None,
        decision_id: str = "",
        excluded_ids: Sequence[str] = (),
        include_seen: bool = False,
        context: pb.Context | None = None,
        defer_activation: bool = False,
    ) -> Slate:
        """Ranks candidates, or the whole catalogue, for one user. Raises CallError.

        With a decision_id all attempts of the call are one decision, which the service keeps for that; a client that
        hedges makes one where there is none, others leave it to the service.
        """
        request = pb.RecommendRequest(
            user_id=user_id,
            candidate_ids=candidate_ids,
            slate_size=slate_size,
            mode=mode,
            seed=seed,
            decision_id=decision_id or (uuid4().hex if self._hedge else ""),
            excluded_ids=excluded_ids,
            include_seen=include_seen,
            context=context,
            defer_activation=defer_activation,
        )
        return results.slate(await self._call("Recommend", request, self._hedge))

    async def recommend_stream(self, requests: Requests, timeout_s: float | None = None) -> AsyncGenerator[Slate, None]:
        """Ranks for many requests in one call; slates come in their order. Nothing is tried again.

        Args:
            requests: as many as there are; they are taken as the service has room for them.
            timeout_s: deadline of the whole stream, seconds; None: it has none.

        Raises:
            CallError: the stream ended early. The slates that came stand; the request that came next may be at fault.
        """
        asked: Any = requests  # the stubs know no iterables
        call = self._stream(asked, timeout=timeout_s, metadata=self._metadata)
        try:
            async for reply in call:
                yield results.slate(reply)
        except grpc.aio.AioRpcError as error:
            raise CallError.of("RecommendStream", error) from error
        finally:
            call.cancel()

    async def record(self, events: Iterable[pb.Event]) -> list[EventStatus]:
        """Records events; returns one status each. Raises CallError."""
        return results.statuses(await self._call("RecordEvents", pb.RecordEventsRequest(events=events)))

    async def activate(self, user_id: str, decision_id: str) -> None:
        """Says that a deferred decision was shown. Raises CallError."""
        await self._call("ActivateDecision", pb.ActivateDecisionRequest(user_id=user_id, decision_id=decision_id))

    async def get_user(self, user_id: str) -> pb.GetUserResponse:
        """Shows what is kept of a user. Raises CallError."""
        reply: pb.GetUserResponse = await self._call("GetUser", pb.GetUserRequest(user_id=user_id))
        return reply

    async def upsert_users(self, users: Iterable[pb.User]) -> list[str]:
        """Keeps attributes of users; returns the names that the policy does not use. Raises CallError."""
        reply = await self._call("UpsertUsers", pb.UpsertUsersRequest(users=users))
        return list(reply.unknown_names)

    async def upsert_items(self, items: Iterable[pb.Item]) -> list[str]:
        """Puts items into the catalogue; returns names of features that the policy does not use. Raises CallError."""
        reply = await self._call("UpsertItems", pb.UpsertItemsRequest(items=items))
        return list(reply.unknown_names)

    async def delete_items(self, item_ids: Iterable[str]) -> list[str]:
        """Takes items out of the catalogue; returns the ids that it did not know. Raises CallError."""
        reply = await self._call("DeleteItems", pb.DeleteItemsRequest(item_ids=item_ids))
        return list(reply.unknown_ids)

    async def delete_user(self, user_id: str) -> bool:
        """Erases a user; false where the attempt that was answered found nothing. Raises CallError."""
        reply = await self._call("DeleteUser", pb.DeleteUserRequest(user_id=user_id))
        return bool(reply.existed)

    async def _call(self, name: str, request: Message, hedge: Hedge | None = None) -> Any:
        ends = asyncio.get_running_loop().time() + self._timeout
        one = partial(self._attempt, self._methods[name], name, request, ends)
        if hedge is None:
            return await one()
        return await hedge.first(one, partial(self._attempt, self._again[name], name, request, ends))

    async def _attempt(self, call: Any, name: str, request: Message, ends: float) -> Any:
        """One attempt, by gRPC's retries several; `ends` is the deadline on the clock of the loop."""
        if self._throttle:
            self._throttle.admit(name)
        left = ends - asyncio.get_running_loop().time()
        try:
            reply = await call(request, timeout=left, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            told = CallError.of(name, error)
            if self._throttle:
                self._throttle.ended(told)
            raise told from error
        if self._throttle:
            self._throttle.ended(None)
        return reply

    def _calls(self, channel: grpc.aio.Channel) -> dict[str, Any]:
        """What calls each method, by name."""
        return {
            name: channel.unary_unary(
                f"/{SERVICE}/{name}",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=reply.FromString,
            )
            for name, reply in REPLIES.items()
        }


def _open(target: str, credentials: grpc.ChannelCredentials | None, habits: Habits) -> grpc.aio.Channel:
    """A channel whose connection is its own: those that are shared would all end at one of several workers."""
    options = [*habits.options(), ("grpc.use_local_subchannel_pool", 1)]
    if credentials:
        return grpc.aio.secure_channel(target, credentials, options)
    return grpc.aio.insecure_channel(target, options)
