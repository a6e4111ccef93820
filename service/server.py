"""The composition root: everything that lives as long as the server is made, started and stopped here."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from meta.policy import Policy
from service import logs, reflection
from service.access import credentials
from service.access.gate import Gate
from service.access.limits import Limits
from service.access.tenants import NOBODY
from service.access.tokens import Keyring
from service.access_log import AccessLog
from service.batching import Batcher
from service.errors import ServiceError, StartupError, StoreUnavailableError
from service.evaluation.job import Source
from service.evaluation.servicer import SERVICE as EVALUATION
from service.evaluation.servicer import Evaluation
from service.metrics import Metrics
from service.policies.library import Fixed, Library, opened
from service.policies.lineup_store import LineupStore
from service.policies.loader import Loader
from service.policies.servicer import SERVICE as POLICIES
from service.policies.servicer import PoliciesServicer
from service.policies.shadow import Shadow
from service.policies.succession import Succession
from service.popularity import Popularity
from service.ports import check_free, expose
from service.ranker import Query, Ranker
from service.servicer import SERVICE, Servicer
from service.serving import Serving
from service.settings import MAX_HISTORY, AccessSettings, ServerSettings, StoreSettings
from service.stock import Stock
from service.store import Store, connect, shown
from service.store.embedded import EmbeddedStore
from service.store.item_store import ItemStore
from service.store.keeper import Keeper
from service.streams import Streams
from service.trend import Trend
from service.writer import Writer

if TYPE_CHECKING:
    from service.traces import Traces

_LOG = logging.getLogger("quickstudy")
DEFAULT_CAP = 64
MAX_MESSAGE = 8 * 2**20
"""Largest request, bytes: 10,000 candidates and 10,000 exclusions of the longest ids fit."""
REFRESH_S = 1.0
"""How often a worker writes down what its gauges tell, seconds."""


def serve(settings: ServerSettings, worker: bool = False) -> None:
    """Serves in this process until SIGTERM or SIGINT, then drains; prints `serving on HOST:PORT` when ready.

    Args:
        settings: all but `workers` are heeded.
        worker: whether this is one of several processes on the port, whose parent holds the other end of stdin.

    Raises:
        StartupError: a port is taken, the store is away, the data directory is in use.
        PolicyError: the policy folder cannot be used.
    """
    logs.configure(settings.log)
    if sys.platform == "win32":
        asyncio.run(_serve(settings, worker))
    else:
        import uvloop

        uvloop.run(_serve(settings, worker))


async def _serve(settings: ServerSettings, worker: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)

    def orphaned() -> None:
        loop.remove_reader(sys.stdin)
        stop.set()

    if worker:
        loop.add_reader(sys.stdin, orphaned)  # nothing is ever written there: what can be read is the end of the parent
    async with running(settings, worker) as port:
        print(f"serving on {settings.host}:{port}", flush=True)
        await stop.wait()
        _LOG.info("draining for at most %g s", settings.drain_s)


@asynccontextmanager
async def running(settings: ServerSettings, worker: bool = False) -> AsyncIterator[int]:
    """A started server on its gRPC port; on leaving, calls drain, the backlog is written, the store stops.

    A worker's port and page of metrics are its parent's, and shared.
    """
    metrics = Metrics(shared=worker)
    async with AsyncExitStack() as stack:
        if not worker:
            check_free(settings.host, settings.port)
        tls = settings.tls
        certificates = credentials.load(tls.certificate, tls.key, tls.client_ca)
        gate = _gate(settings.access)
        library = _library(settings)
        url = _store_url(settings, stack)
        store = await _open_store(url, settings, metrics, stack)
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
            store,
            metrics,
            refresh_s=settings.popularity_refresh_s,
            tenants=gate.tenants if gate else (NOBODY,),
        )
        popularity.start()
        stack.push_async_callback(popularity.close)
        traces = _traces(settings)
        if traces is not None:
            stack.push_async_callback(asyncio.to_thread, traces.close)
        stock = Stock(ItemStore(store), metrics, refresh_s=settings.items_refresh_s)
        try:
            await stock.start()
        except StoreUnavailableError as error:
            raise StartupError(f"the changes of items could not be read: {error}") from error
        stack.push_async_callback(stock.close)

        def ranker(policy: Policy, trend: Trend) -> Ranker:
            known_bytes, known_s = settings.batch.known_bytes, settings.store.recent_s
            return Ranker(policy, store, writer, trend, metrics, traces, known_bytes=known_bytes, known_s=known_s)

        loader = Loader(stock, popularity, store, ranker, lambda policy: history_cap(settings.store, policy))
        succession = None
        if isinstance(library, Fixed):
            cast = await loader.fixed(library)
            metrics.tell_lineup({"active": (library.policy.version, library.policy.spec.adapter)}, 0.0)
        else:
            lineups, rules = LineupStore(store), settings.policies
            succession = Succession(library, lineups, loader, metrics, first=rules.first, refresh_s=rules.refresh_s)
            try:
                cast = await succession.begin()
            except ServiceError as error:
                raise StartupError(f"no version can serve: {error}") from error
            stack.push_async_callback(succession.close)
        shadow = Shadow(lambda: batcher.idle, writer, metrics)
        serving = Serving(cast, shadow)
        batch = settings.batch
        batcher = Batcher[Query, bytes](
            serving.run,
            window_s=batch.window_s,
            max_users=batch.max_users,
            max_cost=batch.max_candidates,
            max_waiting=batch.max_waiting,
            max_wait_s=batch.max_wait_s,
        )
        metrics.follow(metrics.queue_predicted, batcher.wait)
        metrics.follow(metrics.busy, batcher.busy)
        shadow.start()
        stack.push_async_callback(shadow.close)
        if succession is not None:
            succession.start(serving)
        gc.collect()
        gc.freeze()  # what lives as long as the server is not looked at by every later collection
        access = AccessLog(settings.log.sample) if settings.log.sample else None
        shards = decisions.shards, decisions.cap
        streams = Streams()
        source = Source(
            url, settings.store.prefix, NOBODY, decisions.shards, decisions.reward_window_s, decisions.default_reward
        )
        evaluation = Evaluation(serving, library, store, source, settings.evaluation, metrics, gate, traces)
        servicer = Servicer(
            serving, store, batcher, popularity, metrics, gate, writer, stock, streams, shards, access, traces
        )
        healthy = health.aio.HealthServicer()  # type: ignore[attr-defined] # the package ships no types
        server = grpc.aio.server(options=_options(settings, worker))
        policies = PoliciesServicer(serving, library, succession, settings.policies.require, metrics, gate, traces)
        server.add_generic_rpc_handlers((servicer.handlers(), policies.handlers(), evaluation.handlers()))
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        services = (SERVICE, POLICIES, EVALUATION)
        if (told := settings.access.reflection) != "off":
            reflection.add((*services, health.SERVICE_NAME), gate if told == "token" else None, server)
        port = _bind(server, settings.host, settings.port, certificates)

        if worker:
            refreshing = asyncio.create_task(_refresh(metrics), name="metrics")
            stack.callback(refreshing.cancel)
        else:
            page = stack.enter_context(ExitStack())
            expose(settings.metrics_host or settings.host, settings.metrics_port, metrics.registry, page)
        await server.start()
        for service in ("", *services):
            await healthy.set(service, health_pb2.HealthCheckResponse.SERVING)
        try:
            yield port
        finally:
            await healthy.enter_graceful_shutdown()
            await asyncio.sleep(settings.lame_duck_s)
            streams.drain()
            evaluation.drain()
            await server.stop(settings.drain_s)


async def _refresh(metrics: Metrics) -> None:
    """Keeps gauges fresh that another process shows."""
    while True:
        metrics.refresh()
        await asyncio.sleep(REFRESH_S)


def _options(settings: ServerSettings, worker: bool) -> list[tuple[str, int]]:
    """What gRPC itself is told."""
    options = [
        ("grpc.so_reuseport", int(worker)),
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_concurrent_streams", settings.max_streams),
    ]
    if settings.max_connection_age_s:
        options += [
            ("grpc.max_connection_age_ms", int(1_000 * settings.max_connection_age_s)),
            ("grpc.max_connection_age_grace_ms", int(1_000 * settings.drain_s)),
        ]
    return options


def _traces(settings: ServerSettings) -> Traces | None:
    """Where spans go; None where nobody wants them, so that no call makes any."""
    if not settings.traces:
        return None
    try:
        from service.traces import otlp
    except ModuleNotFoundError as error:
        raise StartupError(f"traces need {error.name}; install quickstudy[otel]") from error
    return otlp()


def _gate(access: AccessSettings) -> Gate | None:
    """Whom every call has to pass; None where nothing is asked, so that the hot path asks nothing."""
    keyring = Keyring(access.tokens) if access.tokens else None
    limits = Limits(access.rate_per_s, access.burst) if access.rate_per_s else None
    if keyring is None and limits is None:
        return None
    return Gate(keyring, frozenset(filter(None, map(str.strip, access.tenants.split(",")))), limits)


def _store_url(settings: ServerSettings, stack: AsyncExitStack) -> str:
    """Where the store is; where nobody says, it is one of our own, which is started."""
    if settings.redis is not None:
        return settings.redis
    embedded = EmbeddedStore(settings.data_dir, settings.store.fsync, settings.store.binary)
    embedded.start()
    stack.callback(embedded.stop)
    keeper = Keeper(embedded)
    keeper.start()
    stack.push_async_callback(keeper.close)
    return embedded.url


async def _open_store(url: str, settings: ServerSettings, metrics: Metrics, stack: AsyncExitStack) -> Store:
    kept = settings.store
    try:
        redis = connect(url)
    except ValueError as error:
        raise StartupError(f"redis must be a redis://, rediss:// or unix:// URL, got {shown(url)!r}") from error
    store = Store(
        redis,
        metrics,
        prefix=kept.prefix,
        cap=kept.history_cap or 1,  # as the policies that are loaded say
        history_ttl_s=kept.history_ttl_s,
        copy_ttl_s=kept.copy_ttl_s,
        newcomer_ttl_s=math.ceil(settings.decisions.reward_window_s),
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


def _library(settings: ServerSettings) -> Library | Fixed:
    """The versions that may serve."""
    if settings.policy is not None:
        return Fixed(settings.policy)
    told = settings.policies
    return opened(told.store or "", told.cache or settings.data_dir / "policies")


def history_cap(settings: StoreSettings, policy: Policy) -> int:
    """Events kept of each user: as set, else what the policy sees but no less than 64, at most 128."""
    return settings.history_cap or min(MAX_HISTORY, max(DEFAULT_CAP, policy.manifest.history_cap))


def _bind(server: grpc.aio.Server, host: str, port: int, certificates: grpc.ServerCredentials | None) -> int:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, certificates)
    except RuntimeError as error:
        raise StartupError(f"cannot listen on {host}:{port}; choose another port") from error
