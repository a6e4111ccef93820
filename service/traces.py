"""Traces by OpenTelemetry: a span for each call, and in it one for each stage. Imported only where they are wanted.

Where spans go, and of how many calls, is said by OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT and
OTEL_TRACES_SAMPLER. No span tells a user.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.access.gate import Context
from service.interceptors import Call

if TYPE_CHECKING:
    from service.ranker import RecommendJob

_CARRIED = ("traceparent", "tracestate")


class Traces:
    """Makes the spans of one server.

    Args:
        provider: takes them; `close` shuts it down.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("quickstudy")
        self._propagator = TraceContextTextMapPropagator()

    def around(self, service: str, method: str, call: Call) -> Call:
        """The same call in a span, which is a child of the caller's where its metadata has a W3C `traceparent`."""
        about = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method}

        async def traced(raw: Any, context: Context) -> Any:
            metadata: Any = context.invocation_metadata() or ()  # pairs, whatever the stubs say
            parent = self._propagator.extract({name: value for name, value in metadata if name in _CARRIED})
            with self._tracer.start_as_current_span(
                f"{service}/{method}",
                parent,
                SpanKind.SERVER,
                about,
                record_exception=False,  # what failed is in the status; a traceback may hold what nobody may see
                set_status_on_exception=False,
            ) as span:
                try:
                    return await call(raw, context)
                except BaseException:
                    span.set_status(StatusCode.ERROR)
                    raise
                finally:
                    span.set_attribute("rpc.grpc.status_code", _code(context))

        return traced

    def current(self) -> Span:
        """The span of the call under way."""
        return trace.get_current_span()

    def stage(self, name: str) -> AbstractContextManager[Span]:
        """A stage of the call under way."""
        return self._tracer.start_as_current_span(name, record_exception=False)

    def batch(self, jobs: Sequence[RecommendJob], began: float, read: float, ended: float) -> None:
        """Tells each call of a batch its stages: it waited in the queue, the store was read, everybody was ranked.

        Args:
            jobs: whose request has the span of its call.
            began, read, ended: when these ended and began, on the clock of `perf_counter`.
        """
        offset = time.time_ns() - int(perf_counter() * 1e9)
        for job in jobs:
            if job.request.span is None or not job.request.span.is_recording():
                continue
            inside = trace.set_span_in_context(job.request.span)
            job.request.span.set_attribute("quickstudy.decision_id", job.request.decision_id)
            moments = [offset + int(moment * 1e9) for moment in (job.arrived, began, read, ended)]
            for name, start, end in zip(("queue", "read", "rank"), moments, moments[1:], strict=False):
                span = self._tracer.start_span(
                    name, inside, attributes={"quickstudy.batch_users": len(jobs)}, start_time=start
                )
                span.end(end)

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()


def otlp() -> Traces:
    """Spans that are sent by OTLP over gRPC, in batches from a thread."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: "quickstudy"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


def _code(context: Context) -> int:
    """The gRPC status that a call ended with, as its number."""
    code: Any = context.code()
    return int(code.value[0] if hasattr(code, "value") else code or 0)
