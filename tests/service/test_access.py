"""Who may call what: every method of the contract, found by its descriptors, so that none can be forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos.quickstudy.v1 import recommender_pb2 as pb
from service.access import tokens
from service.access.gate import Gate
from service.access.scopes import SCOPES, Scope
from service.access.tokens import Keyring
from service.client import Client
from service.interceptors import method_handler
from service.metrics import Metrics
from service.store import connect
from service.store.embedded import EmbeddedStore
from tests.service.descriptors import kind, methods, path
from tests.service.support import Server, start_server
from tests.service.test_popularity import time_policy

UNKNOWN = "qs_" + "x" * 43
SERVED, ELSEWHERE = "shop,blog", "zoo"


METHODS = methods()
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def key(file: Path, tenant: str, *scopes: str, name: str = "web", expired: bool = False) -> str:
    """A new token, its hash added to a file."""
    secret, token = tokens.create(name, tenant, scopes, 1)
    tokens.append(file, replace(token, expires=datetime(2020, 1, 1, tzinfo=UTC)) if expired else token)
    return secret


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tokens by what they may do; "file" is where their hashes are."""
    file = tmp_path_factory.mktemp("keys") / "tokens"
    found = {f"{tenant}-{scope}": key(file, tenant, scope) for tenant in ("shop", "blog") for scope in Scope}
    found |= {tenant: key(file, tenant, *Scope) for tenant in ("shop", "blog", ELSEWHERE)}
    return found | {"expired": key(file, "shop", *Scope, expired=True), "file": str(file)}


