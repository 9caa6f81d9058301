"""Spans of a request, by the SDK's exporter in memory."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tiny_model import click, register_network

from rec_platform.errors import InputError
from rec_platform.serving import runtime as runtime_module
from rec_platform.serving.observability.tracing import Tracing, tracing_to
from rec_platform.serving.settings import ServiceSettings, parse

pytest.importorskip("opentelemetry.sdk.trace", reason="Ray brings the OpenTelemetry SDK; it is not here")

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def traced(
    tmp_path: Path, start: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> tuple[TestClient, Callable[[], dict[str, Any]]]:
    """A service, and a function that gives the spans it has made, by name."""
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    monkeypatch.setattr(runtime_module, "tracing_to", lambda _: Tracing(SimpleSpanProcessor(exporter)))
    register_network(tmp_path)
    return start(), lambda: {span.name: span for span in exporter.get_finished_spans()}


def test_a_request_is_one_trace(traced: tuple[TestClient, Callable[[], dict[str, Any]]]) -> None:
    client, spans = traced
    headers = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-ID": "req-1"}
    answer = client.post("/v1/recommendations", json={"user_id": "olga"}, headers=headers)
    found = spans()
    assert set(found) == {"POST /v1/recommendations", "decide", "decide batch", "store write", "store commit"}
    request = found["POST /v1/recommendations"]
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == CALLER
    for inner in ("decide", "store write"):
        assert found[inner].parent.span_id == request.context.span_id
    assert found["decide"].end_time <= found["store write"].start_time
    batch = found["decide batch"]
    assert batch.parent is None
    assert [link.context.span_id for link in batch.links] == [found["decide"].context.span_id]
    assert batch.attributes == found["store commit"].attributes == {"rec_platform.batch_size": 1}
    assert found["store commit"].parent is None
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/recommendations",
        "http.response.status_code": 200,
        "rec_platform.request_id": "req-1",
        "rec_platform.recommendation_id": answer.json()["recommendation_id"],
    }


def test_failures_and_events(
    traced: tuple[TestClient, Callable[[], dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, spans = traced
    client.post("/v1/events", json={"events": [click("e", "i1", user_id="olga")]})
    assert spans()["store write"].parent.span_id == spans()["POST /v1/events"].context.span_id

    async def breaks(_: Any) -> None:
        raise ValueError("olga")

    monkeypatch.setattr(client.app.state.runtime, "decide", breaks)  # type: ignore[attr-defined]
    assert client.get("/v1/users/olga/recommendations").status_code == 500
    failed = spans()["GET /v1/users/{user_id}/recommendations"]
    assert failed.status.status_code.name == "ERROR"
    assert "olga" not in "".join(span.to_json() for span in spans().values())


def test_nothing_is_remembered_of_what_was_decided(
    traced: tuple[TestClient, Callable[[], dict[str, Any]]],
) -> None:
    client, _ = traced
    client.post("/v1/recommendations", json={"user_id": "u"})
    client.post("/v1/recommendations", json={"user_id": "u", "limit": 1000})
    assert client.app.state.runtime.tracing._deciding == {}  # type: ignore[attr-defined]


def test_asked_for_and_not_installed(monkeypatch: pytest.MonkeyPatch, start: Callable[..., TestClient]) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert tracing_to(None) is None
    with pytest.raises(InputError, match="OpenTelemetry, which is not installed"):
        start(tracing="http://127.0.0.1:4318")


@pytest.mark.parametrize("endpoint", ["collector:4317", "http://", "http://user:word@host", "grpc://host"])
def test_endpoints_that_are_none(endpoint: str) -> None:
    with pytest.raises(InputError, match="tracing"):
        parse(ServiceSettings, {"tracing": endpoint}, "args")


def test_the_exporter_is_given_the_whole_address() -> None:
    exporters = pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http.trace_exporter", reason='pip install "rec_platform[otel]"'
    )
    given = []

    class Exporter(exporters.OTLPSpanExporter):  # type: ignore[name-defined]
        def __init__(self, endpoint: str) -> None:
            given.append(endpoint)
            super().__init__(endpoint=endpoint)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporters, "OTLPSpanExporter", Exporter)
        for endpoint in ("http://127.0.0.1:1", "http://127.0.0.1:1/", "https://host/otlp/v1/traces"):
            tracing = tracing_to(endpoint)
            assert tracing is not None
            tracing.close()
    assert given == ["http://127.0.0.1:1/v1/traces", "http://127.0.0.1:1/v1/traces", "https://host/otlp/v1/traces"]
