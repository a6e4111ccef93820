"""Traces: a span for each call under the caller's, its stages inside, and none of it where nobody asks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.quickstudy.v1 import recommender_pb2 as pb
from service import server
from service.client import Client
from service.settings import ServerSettings
from tests.service.descriptors import kind, methods, path
from tests.service.support import ROOT, start_server

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from service import traces

METHODS = {method.name: method for method in methods()}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)


@asynccontextmanager
async def traced(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Any, Any]]:
    """A server whose spans stay in memory: them, and a caller of a method with a request and metadata."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(traces, "otlp", lambda: traces.Traces(provider))
    settings = ServerSettings(policy, data_dir=tmp_path / "data", port=0, metrics_port=0, traces=True)
    async with (
        server.running(settings) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):

        async def call(name: str, request: bytes) -> grpc.StatusCode:
            method = METHODS[name]
            begun = getattr(channel, kind(method))(path(method))(
                iter([request]) if method.client_streaming else request, metadata=CALLER
            )
            if method.server_streaming:
                with suppress(grpc.aio.AioRpcError):
                    assert [answer async for answer in begun]
            code: grpc.StatusCode = await begun.code()
            async with asyncio.timeout(5):  # the caller may be told before the span has ended
                while name not in by_name(kept.get_finished_spans()):
                    await asyncio.sleep(0.01)
            return code

        yield kept, call


def asked(user: str) -> bytes:
    """A request for two items."""
    return pb.RecommendRequest(user_id=user, decision_id="d1", candidate_ids=["i1", "i2"]).SerializeToString()


def by_name(spans: tuple[ReadableSpan, ...]) -> dict[str, ReadableSpan]:
    """Spans under the last part of their names."""
    return {span.name.rpartition("/")[2]: span for span in spans}


async def test_a_recommendation_is_a_span_with_stages(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits, reads and ranks, one after the other, inside the call, which is the caller's child."""
    async with traced(policy, tmp_path, monkeypatch) as (kept, call):
        await call("Recommend", asked("somebody"))
        spans = by_name(kept.get_finished_spans())
    whole = spans.pop("Recommend")
    assert list(spans) == ["queue", "read", "rank"]
    assert whole.parent is not None
    assert (f"{whole.parent.trace_id:032x}", f"{whole.parent.span_id:016x}") == (TRACE, PARENT)
    assert {whole.context.span_id} == {stage.parent.span_id for stage in spans.values() if stage.parent}
    assert whole.attributes["rpc.grpc.status_code"] == 0
    assert whole.attributes["quickstudy.decision_id"] == "d1"
    moments = [whole.start_time, *(t for s in spans.values() for t in (s.start_time, s.end_time))]
    assert spans["queue"].end_time == spans["read"].start_time
    assert spans["read"].end_time == spans["rank"].start_time
    assert moments == sorted(moments)
    assert "somebody" not in "".join(span.to_json() for span in (whole, *spans.values()))


async def test_recorded_events_are_a_span_with_the_store_in_it(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The append is the stage; a call that fails has its code."""
    async with traced(policy, tmp_path, monkeypatch) as (kept, call):
        event = pb.Event(event_id="e", user_id="somebody", item_id="i1", reward=1.0)
        await call("RecordEvents", pb.RecordEventsRequest(events=[event]).SerializeToString())
        good = by_name(kept.get_finished_spans())
        kept.clear()
        assert await call("RecordEvents", b"") == grpc.StatusCode.INVALID_ARGUMENT
        (bad,) = kept.get_finished_spans()
    assert good["append"].parent is not None
    assert good["append"].parent.span_id == good["RecordEvents"].context.span_id
    assert good["RecordEvents"].status.status_code == StatusCode.UNSET
    assert (bad.attributes["rpc.grpc.status_code"], bad.status.status_code) == (3, StatusCode.ERROR)


async def test_every_method_is_a_span(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every service, under the caller's, with the name of the method on the wire and how the call ended."""
    async with traced(policy, tmp_path, monkeypatch) as (kept, call):
        for name, method in METHODS.items():
            assert await call(name, b"no message") == grpc.StatusCode.INVALID_ARGUMENT
            (span,) = kept.get_finished_spans()
            kept.clear()
            assert (span.name, span.parent and f"{span.parent.trace_id:032x}") == (path(method)[1:], TRACE)
            about = [span.attributes[f"rpc.{key}"] for key in ("service", "method", "grpc.status_code")]
            assert about == [method.containing_service.full_name, name, 3]


async def test_a_stream_of_requests_is_one_span(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many requests it has: their stages are left out."""
    async with traced(policy, tmp_path, monkeypatch) as (kept, call):
        assert await call("RecommendStream", asked("somebody")) == grpc.StatusCode.OK
        (span,) = kept.get_finished_spans()
    assert (span.attributes["rpc.grpc.status_code"], span.status.status_code) == (0, StatusCode.UNSET)


async def test_a_service_sends_its_spans_where_opentelemetry_says(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTLP over gRPC to OTEL_EXPORTER_OTLP_ENDPOINT, the last ones when the service ends."""
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp

    got: list[str] = []

    async def export(request: otlp.ExportTraceServiceRequest, context: Any) -> otlp.ExportTraceServiceResponse:
        got.extend(s.name for r in request.resource_spans for scope in r.scope_spans for s in scope.spans)
        return otlp.ExportTraceServiceResponse()

    method = grpc.unary_unary_rpc_method_handler(
        export,
        request_deserializer=otlp.ExportTraceServiceRequest.FromString,
        response_serializer=otlp.ExportTraceServiceResponse.SerializeToString,
    )
    name = "opentelemetry.proto.collector.trace.v1.TraceService"
    collector = grpc.aio.server()
    collector.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": method}),))
    port = collector.add_insecure_port("127.0.0.1:0")
    await collector.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    started = await asyncio.to_thread(start_server, policy, tmp_path / "data", TRACES="1")
    async with Client(started.target) as client:
        await client.recommend("u", ["i1"])
    assert await asyncio.to_thread(started.stop) == 0
    await collector.stop(None)
    assert sorted(got) == ["queue", "quickstudy.v1.Recommender/Recommend", "rank", "read"]


def test_who_asks_for_no_traces_pays_for_none() -> None:
    """Without the setting neither our spans nor an exporter are imported; redis-py looks for metrics by itself."""
    code = "import service.server, sys; print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert "service.server" in modules
    assert not {"service.traces", "opentelemetry.exporter"} & set(modules)
