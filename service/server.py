"""The composition root: everything that lives as long as the server is made, started and stopped here."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import numpy as np
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from prometheus_client import start_http_server

from meta.policy import Policy
from service import reflection
from service.access import credentials
from service.access.gate import Gate
from service.access.limits import Limits
from service.access.tenants import NOBODY
from service.access.tokens import Keyring
from service.batching import Batcher
from service.errors import StartupError, StoreUnavailableError
from service.metrics import Metrics
from service.popularity import Popularity
from service.ranker import Query, Ranker
from service.servicer import SERVICE, Servicer
from service.settings import MAX_HISTORY, AccessSettings, ServerSettings, StoreSettings
from service.store import Store, connect, history, shown
from service.store.embedded import EmbeddedStore
from service.store.keeper import Keeper
from service.writer import Writer

_LOG = logging.getLogger("quickstudy")
DEFAULT_CAP = 64
MAX_MESSAGE = 8 * 2**20
"""Largest request, bytes: 10,000 candidates and 10,000 exclusions of the longest ids fit."""


def serve(settings: ServerSettings) -> None:
    """Serves until SIGTERM or SIGINT, then drains; prints `serving on HOST:PORT` when ready.

    Raises:
        StartupError: a port is taken, the store is away, the data directory is in use.
        PolicyError: the policy folder cannot be used.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    policy = Policy.load(settings.policy)
    if sys.platform == "win32":
        asyncio.run(_serve(settings, policy))
    else:
        import uvloop

        uvloop.run(_serve(settings, policy))


async def _serve(settings: ServerSettings, policy: Policy) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with running(settings, policy) as port:
        print(f"serving on {settings.host}:{port}", flush=True)
        await stop.wait()
        _LOG.info("draining for at most %g s", settings.drain_s)


@asynccontextmanager
async def running(settings: ServerSettings, policy: Policy) -> AsyncIterator[int]:
    """A started server on its gRPC port; on leaving, calls drain, the backlog is written, the store stops."""
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        _check_free(settings.host, settings.port)
        tls = settings.tls
        certificates = credentials.load(tls.certificate, tls.key, tls.client_ca)
        gate = _gate(settings.access)
        store = await _open_store(settings, policy, metrics, stack)
        decisions = settings.decisions
        writer = Writer(
            store,
            metrics,
            shards=decisions.shards,
            cap=decisions.cap,
            backlog=decisions.backlog,
            linger_s=decisions.linger_s,
        )
        writer.start()
        stack.push_async_callback(writer.close)
        popularity = Popularity(
            policy,
            store,
            metrics,
            refresh_s=settings.popularity_refresh_s,
            tenants=gate.tenants if gate else (NOBODY,),
        )
        popularity.start()
        stack.push_async_callback(popularity.close)
        ranker = Ranker(policy, store, writer, popularity, metrics)
        batch = settings.batch
        batcher = Batcher[Query, bytes](
            ranker.run,
            window_s=batch.window_s,
            max_users=batch.max_users,
            max_cost=batch.max_candidates,
            max_waiting=batch.max_waiting,
            max_wait_s=batch.max_wait_s,
        )
        metrics.queue_predicted.set_function(batcher.wait)
        metrics.busy.set_function(batcher.busy)
        _warm_up(policy)
        gc.collect()
        gc.freeze()  # what lives as long as the server is not looked at by every later collection
        server = grpc.aio.server(options=_options(settings))
        server.add_generic_rpc_handlers(
            (Servicer(policy, store, batcher, popularity, metrics, gate, writer).handlers(),)
        )
        healthy = health.aio.HealthServicer()  # type: ignore[attr-defined] # the package ships no types
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        if (told := settings.access.reflection) != "off":
            reflection.add((SERVICE, health.SERVICE_NAME), gate if told == "token" else None, server)
        port = _bind(server, settings.host, settings.port, certificates)
        _expose_metrics(settings, metrics, stack)
        await server.start()
        for service in ("", SERVICE):
            await healthy.set(service, health_pb2.HealthCheckResponse.SERVING)
        try:
            yield port
        finally:
            await healthy.enter_graceful_shutdown()
            await server.stop(settings.drain_s)


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    """What gRPC itself is told."""
    options = [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_concurrent_streams", settings.max_streams),
    ]
    if settings.max_connection_age_s:
        options += [
            ("grpc.max_connection_age_ms", int(1_000 * settings.max_connection_age_s)),
            ("grpc.max_connection_age_grace_ms", int(1_000 * settings.drain_s)),
        ]
    return options