@pytest.fixture(scope="module")
def guarded(keys: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for tokens and serves two tenants."""
    folder = tmp_path_factory.mktemp("guarded")
    policy = time_policy(folder / "p")
    settings = {"ACCESS_TOKENS": keys["file"], "ACCESS_TENANTS": SERVED, "EVALUATION_PROCESSES": "0"}
    server = start_server(policy, folder / "data", POPULARITY_REFRESH_S="0.05", **settings)
    yield server
    assert server.stop() == 0


async def status(target: str, method: MethodDescriptor, authorization: str | None) -> grpc.StatusCode:
    """How a call with an empty request ends."""
    metadata = None if authorization is None else (("authorization", authorization),)
    async with grpc.aio.insecure_channel(target) as channel:
        begin = getattr(channel, kind(method))(path(method))
        if method.client_streaming:  # ends without a message: grpc.aio tells a write that meets a refusal as INTERNAL
            call = begin(metadata=metadata, timeout=10)
            await call.done_writing()
        else:
            call = begin(b"", metadata=metadata, timeout=10)
        code: grpc.StatusCode = await call.code()
        return code


def test_every_method_has_a_scope() -> None:
    """The table of scopes names the methods of the contract, all of them and no other."""
    assert sorted(SCOPES) == sorted(method.name for method in METHODS)


@each_method
@pytest.mark.parametrize("authorization", [None, "", "Bearer ", f"Bearer {UNKNOWN}", "Basic {shop}", "{shop}"])
async def test_a_stranger_is_refused(
    guarded: Server, keys: Mapping[str, str], method: MethodDescriptor, authorization: str | None
) -> None:
    """Without a token, with an unknown one and with another scheme no method can be called."""
    told = authorization if authorization is None else authorization.format(**keys)
    assert await status(guarded.target, method, told) == grpc.StatusCode.UNAUTHENTICATED


@each_method
async def test_an_expired_token_is_refused(guarded: Server, keys: Mapping[str, str], method: MethodDescriptor) -> None:
    """A token that has expired opens no method."""
    found = await status(guarded.target, method, f"Bearer {keys['expired']}")
    assert found == grpc.StatusCode.UNAUTHENTICATED


@each_method
@pytest.mark.parametrize("scope", list(Scope))
async def test_a_token_opens_the_methods_of_its_scope_only(
    guarded: Server, keys: Mapping[str, str], method: MethodDescriptor, scope: Scope
) -> None:
    """One scope lets its own methods pass and no other ones."""
    found = await status(guarded.target, method, f"Bearer {keys[f'shop-{scope}']}")
    refused = found in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
    assert refused == (SCOPES[method.name] != scope)


@each_method
async def test_a_tenant_who_is_not_served_is_refused(
    guarded: Server, keys: Mapping[str, str], method: MethodDescriptor
) -> None:
    """A good token of another tenant opens no method."""
    found = await status(guarded.target, method, f"Bearer {keys[ELSEWHERE]}")
    assert found == grpc.StatusCode.PERMISSION_DENIED


async def test_a_method_that_was_forgotten_is_open_to_nobody(keys: Mapping[str, str]) -> None:
    """A handler whose name the table of scopes lacks refuses a token of all scopes."""

    async def forgotten(request: Any, context: Any, tenant: str) -> bytes:
        return b"open"

    server = grpc.aio.server()
    gate = Gate(Keyring(Path(keys["file"])))
    handler = method_handler("Forgotten", forgotten, bytes, Metrics(), gate)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", {"Forgotten": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/test/Forgotten")(b"", metadata=(("authorization", f"Bearer {keys['shop']}"),))
        assert [await call.code(), await call.details()] == [
            grpc.StatusCode.PERMISSION_DENIED,
            "Forgotten is open to nobody; the token has admin, read, write",
        ]
    await server.stop(None)


async def test_a_refusal_says_why(guarded: Server, keys: Mapping[str, str]) -> None:
    """Words for people, a reason for programs, no hint when trying again would not help."""
    async with Client(guarded.target, token=keys["shop-read"]) as client:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.delete_user("u")
    assert caught.value.details() == "DeleteUser asks for scope write; the token has read"
    raw = dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"]
    assert isinstance(raw, bytes)
    info = error_details_pb2.ErrorInfo()
    assert [detail.Unpack(info) for detail in status_pb2.Status.FromString(raw).details] == [True]
    assert (info.reason, info.domain) == ("NOT_PERMITTED", "quickstudy")


@pytest.fixture
async def tenants(guarded: Server, keys: Mapping[str, str]) -> AsyncIterator[tuple[Client, Client]]:
    """Clients of two tenants."""
    async with Client(guarded.target, token=keys["shop"]) as shop, Client(guarded.target, token=keys["blog"]) as blog:
        yield shop, blog


def clicks(user: str) -> list[pb.Event]:
    """Three events of a user."""
    return [pb.Event(event_id=f"e{n}", user_id=user, item_id=f"i{n}", reward=1.0) for n in range(3)]


async def test_a_tenant_never_sees_the_user_of_another(tenants: tuple[Client, Client]) -> None:
    """Of one user id, what one tenant tells the other neither reads, ranks by, nor erases."""
    shop, blog = tenants
    await shop.record(clicks("same"))
    await shop.upsert_users([pb.User(user_id="same", attributes=pb.Attributes(numbers={"age": 30.0}))])
    assert await blog.get_user("same") == pb.GetUserResponse()
    assert [await blog.delete_user("same"), len((await shop.get_user("same")).events)] == [False, 3]
    assert (await blog.recommend("same")).adaptation.reason == "no events"
    assert (await shop.recommend("same")).adaptation.watermark >> 32 == 3
    assert [await shop.delete_user("same"), len((await shop.get_user("same")).events)] == [True, 0]


async def test_a_batch_of_several_tenants_ranks_each_by_its_own(tenants: tuple[Client, Client]) -> None:
    """Concurrent calls of two tenants, batched together, are answered as calls one by one are."""
    shop, blog = tenants
    await shop.record(clicks("mixed"))
    alone = [(await client.recommend("mixed", seed=1)).adaptation.watermark >> 32 for client in tenants]
    replies = await asyncio.gather(*(client.recommend("mixed", seed=1) for _ in range(20) for client in (shop, blog)))
    assert [reply.adaptation.watermark >> 32 for reply in replies] == alone * 20 == [3, 0] * 20


async def test_every_key_carries_the_name_of_a_tenant(guarded: Server, tenants: tuple[Client, Client]) -> None:
    """Histories, copies, attributes, counts of likes and decisions: nothing is kept outside of a tenant's prefix."""
    for client in tenants:
        await client.record(clicks("kept"))
        await client.upsert_users([pb.User(user_id="kept", attributes=pb.Attributes(numbers={"age": 30.0}))])
        await client.recommend("kept")
    redis = connect(EmbeddedStore(guarded.data_dir).url)
    wanted = {f"{tenant}:{name}" for tenant in ("shop", "blog") for name in ("{kept}", "qs:decisions", "qs:popularity")}
    found: list[str] = []
    async with asyncio.timeout(10):
        while not all(any(name.startswith(start) for name in found) for start in wanted):
            await asyncio.sleep(0.02)
            found = [name.decode() for name in await redis.keys("*")]
    assert {name.split(":")[0] for name in found} == {"shop", "blog"}
    await redis.aclose()


async def test_health_is_open_and_reflection_asks_for_a_token(guarded: Server, keys: Mapping[str, str]) -> None:
    """A prober needs no token; who wants to know the contract needs any."""
    async with grpc.aio.insecure_channel(guarded.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[no-untyped-call]
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        # Nothing is sent: grpc.aio tells a write that meets the refusal as INTERNAL.
        assert await stub.ServerReflectionInfo().code() == grpc.StatusCode.UNAUTHENTICATED
        told = stub.ServerReflectionInfo(iter([request]), metadata=(("authorization", f"Bearer {keys['blog-read']}"),))
        found = [service.name async for answer in told for service in answer.list_services_response.service]
    assert "quickstudy.v1.Recommender" in found


@pytest.mark.parametrize(("who", "code"), [("open", grpc.StatusCode.OK), ("off", grpc.StatusCode.UNIMPLEMENTED)])
async def test_reflection_can_be_opened_and_closed(
    policy: Path, keys: Mapping[str, str], tmp_path: Path, who: str, code: grpc.StatusCode
) -> None:
    """As set, whatever token the caller holds; and metrics listen where they are told to, beside gRPC."""
    server = start_server(
        policy,
        tmp_path / "data",
        HOST="localhost",
        METRICS_HOST="127.0.0.1",
        ACCESS_TOKENS=keys["file"],
        ACCESS_REFLECTION=who,
    )
    async with grpc.aio.insecure_channel(server.target) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()  # type: ignore[no-untyped-call]
        await call.done_writing()
        assert await call.code() == code
    assert "metrics on http://127.0.0.1:" in (tmp_path / "data" / "service.log").read_text()
    assert server.stop() == 0


async def test_refusals_are_counted(guarded: Server) -> None:
    """The metrics say how many calls of a method were refused, by code."""
    name = 'quickstudy_errors_total{code="UNAUTHENTICATED",method="GetUser"}'
    before = guarded.metrics().get(name, 0.0)
    await status(guarded.target, next(m for m in METHODS if m.name == "GetUser"), None)
    assert guarded.metrics()[name] - before == 1


def test_a_service_of_some_tenants_prepares_for_these(keys: Mapping[str, str]) -> None:
    """Of a file that several services share, only the tenants who are served here count."""
    keyring = Keyring(Path(keys["file"]))
    found = [Gate(keyring), Gate(keyring, frozenset({"blog", "absent"})), Gate(None)]
    assert [gate.tenants for gate in found] == [{"shop", "blog", ELSEWHERE}, {"blog"}, {""}]
