"""A small asyncio client of the service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc

from protos.quickstudy.v1 import recommender_pb2 as pb

_METHOD = "/quickstudy.v1.Recommender/"


class Client:
    """One channel to one service; calls may run concurrently. Use as an async context manager.

    Args:
        target: "host:port".
        timeout_s: deadline of each call, seconds.
        token: what the service knows the caller by, where it asks for one.
        credentials: of a TLS channel, as `grpc.ssl_channel_credentials` makes them; None: a channel in the clear.
    """

    def __init__(
        self,
        target: str,
        timeout_s: float = 5.0,
        *,
        token: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._channel = (
            grpc.aio.secure_channel(target, credentials) if credentials else grpc.aio.insecure_channel(target)
        )
        self._timeout = timeout_s
        self._metadata = None if token is None else (("authorization", f"Bearer {token}"),)
        self._recommend = self._method("Recommend", pb.RecommendRequest, pb.RecommendResponse)
        self._record = self._method("RecordEvents", pb.RecordEventsRequest, pb.RecordEventsResponse)
        self._get = self._method("GetUser", pb.GetUserRequest, pb.GetUserResponse)
        self._delete = self._method("DeleteUser", pb.DeleteUserRequest, pb.DeleteUserResponse)
        self._activate = self._method("ActivateDecision", pb.ActivateDecisionRequest, pb.ActivateDecisionResponse)
        self._upsert = self._method("UpsertUsers", pb.UpsertUsersRequest, pb.UpsertUsersResponse)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close(None)

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
    ) -> pb.RecommendResponse:
        """Ranks candidates, or the whole catalogue, for one user. Raises grpc.aio.AioRpcError."""
        request = pb.RecommendRequest(
            user_id=user_id,
            candidate_ids=candidate_ids,
            slate_size=slate_size,
            mode=mode,
            seed=seed,
            decision_id=decision_id,
            excluded_ids=excluded_ids,
            include_seen=include_seen,
            context=context,
            defer_activation=defer_activation,
        )
        reply: pb.RecommendResponse = await self._recommend(request)
        return reply

    async def record(self, events: Iterable[pb.Event]) -> list[pb.EventStatus]:
        """Records events; returns one status each. Raises grpc.aio.AioRpcError."""
        reply = await self._record(pb.RecordEventsRequest(events=events))
        return list(reply.statuses)

    async def activate(self, user_id: str, decision_id: str) -> None:
        """Says that a deferred decision was shown. Raises grpc.aio.AioRpcError."""
        await self._activate(pb.ActivateDecisionRequest(user_id=user_id, decision_id=decision_id))

    async def get_user(self, user_id: str) -> pb.GetUserResponse:
        """Shows what is kept of a user. Raises grpc.aio.AioRpcError."""
        reply: pb.GetUserResponse = await self._get(pb.GetUserRequest(user_id=user_id))
        return reply

    async def upsert_users(self, users: Iterable[pb.User]) -> list[str]:
        """Keeps attributes of users; returns the names that the policy does not use. Raises grpc.aio.AioRpcError."""
        reply = await self._upsert(pb.UpsertUsersRequest(users=users))
        return list(reply.unknown_names)

    async def delete_user(self, user_id: str) -> bool:
        """Erases a user; false where nothing was kept. Raises grpc.aio.AioRpcError."""
        reply = await self._delete(pb.DeleteUserRequest(user_id=user_id))
        return bool(reply.existed)

    def _method(self, name: str, request: Any, response: Any) -> Any:
        call = self._channel.unary_unary(
            f"{_METHOD}{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return partial(call, timeout=self._timeout, metadata=self._metadata)
