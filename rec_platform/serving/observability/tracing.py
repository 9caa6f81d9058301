"""Spans for OpenTelemetry, where they are asked for: a request, its decision, the batch it was decided in, the disk.

Nothing of OpenTelemetry is imported, and nothing is done, while it is off. Spans carry ids of requests and decisions,
never what a user sent: neither paths nor messages of exceptions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

import rec_platform
from rec_platform.errors import InputError
from rec_platform.serving.decision_service import Ask
from rec_platform.serving.observability.request_log import of_this_request

Out = TypeVar("Out")

NO_SPAN: AbstractContextManager[None] = nullcontext()


def tracing_to(endpoint: str | None) -> Tracing | None:
    """Tracing to a collector; None for none.

    Args:
        endpoint: of OTLP over HTTP; ``/v1/traces`` is added where it has no path.

    Raises:
        InputError: it is asked for and not installed.
    """
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        problem = "asks for OpenTelemetry, which is not installed"
        raise InputError("tracing", problem, 'pip install "rec_platform[otel]", or leave it out') from None
    scheme, _, rest = endpoint.partition("://")
    host, _, path = rest.partition("/")
    return Tracing(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{scheme}://{host}/{path or 'v1/traces'}")))


class Tracing:
    """Makes spans.

    Args:
        processor: of the OpenTelemetry SDK; where they go.
    """

    def __init__(self, processor: Any) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create({"service.name": "rec_platform", "service.version": rec_platform.__version__})
        self._provider = TracerProvider(resource=resource)  # this service's own: Ray has its own opinion of the global
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("rec_platform")
        self._trace = trace
        self._nowhere = Context()
        self._propagator = TraceContextTextMapPropagator()
        self._deciding: dict[int, Any] = {}

    def close(self) -> None:
        """Send what waits."""
        self._provider.shutdown()

    def span(self, name: str, **more: Any) -> AbstractContextManager[Any]:
        """The current span within it; of an exception that passes only that there was one."""
        return self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False, **more)

    def commit(self, submissions: int) -> AbstractContextManager[Any]:
        """The span of a transaction, which writes for many requests at once: a trace of its own."""
        return self.span("store commit", context=self._nowhere, attributes={"rec_platform.batch_size": submissions})

    def requests(self, app: ASGIApp) -> ASGIApp:
        """``app`` with a span a request, continuing the caller's trace (W3C ``traceparent``)."""
        trace = self._trace

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            carried = ("traceparent", "tracestate")
            headers = {n.decode("latin-1"): v.decode("latin-1") for n, v in scope["headers"]}
            parent = self._propagator.extract({name: headers[name] for name in carried if name in headers})
            with self.span(scope["method"], context=parent, kind=trace.SpanKind.SERVER) as span:
                span.set_attribute("http.request.method", scope["method"])

                async def watched(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        span.set_attribute("http.response.status_code", message["status"])
                        if message["status"] >= 500:
                            span.set_status(trace.StatusCode.ERROR)
                    await send(message)

                try:
                    await app(scope, receive, watched)
                except BaseException:
                    span.set_status(trace.StatusCode.ERROR)
                    raise
                finally:
                    if (route := getattr(scope.get("route"), "path", None)) is not None:
                        span.update_name(f"{scope['method']} {route}")
                        span.set_attribute("http.route", route)
                    ids = of_this_request()
                    for name in ("request_id", "recommendation_id"):
                        if (value := getattr(ids, name)) is not None:
                            span.set_attribute(f"rec_platform.{name}", value)

        return traced

    def asks(self, decide: Callable[[Ask], Awaitable[Out]]) -> Callable[[Ask], Awaitable[Out]]:
        """``decide`` with a span, from the asking to the answer."""

        async def traced(ask: Ask) -> Out:
            with self.span("decide") as span:
                self._deciding[id(ask)] = span.get_span_context()
                try:
                    return await decide(ask)
                finally:
                    self._deciding.pop(id(ask), None)

        return traced

    def batches(self, decide: Callable[[Sequence[Ask]], list[Out]]) -> Callable[[Sequence[Ask]], list[Out]]:
        """``decide`` with a span of its own trace, linked to those of its asks."""

        def traced(asks: Sequence[Ask]) -> list[Out]:
            known = [self._deciding.get(id(ask)) for ask in asks]
            links = [self._trace.Link(context) for context in known if context is not None]
            with self.span("decide batch", context=self._nowhere, links=links) as span:
                span.set_attribute("rec_platform.batch_size", len(asks))
                return decide(asks)

        return traced
