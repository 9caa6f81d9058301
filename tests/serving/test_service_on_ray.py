"""The service as it runs: Ray Serve behind HAProxy, with a replica that dies while events come in."""

from __future__ import annotations

import importlib.util
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import ray
from tiny_model import click, register_network

from rec_platform.errors import InputError
from rec_platform.registry import ModelRegistry
from rec_platform.serving.config import ServeConfig
from rec_platform.serving.decision_log import decisions_table, recompute_propensities
from rec_platform.serving.launch import running_service
from rec_platform.serving.settings import ServiceSettings
from rec_platform.serving.store import EventStore

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    register_network(home)
    return home


@pytest.fixture(scope="module")
def url(ray_cluster: None, home: Path) -> Iterator[str]:
    with running_service(ServeConfig(model="tiny", port=0, settings=ServiceSettings(home=home))) as url:
        yield url


def test_recommend_and_learn(url: str, home: Path) -> None:
    with httpx.Client(base_url=url) as http:
        assert http.get("/readyz").json()["status"] == "ready"
        first = http.post("/v1/recommendations", json={"user_id": "u", "session_id": "s", "limit": 3})
        assert first.status_code == 200
        shown = [item["item_id"] for item in first.json()["items"]]
        sent = http.post("/v1/events", json={"events": [click("e1", shown[0], session_id="s")]})
        assert (sent.status_code, sent.json()["accepted"]) == (202, 1)
        again = http.post("/v1/events", json={"events": [click("e1", shown[0], session_id="s")]})
        assert again.json()["duplicates"] == 1
        following = http.post("/v1/recommendations", json={"user_id": "u", "session_id": "s", "limit": 39})
        assert shown[0] not in [item["item_id"] for item in following.json()["items"]]
        assert following.json()["previous_recommendation_id"] == first.json()["recommendation_id"]
        bad = http.post("/v1/recommendations", content="{", headers={"X-Request-ID": "mine"})
        assert (bad.status_code, bad.headers["content-type"]) == (400, "application/problem+json")
        assert bad.json()["request_id"] == bad.headers["x-request-id"] == "mine"
    store = EventStore(f"sqlite:///{home / 'serving.db'}")
    assert recompute_propensities(ModelRegistry(home).get("tiny").load(), decisions_table(store)) < 1e-6
    store.close()


def test_haproxy_stands_in_front(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(b"NOT HTTP AT ALL\r\n\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.0 400") or answer.startswith(b"HTTP/1.1 400")
    listening = Path("/proc/net/tcp").read_text()
    assert f"0100007F:{int(port):04X} 00000000:0000 0A" in listening  # on loopback
    assert f"00000000:{int(port):04X} 00000000:0000 0A" not in listening  # and nowhere else


def test_metrics_reach_rays_port(url: str) -> None:
    httpx.post(f"{url}/v1/recommendations", json={"user_id": "metered"})
    port = ray.nodes()[0]["MetricsExportPort"]
    wanted = ("requests_total", "request_seconds_bucket", "batch_size_count", "decisions_total", "decisions_pending")
    missing, deadline = set(wanted), time.monotonic() + 60
    while missing and time.monotonic() < deadline:
        time.sleep(1)
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        missing = {name for name in wanted if f"ray_rec_platform_{name}{{" not in text}
    assert not missing
    assert "metered" not in text


def test_acknowledged_events_survive_a_killed_replica(url: str, home: Path) -> None:
    result = benchmark("kill_replica").post_through_kills(url, home / "serving.db", events=300, kills=1, clients=4)
    assert result["acknowledged"] == 300
    assert (result["missing"], result["twice"]) == (0, 0)
    assert httpx.post(f"{url}/v1/recommendations", json={"user_id": "u"}).status_code == 200


def test_a_taken_port_is_told(url: str, home: Path) -> None:
    port = int(url.rsplit(":", 1)[1])
    config = ServeConfig(model="tiny", port=port, settings=ServiceSettings(home=home))
    with pytest.raises(InputError, match="port: cannot listen"), running_service(config):
        pass


def benchmark(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