def _gate(access: AccessSettings) -> Gate | None:
    """Whom every call has to pass; None where nothing is asked, so that the hot path asks nothing."""
    keyring = Keyring(access.tokens) if access.tokens else None
    limits = Limits(access.rate_per_s, access.burst) if access.rate_per_s else None
    if keyring is None and limits is None:
        return None
    return Gate(keyring, frozenset(filter(None, map(str.strip, access.tenants.split(",")))), limits)


async def _open_store(settings: ServerSettings, policy: Policy, metrics: Metrics, stack: AsyncExitStack) -> Store:
    kept = settings.store
    if settings.redis is None:
        embedded = EmbeddedStore(settings.data_dir, kept.fsync, kept.binary)
        embedded.start()
        stack.callback(embedded.stop)
        keeper = Keeper(embedded)
        keeper.start()
        stack.push_async_callback(keeper.close)
        url = embedded.url
    else:
        url = settings.redis
    try:
        redis = connect(url)
    except ValueError as error:
        raise StartupError(f"redis must be a redis://, rediss:// or unix:// URL, got {shown(url)!r}") from error
    store = Store(
        redis,
        metrics,
        prefix=kept.prefix,
        cap=history_cap(kept, policy),
        history_ttl_s=kept.history_ttl_s,
        copy_ttl_s=kept.copy_ttl_s,
        named_ttl_s=kept.named_ttl_s,
        read_timeout_s=kept.read_timeout_s,
        write_timeout_s=kept.write_timeout_s,
        recent_bytes=kept.recent_bytes,
        recent_s=kept.recent_s,
        wait_fsync=kept.wait_fsync,
        wait_replicas=kept.wait_replicas,
    )
    stack.push_async_callback(store.close)
    try:
        await store.start()
    except StoreUnavailableError as error:
        raise StartupError(f"no Redis at {shown(url)}: {error}") from error
    return store


def history_cap(settings: StoreSettings, policy: Policy) -> int:
    """Events kept of each user: as set, else what the policy sees but no less than 64, at most 128."""
    return settings.history_cap or min(MAX_HISTORY, max(DEFAULT_CAP, policy.manifest.history_cap))


def _check_free(host: str, port: int) -> None:
    """Refuses a taken port in one line; gRPC's own attempt would add pages to the log."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error


def _bind(server: grpc.aio.Server, host: str, port: int, certificates: grpc.ServerCredentials | None) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, certificates)
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {host}:{port}; choose another port") from error


def _expose_metrics(settings: ServerSettings, metrics: Metrics, stack: AsyncExitStack) -> None:
    host = settings.metrics_host or settings.host
    _check_free(host, settings.metrics_port)
    httpd, thread = start_http_server(settings.metrics_port, host, metrics.registry)
    _LOG.info("metrics on http://%s:%d/metrics", host, httpd.server_port)
    stack.callback(thread.join)
    stack.callback(httpd.server_close)
    stack.callback(httpd.shutdown)


def _warm_up(policy: Policy) -> None:
    """Computes once what the first request will need: caches fill, lazy imports happen, before anybody waits."""
    value = bytes(7) + b"\0" + history.pack("warm-up", 0, policy.catalogue.ids[0], 1.0, "", 0)
    events = history.decode([value], policy.catalogue).events
    copy = policy.adapt(events).copy
    one = np.ones(1, np.int64)
    for candidates in (None, np.zeros((1, 1), np.int32)):
        policy.rank(
            copy, events, candidates, slate_size=one, temperature=np.zeros(1, np.float32), seed=one.astype(np.uint64)
        )
